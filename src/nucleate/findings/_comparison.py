"""Several runs side by side: seeds as the unit, a setting as a factor."""

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nucleate._core.errors import BadInput
from nucleate._core.names import shortest_names
from nucleate.findings._comparison_words import (
    difference_words,
    one_run_words,
    setting_words,
    table_lines,
)
from nucleate.findings._differences import Difference, Key, Unit, differences, middle
from nucleate.findings._factor import Factor, find_factor, of_groups, seed_of_settings
from nucleate.findings._format import json_value
from nucleate.findings._measured import panel_of
from nucleate.findings._on_record import flat
from nucleate.findings._run_numbers import RunNumbers, run_numbers
from nucleate.findings._seed_test import mean_interval
from nucleate.runs import Run, check_writable

Source = Run | Path | str
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Attributes:
        factor: the setting that differs, its value in each run, and the seeds.
        runs: one row a run: `run`, `setting`, `seed`, `step`.
        numbers: one row a run and number: `run, setting, seed, metric, where, value, low, high,
            null, stream, view`; the interval is within the run, `null` what chance gives.
        settings: one row a setting and number: `setting, metric, where, value, low, high,
            null, seeds`: the mean over seeds with its t interval; of onsets the median, without
            one, where some seeds have none.
        differences: each setting against the first, number by number.
        curves: one row a run, number and step: `run, setting, metric, where, step, value, null`.
        notes: what could not be compared, and what a reader must know.
    """

    factor: Factor
    runs: pd.DataFrame
    numbers: pd.DataFrame
    settings: pd.DataFrame
    differences: tuple[Difference, ...]
    curves: pd.DataFrame
    notes: tuple[str, ...]

    def words(self) -> list[str]:
        """What the numbers say, and no more."""
        told = [difference_words(each) for each in self.differences]
        alone = one_run_words(self.differences)
        return [*setting_words(self.factor), *alone, *told, *self.notes]

    def lines(self) -> list[str]:
        """For a terminal: a table, then what a reader must know."""
        return [*setting_words(self.factor), "",
                *table_lines(self.settings, self.differences), "", *self.notes]  # fmt: skip

    def to_json(self) -> str:
        """One JSON object; what is missing or infinite is null."""
        content = {
            "factor": asdict(self.factor),
            "runs": self.runs.to_dict("records"),
            "numbers": self.numbers.to_dict("records"),
            "settings": self.settings.to_dict("records"),
            "differences": [asdict(each) for each in self.differences],
            "words": self.words(),
            "notes": list(self.notes),
        }
        return json.dumps(json_value(content))


def compare(
    runs: Sequence[Source] | Mapping[str, Sequence[Source]],
    *,
    by: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Set runs side by side: seeds are the unit, the settings that differ are the factor.

    Runs that differ in nothing but their seed are replicates. All others are grouped by the
    settings that differ, and each group is set against the first one (the lowest number): number
    by number the difference with its 95 % interval, and whether it is decided. Runs that were not
    measured yet are measured first.

    Args:
        runs: two or more runs or their folders; or groups of them under names of your own.
        by: one setting to group by, in full or its last part; `run` takes each run for itself.
        progress: of `measure`.

    Returns:
        The comparison. Numbers are those of the last step that all runs have recorded; where there
        is no such step, of each run's own last.

    Raises:
        BadInput: fewer than two runs, one twice, or no run has a setting of that name.

    Notes:
        *Higher* and *lower* are said where labels of runs, exchanged in every possible way, give
        as large a difference in any of the numbers in at most 4 % of cases: at least four seeds a
        side are needed. The interval is Student's and assumes more: look at the single runs. With
        one run a side it is over instruction strings, and says nothing of other seeds.
    """
    opened, factor = _open(runs, by)
    with ExitStack() as stack:
        panels = [_measured(run, progress, stack) for run in opened]
    steps, notes = _steps(opened)
    found = [
        run_numbers(run, panel, why, step)
        for run, (panel, why), step in zip(opened, panels, steps, strict=True)
    ]
    names = shortest_names([run.path for run in opened])
    for name, each in zip(names, found, strict=True):
        notes += [f"{name}: {note}." for note in each.notes]
    notes += _other_prompts(opened)
    keys, apart = _common(found, names)
    units = _units(found, factor)
    return Comparison(
        factor=factor,
        runs=_run_table(names, found, factor),
        numbers=_number_table(names, found, factor),
        settings=_setting_table(units, keys),
        differences=tuple(_all_differences(factor, units, keys)),
        curves=pd.concat(
            [each.curves.assign(run=name, setting=label)
             for name, label, each in zip(names, factor.labels, found, strict=True)],
            ignore_index=True,
        ),
        notes=(*factor.notes, *notes, *apart, *_repeated(units)),
    )  # fmt: skip


def _open(
    runs: Sequence[Source] | Mapping[str, Sequence[Source]], by: str | None
) -> tuple[list[Run], Factor]:
    grouped = runs if isinstance(runs, Mapping) else None
    given = [run for group in grouped.values() for run in group] if grouped else list(runs)
    if isinstance(runs, str) or len(given) < 2:
        raise BadInput(f"{1 if isinstance(runs, str) else len(given)} run has nothing to be "
                       "compared with; name at least two")  # fmt: skip
    opened = [run if isinstance(run, Run) else Run(run) for run in given]
    places = [run.path.resolve() for run in opened]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise BadInput(f"{opened[index].path} is named twice; name each run once")
    for run in opened:
        if not run.steps:
            raise BadInput(f"{run.path} has no recorded step; leave it out or record it")
    settings = [_settings(run) for run in opened]
    if grouped is not None:
        sizes = {label: len(group) for label, group in grouped.items()}
        return opened, of_groups(sizes, [seed_of_settings(each) for each in settings])
    return opened, find_factor(settings, shortest_names([run.path for run in opened]), by)


def _settings(run: Run) -> Mapping[str, Any]:
    """The settings that decide a run: of a study its configuration, from which all else follows."""
    config = run.manifest.get("config")
    return flat(config) if isinstance(config, Mapping) and config else run.hyperparameters


def _measured(run: Run, progress: Progress | None, stack: ExitStack) -> tuple[Any, str]:
    """The run's panel, measured into a folder that goes away where the run cannot be written."""
    try:
        check_writable(run.path)
    except BadInput:
        there = stack.enter_context(tempfile.TemporaryDirectory())
        return panel_of(run, Path(there), progress)
    return panel_of(run, None, progress)


def _steps(runs: Sequence[Run]) -> tuple[list[int], list[str]]:
    """The step that each run is compared at."""
    last = [run.steps[-1] for run in runs]
    if len(set(last)) == 1:
        return last, []
    common = set(runs[0].steps).intersection(*(run.steps for run in runs[1:])) - {0}
    told = ", ".join(
        f"{name} {step}"
        for name, step in zip(shortest_names([run.path for run in runs]), last, strict=True)
    )
    if common:
        step = max(common)
        return [step] * len(runs), [
            f"The runs end at different steps ({told}); they are compared at step {step}, the last "
            "that all have."
        ]
    return last, [
        f"The runs end at different steps ({told}) and share none; each is taken at its own last "
        "one, so that a difference may be one of training time."
    ]


def _other_prompts(runs: Sequence[Run]) -> list[str]:
    hashes = {run.manifest["prompts_hash"] for run in runs}
    if len(hashes) == 1:
        return []
    return [
        f"The runs were read on {len(hashes)} different prompt sets: a difference may be one of "
        "prompts."
    ]


def _common(found: Sequence[RunNumbers], names: Sequence[str]) -> tuple[list[Key], list[str]]:
    """The numbers that all runs have in the same view, and a sentence on each other one."""
    keys = dict.fromkeys(key for each in found for key in each.numbers)
    common, told = [], []
    for key in keys:
        name = " at ".join(filter(None, key))
        lacking = [run for run, each in zip(names, found, strict=True) if key not in each.numbers]
        if lacking:
            told.append(f"{name} is not compared: {', '.join(lacking)} has none.")
            continue
        views = {each.numbers[key].view for each in found}
        if len(views) > 1:
            told.append(f"{name} is not compared: it is {' in some and '.join(sorted(views))} in "
                        "others.")  # fmt: skip
            continue
        common.append(key)
    depths = {sum(s.startswith("block.") for s in each.run.shape(each.step)[0]) for each in found}
    if len(depths) > 1:
        told.append(
            f"The models have {' and '.join(map(str, sorted(depths)))} blocks: of each the stream "
            "of most ARI is compared, and places are not compared one by one."
        )
    return common, told


def _units(found: Sequence[RunNumbers], factor: Factor) -> dict[str, list[Unit]]:
    """Setting -> its seeds; runs of one setting and seed are one."""
    groups: dict[str, dict[object, list[int]]] = {label: {} for label in factor.settings}
    for index, (label, pair) in enumerate(zip(factor.labels, factor.pairs, strict=True)):
        groups[label].setdefault(index if pair is None else pair, []).append(index)
    return {
        label: [
            Unit(factor.pairs[indices[0]], tuple(found[index] for index in indices))
            for indices in seeds.values()
        ]
        for label, seeds in groups.items()
    }


def _repeated(units: Mapping[str, Sequence[Unit]]) -> list[str]:
    again = [label for label, seeds in units.items() if any(len(unit.runs) > 1 for unit in seeds)]
    return [f"Runs of the same setting and seed ({', '.join(again)}) count as one: their mean."] * (
        bool(again)
    )


def _all_differences(
    factor: Factor, units: Mapping[str, Sequence[Unit]], keys: Sequence[Key]
) -> list[Difference]:
    first, *others = factor.settings
    return [
        each
        for other in others
        for each in differences(
            (first, other), (units[first], units[other]), keys, contrasts=len(others)
        )
    ]


def _run_table(names: Sequence[str], found: Sequence[RunNumbers], factor: Factor) -> pd.DataFrame:
    return pd.DataFrame({
        "run": names, "setting": factor.labels, "seed": factor.seeds,
        "step": [each.step for each in found],
    })  # fmt: skip


def _number_table(
    names: Sequence[str], found: Sequence[RunNumbers], factor: Factor
) -> pd.DataFrame:
    columns = ("metric", "where", "value", "low", "high", "null", "stream", "view")
    return pd.DataFrame([
        {"run": name, "setting": label, "seed": seed,
         **{column: getattr(number, column) for column in columns}}
        for name, label, seed, each in zip(names, factor.labels, factor.seeds, found, strict=True)
        for number in each.numbers.values()
    ])  # fmt: skip


def _setting_table(units: Mapping[str, Sequence[Unit]], keys: Sequence[Key]) -> pd.DataFrame:
    rows = []
    for label, seeds in units.items():
        for key in keys:
            values = np.array([unit.value(key) for unit in seeds])
            known = [run.numbers[key].null for unit in seeds for run in unit.runs]
            null = max((each for each in known if not math.isnan(each)), default=math.nan)
            if len(seeds) == 1:
                only = seeds[0].runs[0].numbers[key]
                value, low, high = only.value, only.low, only.high
            else:
                value, (low, high) = middle(values), mean_interval(values)
            rows.append({"setting": label, "metric": key[0], "where": key[1], "value": value,
                         "low": low, "high": high, "null": null, "seeds": len(seeds)})  # fmt: skip
    return pd.DataFrame(rows)
