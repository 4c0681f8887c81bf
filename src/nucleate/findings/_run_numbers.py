"""The numbers of one run that are compared with those of others, each beside its null."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from nucleate._core.errors import BadInput
from nucleate._core.strings import number_strings
from nucleate.findings._accuracy import accuracy_table, answered_rows
from nucleate.findings._format import highest_null
from nucleate.findings._headline import Headline, ari_onset, headline_places
from nucleate.findings._on_record import training_table
from nucleate.intervene import CausalMap
from nucleate.panel import Panel
from nucleate.runs import Run

ARI, ONSET, ACCURACY, LOSS = "ARI (task)", "onset of ARI", "accuracy", "loss of answers"
SHIFT, ERASE = "redirected by a shift, best place", "accuracy lost by erasing, best place"


@dataclass(frozen=True)
class Number:
    """One number of a run.

    Attributes:
        metric, where: what it is, and its position or split.
        value: NaN where it is not there.
        low, high: its 95 % interval within the run; NaN where there is none.
        null: what it is by chance; NaN where that is not known.
        stream, view: of the states it was measured on.
        draws: of resampled instruction strings.
    """

    metric: str
    where: str
    value: float
    low: float
    high: float
    null: float
    stream: str = ""
    view: str = ""
    draws: Float[np.ndarray, " draw"] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What is compared with what."""
        return self.metric, self.where


@dataclass(frozen=True)
class RunNumbers:
    """What is compared of one run.

    Attributes:
        run: the run.
        step: of the numbers.
        numbers: what there is, by metric and where.
        curves: `metric, where, step, value, null`.
        correct: split -> answered right [row] at the step, and each row's string.
        notes: why something is not there.
    """

    run: Run
    step: int
    numbers: dict[tuple[str, str], Number]
    curves: pd.DataFrame
    correct: dict[str, tuple[Bool[np.ndarray, " row"], Int[np.ndarray, " row"]]] = field(
        default_factory=dict
    )
    notes: tuple[str, ...] = ()


def run_numbers(run: Run, panel: Panel | None, why: str, step: int) -> RunNumbers:
    """The numbers of a run at a step, and its curves up to there.

    Args:
        run: the run.
        panel: its panel; None where it cannot be measured.
        why: why not.
        step: a recorded step.
    """
    notes = [f"nothing is measured of it: {why}"] if panel is None else []
    places: list[Headline] = []
    numbers: list[Number] = []
    curves: list[pd.DataFrame] = []
    if panel is not None:
        short = _until(panel, step)
        try:
            places = headline_places(short)
        except BadInput:
            notes.append("no position has an ARI(task)")
        for place in places:
            numbers += _of_place(short, place)
            report = place.report
            curves.append(pd.DataFrame({
                "metric": ARI, "where": place.position, "step": report["step"],
                "value": report["value"], "null": highest_null(report),
            }))  # fmt: skip
    accuracy = accuracy_table(run)
    accuracy = accuracy[accuracy["step"] <= step]
    numbers += _of_answers(accuracy[accuracy["step"] == step])
    curves.append(_answer_curves(accuracy))
    curves.append(_loss_curve(run))
    numbers += _of_map(run.path, step, run)
    by_key = {number.key: number for number in numbers}
    table = pd.concat([each for each in curves if len(each)] or [_answer_curves(accuracy)])
    return RunNumbers(
        run, step, by_key, table.reset_index(drop=True), _correct(run, step), tuple(notes)
    )


def _until(panel: Panel, step: int) -> Panel:
    steps = np.array(sorted(set(panel.table["step"])))
    kept = steps <= step
    draws = {
        place: values[kept] if len(values) == len(steps) else values
        for place, values in panel.draws.items()
    }
    return replace(panel, table=panel.table[panel.table["step"] <= step], draws=draws)


def _of_place(panel: Panel, place: Headline) -> list[Number]:
    """ARI(task) at the last step, and its onset."""
    last = place.report.iloc[-1]
    null = float(highest_null(place.report)[-1])
    draws = panel.draws.get((place.position, place.view))
    at: dict[str, Any] = {"stream": place.stream, "view": place.view}
    of_last = None if draws is None else draws[-1, panel.streams.index(place.stream)]
    found = [Number(ARI, place.position, float(last["value"]), float(last["low"]),
                    float(last["high"]), null, draws=of_last, **at)]  # fmt: skip
    if len(place.report) > 1:
        onset = ari_onset(panel, place)
        low, high = (np.nan if end is None else float(end) for end in (onset.low, onset.high))
        when = np.inf if onset.step is None else float(onset.step)
        found.append(Number(ONSET, place.position, when, low, high, np.nan, **at))
    return found


def _of_answers(rows: pd.DataFrame) -> list[Number]:
    found = []
    for row in rows.to_dict("records"):
        found.append(Number(ACCURACY, row["split"], row["accuracy"], row["low"], row["high"],
                            row["chance"]))  # fmt: skip
        if np.isfinite(row["loss"]):
            found.append(Number(LOSS, row["split"], row["loss"], np.nan, np.nan, np.nan))
    return found


def _answer_curves(accuracy: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({
        "metric": ACCURACY, "where": accuracy["split"], "step": accuracy["step"],
        "value": accuracy["accuracy"], "null": accuracy["chance"],
    })  # fmt: skip


def _loss_curve(run: Run) -> pd.DataFrame:
    table = training_table(run)
    logged = table[table["name"] == "loss"]
    return pd.DataFrame({
        "metric": "loss of the training", "where": "", "step": logged["step"],
        "value": logged["value"], "null": np.nan,
    })  # fmt: skip


def _of_map(folder: Path, step: int, run: Run) -> list[Number]:
    """The largest effects of interventions, where they were made on the model of this step."""
    if not (folder / "causal_map.csv").exists() or step != max(run.steps):
        return []
    try:
        found = CausalMap.load(folder)
    except BadInput:
        return []
    numbers = []
    for name, effect, control in ((SHIFT, "shift", "chance"), (ERASE, "erase", "random_erase")):
        best: Any = found.best(effect)  # type: ignore[arg-type]
        if best is None:
            continue
        table = found.table
        here = table[(table["stream"] == best.stream) & (table["position"] == best.position)]
        null = float(here[control].iloc[0]) if control in here else np.nan
        low, high = (np.nan if end is None else float(end) for end in (best.low, best.high))
        numbers.append(Number(name, "", best.value, low, high, null, stream=best.stream))
    return numbers


def _correct(
    run: Run, step: int
) -> dict[str, tuple[Bool[np.ndarray, " row"], Int[np.ndarray, " row"]]]:
    """Split -> which rows were answered right, and their strings."""
    try:
        correct = run.rows(step).get("correct")
    except BadInput:
        return {}
    if correct is None:
        return {}
    prompts = run.prompts
    answered = answered_rows(prompts)
    strings = number_strings(prompts.labels) if prompts.labels else np.arange(len(prompts))
    splits = np.array(prompts.labels.get("split", ("all",) * len(prompts)), object)
    found = {}
    for split in dict.fromkeys(splits[answered].tolist()):
        there = answered & (splits == split)
        found[split] = (correct.numpy().astype(bool)[there], strings[there])
    return found
