"""Which tasks overlap, by how much, and whether that predicts which the model takes for which."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate._core.strings import number_strings
from nucleate.findings._confusion import confusions
from nucleate.findings._format import columns, depth_order, interval, number, place_name
from nucleate.findings._pair_correlation import Correlation, correlate_pairs
from nucleate.metrics import pairwise_nearest, pairwise_separation
from nucleate.metrics.probes import grouped_folds
from nucleate.panel import bag_of_tokens
from nucleate.runs import Run, write_json, write_whole

_FOLDS = 5
_SURFACE = "words (TF-IDF)"
MEASURES = ("separation", "nearest")
_PAIR_HEAD = ["task", "other", "separation", "nearer to the other", "of words", "confused"]
_CORRELATION_HEAD = [
    "overlap of", "measured by", "rho with confusion", "by chance", "p", "beyond the words",
]  # fmt: skip
Table = Float[np.ndarray, "task other"]


@dataclass(frozen=True)
class Overlap:
    """How tasks overlap at one place, and what that says of the model's mistakes on other rows.

    Attributes:
        stream, position: the place.
        step: of the states and of the answers.
        measured_on, confused_on: splits whose rows the overlap and the mistakes are of.
        pairs: a pair of tasks a row, the most overlapping first: `task`, `other`; `separation` and
            `nearest` (see `overlap`) of the states and, as `surface_separation` and
            `surface_nearest`, of the words; `confusion`, the share of both tasks' rows that got the
            other's answer, and `rows`, of how many.
        correlations: how the overlap of each source goes with the confusion: `source`, `measure`,
            `rho` with its 95 % interval `low` to `high` over tasks, `null` (97.5 % point with the
            tasks permuted) and `p`; and `beyond_surface` with `beyond_low` and `beyond_high`, rho
            less that of the words, over the same tasks drawn. NaN where a source does not vary.
        mistakes: rows that got another task's answer, of `answered` ones.
        answered: rows with an answer.
    """

    stream: str
    position: str
    step: int
    measured_on: str
    confused_on: str
    pairs: pd.DataFrame
    correlations: pd.DataFrame
    mistakes: int
    answered: int

    def lines(self, top: int = 10) -> list[str]:
        """For a terminal: the pairs that overlap most, then the correlations.

        Args:
            top: how many pairs.
        """
        found = self.to_dict()
        return [
            f"{place_name(self.stream, self.position)}, step {self.step}; overlap on "
            f"{self.measured_on} rows, mistakes on other rows ({self.confused_on}): "
            f"{self.mistakes} of {self.answered} got another task's answer",
            "",
            *columns([_PAIR_HEAD, *map(_pair_cells, found["pairs"][:top])]),
            "",
            *columns([_CORRELATION_HEAD, *map(_correlation_cells, found["correlations"])]),
        ]

    def to_dict(self) -> dict[str, Any]:
        """The same for programs; what is not defined is None."""
        tables = {name: json.loads(getattr(self, name).to_json(orient="records"))
                  for name in ("pairs", "correlations")}  # fmt: skip
        about = ("stream", "position", "step", "measured_on", "confused_on", "mistakes", "answered")
        return {name: getattr(self, name) for name in about} | tables

    def save(self, folder: Path | str) -> None:
        """Write `overlap.csv` (the pairs) and `overlap.json` (all) into a folder.

        Args:
            folder: which is there.
        """
        folder = Path(folder)
        write_whole(folder / "overlap.csv", self.pairs.to_csv(index=False).encode())
        write_json(folder / "overlap.json", self.to_dict())


def overlap(
    run: Run,
    *,
    stream: str | None = None,
    position: str = "last",
    step: int | None = None,
    measured_on: str = "seen",
    confused_on: str = "unseen_string",
    n_permutations: int = 999,
    n_bootstraps: int = 1000,
    seed: int = 0,
) -> Overlap:
    """Ask which tasks overlap at a place, and whether the model confuses those.

    Two tasks overlap as their states do, in all dimensions, by two measures: `separation`, the
    squared distance of their means over their variance (see `pairwise_separation`; less of it is
    more overlap), and `nearest`, the share of their rows that are nearer to the other's mean, taken
    of other instruction strings. A mistake is a row whose answer is exactly that of another task to
    the same input. The rows of overlap and of mistakes have no instruction string in common: where
    both are of one split, its strings are halved.

    Spearman's correlation over pairs of tasks says whether what overlaps is confused. Pairs share
    tasks, so tasks are resampled for its interval, and permuted as a whole (Mantel 1967) for what
    it is by chance. The same is done for the embedding, for untrained models where the run has any
    (of which the highest counts), and for the words alone: TF-IDF of the tokens before the place.

    Args:
        run: with tasks and answers.
        stream: the place along the depth; None: the last block, on which nothing was chosen.
        position: the place along the prompt.
        step: a recorded one; None: the last.
        measured_on: the split whose rows give the overlap.
        confused_on: the split whose rows give the mistakes.
        n_permutations: of the tasks, at least 99.
        n_bootstraps: of the tasks, at least 99.
        seed: decides all draws.

    Returns:
        The pairs and the correlations. A correlation is no cause: a task that is hard by itself is
        both spread out and often mistaken.

    Raises:
        BadInput: no such place, step or split; rows without tasks or answers; fewer than four
            tasks; no mistake at all.

    Source:
        Mantel (1967) for the permutations; Galanti, Gyorgy and Hutter (2021) for the separation.
    """
    for name, value in (("n_permutations", n_permutations), ("n_bootstraps", n_bootstraps)):
        check_whole(name, value, least=99)
    check_whole("seed", seed, least=0)
    run.prompts.check_labels("task", user="the overlap of tasks")
    if not run.steps:
        raise BadInput(f"{run.path} has no recorded step; record states first")
    step = run.steps[-1] if step is None else step
    streams, positions, _ = run.shape(step)
    stream = _last_block(streams) if stream is None else stream
    _check_name(stream, streams, "stream")
    _check_name(position, positions, "position")
    tasks, code = np.unique(np.array(run.prompts.labels["task"], object), return_inverse=True)
    if len(tasks) < 4:
        raise BadInput(f"{run.path} has {len(tasks)} tasks; pairs of at least four are correlated")
    strings = number_strings(run.prompts.labels)
    rng = np.random.default_rng(seed)
    inside, others = _apart(run, measured_on, confused_on, strings, rng)
    wrong, rows, mistakes = confusions(run, step, code, others)
    if not mistakes:
        raise BadInput(
            f"no row of {confused_on} at step {step} of {run.path} got another task's answer: "
            "there is no confusion to predict; name an earlier step or another split"
        )
    folds = grouped_folds(code[inside], strings[inside], _FOLDS, seed=seed)
    found = {
        source: _measured(points[inside], code, inside, folds, len(tasks))
        for source, points in _sources(run, step, stream, position).items()
    }
    confusion = np.where(rows > 0, wrong / np.maximum(rows, 1), np.nan)
    states = f"states of {stream}"
    correlations = _correlations(found, confusion, n_permutations, n_bootstraps, rng)
    return Overlap(
        stream, position, step, measured_on, confused_on,
        _pairs(tasks, found[states], found[_SURFACE], confusion, rows),
        correlations, mistakes, len(others),
    )  # fmt: skip


def _last_block(streams: tuple[str, ...]) -> str:
    ordered = [name for name in depth_order(streams) if name.startswith("block")]
    return ordered[-1] if ordered else streams[-1]


def _check_name(name: str, known: tuple[str, ...], kind: str) -> None:
    if name not in known:
        raise BadInput(
            f"no {kind} named {name!r}{nearest(name, known)}; choose one of {', '.join(known)}"
        )


def _apart(
    run: Run,
    measured_on: str,
    confused_on: str,
    strings: Int[np.ndarray, "row"],
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "member"], Int[np.ndarray, "other"]]:
    """Rows for the overlap and for the mistakes, without a string in common."""
    known = run.prompts.labels.get("split", ("all",) * len(run.prompts))
    splits = np.array(known, object)
    for name in (measured_on, confused_on):
        if name not in known:
            there = tuple(dict.fromkeys(known))
            raise BadInput(
                f"no row of {run.path} is of the split {name!r}{nearest(name, there)}; it has "
                f"{', '.join(there)}"
            )
    answered = run.prompts.lengths > run.prompts.prompt_lengths
    first = splits == measured_on
    second = (splits == confused_on) & answered
    if measured_on == confused_on:
        half = _half_of_strings(np.array(run.prompts.labels["task"], object), strings, first, rng)
        first, second = first & half, second & ~half
    else:
        second &= ~np.isin(strings, strings[first])
    return np.flatnonzero(first), np.flatnonzero(second)


def _half_of_strings(
    tasks: np.ndarray,
    strings: Int[np.ndarray, "row"],
    inside: Bool[np.ndarray, "row"],
    rng: np.random.Generator,
) -> Bool[np.ndarray, "row"]:
    """Half of the strings of each task, drawn at random."""
    chosen: list[int] = []
    for task in dict.fromkeys(tasks[inside]):
        own = rng.permutation(np.unique(strings[inside & (tasks == task)]))
        chosen += own[: (len(own) + 1) // 2].tolist()
    return np.isin(strings, chosen)


def _sources(
    run: Run, step: int, stream: str, position: str
) -> dict[str, Float[np.ndarray, "row width"]]:
    """The points of all rows: the place, the embedding, untrained models, the words."""
    states = run.states(step)
    found = {f"states of {stream}": states.at(stream, position).double().numpy()}
    if "embed" in states.streams and stream != "embed":
        found["embedding"] = states.at("embed", position).double().numpy()
    for index, each in enumerate(run.untrained()):
        found[f"untrained {index}"] = each.at(stream, position).double().numpy()
    words = bag_of_tokens(run.prompts, position, np.arange(len(run.prompts)))[1]
    return found | {_SURFACE: words.double().numpy()}


def _measured(
    points: Float[np.ndarray, "member width"],
    code: Int[np.ndarray, "row"],
    inside: Int[np.ndarray, "member"],
    folds: Int[np.ndarray, "member"],
    count: int,
) -> dict[str, Table]:
    """Both measures for every pair of tasks; NaN for tasks that have no row inside."""
    own = code[inside]
    there = np.unique(own)
    nearer = np.asarray(pairwise_nearest(points, own, folds))
    both = (nearer + nearer.T) / 2
    found = {}
    measured = (np.asarray(pairwise_separation(points, own)), both)
    for name, values in zip(MEASURES, measured, strict=True):
        whole = np.full((count, count), np.nan)
        whole[np.ix_(there, there)] = values
        found[name] = whole
    return found


def _correlations(
    found: Mapping[str, Mapping[str, Table]],
    confusion: Table,
    n_permutations: int,
    n_bootstraps: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    records = []
    for measure in MEASURES:
        sign = -1 if measure == "separation" else 1
        tables = {source: sign * tables[measure] for source, tables in found.items()}
        results = correlate_pairs(tables, confusion, _SURFACE, n_permutations, n_bootstraps, rng)
        records += [
            {"source": source, "measure": measure, **vars(each)}
            for source, each in _highest_untrained(results).items()
        ]
    return pd.DataFrame(records)


def _highest_untrained(results: Mapping[str, Correlation]) -> dict[str, Correlation]:
    """Of the untrained models only that of the highest correlation."""
    fresh = {name: each for name, each in results.items() if name.startswith("untrained")}
    kept = {name: each for name, each in results.items() if name not in fresh}
    if not fresh:
        return kept
    best = max(fresh.values(), key=lambda each: -np.inf if np.isnan(each.rho) else each.rho)
    words = kept.pop(_SURFACE)
    return {**kept, f"untrained, highest of {len(fresh)}": best, _SURFACE: words}


def _pairs(
    tasks: np.ndarray,
    states: Mapping[str, Table],
    surface: Mapping[str, Table],
    confusion: Table,
    rows: Int[np.ndarray, "task other"],
) -> pd.DataFrame:
    one, other = np.triu_indices(len(tasks), 1)
    table = pd.DataFrame(
        {
            "task": tasks[one],
            "other": tasks[other],
            **{name: states[name][one, other] for name in MEASURES},
            **{f"surface_{name}": surface[name][one, other] for name in MEASURES},
            "confusion": confusion[one, other],
            "rows": rows[one, other],
        }
    )
    return table.sort_values("separation", kind="stable", ignore_index=True)


def _pair_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["task"],
        row["other"],
        *(number(row[name]) for name in ("separation", "nearest", "surface_nearest")),
        f"{number(row['confusion'])} of {row['rows']}",
    ]


def _correlation_cells(row: Mapping[str, Any]) -> list[str]:
    beyond = f"{number(row['beyond_surface'])} {interval(row['beyond_low'], row['beyond_high'])}"
    return [
        row["source"],
        row["measure"],
        f"{number(row['rho'])} {interval(row['low'], row['high'])}".strip(),
        number(row["null"]),
        "–" if row["p"] is None else f"{row['p']:.3f}",
        "" if row["source"] == _SURFACE else beyond.strip(),
    ]
