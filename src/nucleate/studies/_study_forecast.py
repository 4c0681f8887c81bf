"""Forecasts of how the runs of a study end, from one early step and along the training."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from nucleate._core.arguments import as_path, check_number
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.dynamics import FEWEST_RUNS, Forecast, forecast
from nucleate.findings import accuracy_table, interval, number, splits_of
from nucleate.panel import Panel
from nucleate.runs import Run
from nucleate.studies._folders import state_of
from nucleate.studies._page import Study, StudyRun

LeaveOut = Literal["run", "seed", "setting"]
LEAVE_OUT: tuple[LeaveOut, ...] = ("run", "seed", "setting")
_METRICS = {"separation": "separation", "ARI": "ari"}
_SAYS = {
    "better": "forecasts better than the loss",
    "worse": "forecasts worse than the loss",
    "adds": "forecasts no better than the loss alone, but improves it",
    "undecided": "undecided whether it forecasts better or worse than the loss",
}


@dataclass(frozen=True)
class StudyForecast:
    """Whether early separation forecasts the end of a study's runs better than early loss.

    Attributes:
        name: of the study.
        early: share of the training that was chosen beforehand.
        steps: the steps that this is in the runs, the least and the largest.
        split: of the final accuracy.
        left_out: what is left out at a time: `run`, `seed` or `setting`.
        final: the least and the largest final accuracy.
        result: at the chosen step.
        curve: r2 and its null at every recorded share of the training, `share, predictor, r2,
            null, rank`; for the eye: nothing is chosen there.
        missing: labels of runs that are not done.
    """

    name: str
    early: float
    steps: tuple[int, int]
    split: str
    left_out: LeaveOut
    final: tuple[float, float]
    result: Forecast
    curve: pd.DataFrame
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        names = [name for name in self.result.skills if name in _METRICS]
        content = {key: value for key, value in vars(self).items() if key != "curve"}
        return content | {
            "result": asdict(self.result),
            "verdicts": {name: self.result.verdict(name) for name in names},
            "curve": self.curve.to_dict("records"),
        }

    def lines(self) -> list[str]:
        """For a terminal: skills beside their nulls, then differences, then verdicts."""
        found = self.result
        span = "-".join(map(str, dict.fromkeys(self.steps)))
        lines = [
            f"{self.name}: {found.runs} runs; accuracy on {self.split} at the end "
            f"({number(self.final[0])} to {number(self.final[1])}) forecast at step {span}, "
            f"{self.early:.0%} of the training; one {self.left_out} of {found.groups} left out at "
            "a time"
        ]
        for name, skill in found.skills.items():
            lines.append(
                f"{name}: R2 {number(skill.r2)} {interval(skill.low, skill.high)}, permuted "
                f"{number(skill.null)} (p {skill.p:.3f}); rank correlation {number(skill.rank)}, "
                f"permuted {number(skill.rank_null)}"
            )
        for name, gain in found.alone.items():
            added = found.added[name]
            lines.append(
                f"{name} less {found.baseline}: R2 {gain.r2:+.2f} {interval(gain.low, gain.high)}; "
                f"added to it: {added.r2:+.2f} {interval(added.low, added.high)}"
            )
        lines += [f"{name}: {_SAYS[found.verdict(name)]}" for name in found.alone]
        if found.runs < FEWEST_RUNS:
            lines.append(f"fewer than {FEWEST_RUNS} runs decide nothing")
        return lines + ([f"not done: {'; '.join(self.missing)}"] if self.missing else [])


def study_forecast(
    study: Study,
    out: Path | str,
    *,
    early: float = 0.2,
    split: str = "unseen_cell",
    loss: str = "seen",
    position: str = "last",
    left_out: LeaveOut = "run",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> StudyForecast:
    """Ask of a study's finished runs whether early clusters forecast the end better than loss.

    At the last recorded step of the first `early` share of the training three numbers are taken of
    every run: the loss of the answers on the split `loss`; the logarithm of 1 + class separation,
    and the ARI of clusters against task, each in the block where it is largest at that step, less
    each input's mean where that is measured. Nothing later enters. How it is judged:
    `nucleate.dynamics.forecast`. Twins are left out: they are made to end otherwise.

    Args:
        study: from `read_study`.
        out: the folder of the runs; nothing in it is changed.
        early: share of the training, 0 to 1; choose it before looking at the curve.
        split: whose final accuracy is forecast.
        loss: the split of the early loss.
        position: of the clusters.
        left_out: `run`; `seed` or `setting`: all runs of a seed or setting at once, so that the
            forecast is for one that was not seen.
        seed: of bootstraps and permutations.
        progress: is called with the runs read and all.

    Raises:
        BadInput: fewer than four finished runs, one without panel or answers of that split, or
            runs that all end alike.
    """
    _check(early, left_out)
    out = as_path("out", out)
    own = [run for run in study.runs if not run.twin]
    done = [run for run in own if state_of(out / run.key) == "done"]
    if len(done) < 4:
        raise BadInput(
            f"{len(done)} of {len(own)} runs of the study {study.name} are done in {out}, and four "
            "are needed; run `nucleate study run` first"
        )
    tables = []
    for index, run in enumerate(done):
        tables.append(_numbers(Run(out / run.key / run.folder_name), position, loss, split))
        if progress is not None:
            progress(index + 1, len(done))
    final = np.array([table["final"].iloc[-1] for table in tables])
    groups = np.array([_group(run, left_out) for run in done])

    def at(share: float, draws: int) -> tuple[Forecast, list[int]]:
        rows = [table[table["step"] <= share * table["step"].iloc[-1]].iloc[-1] for table in tables]
        values = {name: np.array([row[name] for row in rows]) for name in ("loss", *_METRICS)}
        found = forecast(values, final, groups=groups, draws=draws, seed=seed)
        return found, [int(row["step"]) for row in rows]

    result, steps = at(early, 1000)
    shares = tables[0]["step"] / tables[0]["step"].iloc[-1]
    curve = [
        {"share": float(share), "predictor": name, "r2": skill.r2, "null": skill.null,
         "rank": skill.rank}
        for share in shares
        for name, skill in at(share, 199)[0].skills.items()
    ]  # fmt: skip
    return StudyForecast(
        study.name, float(early), (min(steps), max(steps)), split, left_out,
        (float(final.min()), float(final.max())), result, pd.DataFrame(curve),
        tuple(run.label for run in own if run not in done),
    )  # fmt: skip


def _check(early: float, left_out: str) -> None:
    check_number("early", early)
    if not 0 < early <= 1:
        raise BadInput(f"early is {early}; give a share of the training above 0 and up to 1")
    if left_out not in LEAVE_OUT:
        raise BadInput(
            f"left_out is {left_out!r}{nearest(str(left_out), LEAVE_OUT)}; choose one of "
            f"{', '.join(LEAVE_OUT)}"
        )


def _group(run: StudyRun, left_out: LeaveOut) -> str:
    if left_out == "run":
        return run.key
    return str(run.config.seed) if left_out == "seed" else run.setting


def _numbers(run: Run, position: str, loss: str, split: str) -> pd.DataFrame:
    """`step, loss, separation, ARI, final` of a run at every measured step."""
    for name in (loss, split):
        if name not in splits_of(run):
            raise BadInput(
                f"{run.path} has no rows of the split {name!r}; it has "
                f"{', '.join(splits_of(run)) or 'no answers'}"
            )
    answers = accuracy_table(run)
    losses = answers[answers["split"] == loss].set_index("step")["loss"]
    final = answers[answers["split"] == split].set_index("step")["accuracy"]
    panel = Panel.of(run).table
    found = pd.DataFrame({"loss": losses, "final": final})
    for name, metric in _METRICS.items():
        found[name] = _highest(panel, metric, position, run)
    found["separation"] = np.log1p(found["separation"].clip(lower=0))
    return found.dropna().reset_index()


def _highest(panel: pd.DataFrame, metric: str, position: str, run: Run) -> "pd.Series[float]":
    """The largest value of any block at each step; of conditioned states where there are some."""
    there = panel[
        (panel["metric"] == metric) & (panel["label"] == "task")
        & (panel["position"] == position) & panel["stream"].str.contains("block")
        & panel["half"].isin(["all", ""])
    ]  # fmt: skip
    if there.empty:
        raise BadInput(
            f"the panel of {run.path} has no {metric} of tasks in a block at the position "
            f"{position!r}; name another position, or measure it again"
        )
    view = "conditioned" if "conditioned" in set(there["view"]) else "raw"
    return there[there["view"] == view].groupby("step")["value"].max()
