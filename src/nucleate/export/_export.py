"""Exporting the scalars of a run to an experiment tracker."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nucleate._core.errors import BadInput
from nucleate.export._trackers import TRACKERS, Target, check_export, check_panel
from nucleate.panel import Panel
from nucleate.runs import Run
from nucleate.tasks import canonical_hash

Scalars = dict[int, dict[str, float]]

_BESIDE = {"low": "low", "high": "high", "n0_mean": "n0_mean", "n0_q99": "n0", "n1_max": "n1",
           "n2": "n2"}  # fmt: skip
_ACCURACY_BESIDE = {name: name for name in ("low", "high", "chance")}


@dataclass(frozen=True)
class Exported:
    """What an export left.

    Attributes:
        tracker: its name.
        where: the folder or address that holds it.
        look: a command that shows it.
        steps: number of training steps that have a scalar.
        scalars: number of scalars, over all steps.
    """

    tracker: str
    where: str
    look: str
    steps: int
    scalars: int


def export_run(
    run: Run | Path | str,
    to: str,
    *,
    out: Path | str | None = None,
    uri: str | None = None,
    project: str = "nucleate",
) -> Exported:
    """Write the scalars of a run over training steps into an experiment tracker.

    What is written is told by `scalars_of`. Nothing leaves the machine unless `uri` is an address:
    W&B writes an offline run, which `wandb sync` uploads when the user says so. Exporting a run
    again replaces its earlier export in the same place. Runs are told apart by their folder and
    their configuration: a run folder that was moved is exported as another run.

    Args:
        run: the run, or its folder; it has a panel (`measure(...).save(run.path)`).
        to: `tensorboard`, `mlflow`, `wandb` or `trackio`; each needs the extra of its name.
        out: folder to write into, by default `export/<to>` beside the run folder; for trackio
            its own folder, and another only where trackio has not been imported yet.
        uri: of an MLflow store, instead of `out`: a database or a server.
        project: MLflow's experiment, W&B's and trackio's project, a folder for TensorBoard.

    Raises:
        BadInput: the run has no panel, the tracker is unknown or not installed, or what it is
            asked for cannot be used.
    """
    run = run if isinstance(run, Run) else Run(run)
    check_export(run.path, to, out=out, uri=uri)
    scalars = scalars_of(run)
    place = run.path.resolve()
    # A training resumed with other hyperparameters is the same run.
    own = {name: it for name, it in run.manifest.items() if name != "hyperparameters"}
    settings = run.manifest.get("config_hash", own)
    target = Target(
        identity=canonical_hash([str(place), settings])[:16],
        name=place.name,
        project=project,
        default=place.parent / "export" / to,
        out=None if out is None else Path(out),
        uri=uri,
    )
    exporter = TRACKERS[to](target)
    try:
        for step, values in scalars.items():
            exporter.scalars(step, values)
    finally:
        exporter.close()
    total = sum(map(len, scalars.values()))
    return Exported(to, exporter.where, exporter.look, len(scalars), total)


def scalars_of(run: Run) -> Scalars:
    """Every scalar of a run, by training step, in order of steps.

    - `nucleate/<metric>/<position>/<stream>`: the panel's values. The metric is followed by what
      is not usual: a label other than the task, a view other than raw, a half of the instruction
      strings, as in `ari.family`, `ari.conditioned.report`. Beside each value, below its name:
      `low` and `high`, its interval; `n0_mean` and `n0`, mean and 99 % point under permuted
      labels; `n1`, the most among untrained models; `n2`, what the bag of tokens gives.
    - `nucleate/accuracy/<split>` with `low`, `high`, `chance`, and `nucleate/loss/<split>`: of the
      prompt set's answers; the split is `all` where the run has no table of splits.
    - `nucleate/training/<name>`: what the journal has of the training, such as `loss`.

    What is missing or not finite is left out, a value's nulls together with it: a tracker shows
    a gap.

    Raises:
        BadInput: the run has no panel, or two of its numbers would have the same name.
    """
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for step, name, value in _measured(run):
        if name in found[step]:
            raise BadInput(
                f"{run.path} has two numbers named {name!r} at step {step}: rename a position or "
                "label so that they differ in letters or digits, and measure again"
            )
        found[step][name] = value
    for step, name, value in _training(run):  # the newest holds where a step was taken twice
        found[step][name] = value
    return {
        step: {name: value for name, value in found[step].items() if np.isfinite(value)}
        for step in sorted(found)
    }


def _measured(run: Run) -> Iterator[tuple[int, str, float]]:
    check_panel(run.path)
    panel = Panel.load(run.path).table
    panel["name"] = [_name(*row) for row in panel[list(_NAMED)].itertuples(index=False)]
    yield from _beside(panel, "value", _BESIDE)
    accuracy = _accuracy(run)
    if len(accuracy):
        splits = accuracy["split"].map(_segment)
        yield from _beside(
            accuracy.assign(name="nucleate/accuracy/" + splits), "accuracy", _ACCURACY_BESIDE
        )
        yield from _beside(accuracy.assign(name="nucleate/loss/" + splits), "loss", {})


_NAMED = ("metric", "label", "view", "half", "position", "stream")


def _name(metric: str, label: str, view: str, half: str, position: str, stream: str) -> str:
    usual = ("", "task", "raw", "all")
    what = ".".join([metric, *(part for part in (label, view, half) if part not in usual)])
    return "/".join(["nucleate", *map(_segment, (what, position, stream))])


def _segment(text: str) -> str:
    """Text with only the characters that every tracker takes in a name."""
    return re.sub(r"[^\w. -]", "_", text)


def _beside(
    table: pd.DataFrame, column: str, others: dict[str, str]
) -> Iterator[tuple[int, str, float]]:
    """A column's values, and the numbers that belong beside them, below their names."""
    there = table[np.isfinite(table[column].to_numpy(float))]
    for name, suffix in {column: "", **others}.items():
        ending = f"/{suffix}" if suffix else ""
        for step, base, value in zip(there["step"], there["name"], there[name], strict=True):
            yield int(step), base + ending, float(value)


def _accuracy(run: Run) -> pd.DataFrame:
    """The run's table of accuracy and loss by split; without one, those of all answered rows."""
    table = run.path / "accuracy.csv"
    if table.exists():
        return pd.read_csv(table)
    prompts = run.prompts
    answered = np.asarray(prompts.lengths) > np.asarray(prompts.prompt_lengths)
    records = []
    for step in run.steps if answered.any() else ():
        rows = run.rows(step)
        if {"correct", "nll"} <= rows.keys():
            correct, nll = rows["correct"].numpy()[answered], rows["nll"].numpy()[answered]
            records.append({"step": step, "split": "all", "accuracy": correct.mean(),
                            "loss": nll.mean(), "low": np.nan, "high": np.nan,
                            "chance": prompts.chance[answered].mean()})  # fmt: skip
    return pd.DataFrame(records)


def _training(run: Run) -> Iterator[tuple[int, str, float]]:
    """Losses of every step, where the training journals them, and scalars of recorded steps."""
    for record in run.journal.live("step"):
        for step, loss in enumerate(record.get("losses", ()), record.get("first", 0)):
            yield step, "nucleate/training/loss", float(loss)
        for name, value in record.items():
            if name not in ("kind", "time", "step", "first", "losses") and isinstance(
                value, int | float
            ):
                yield record["step"], f"nucleate/training/{_segment(name)}", float(value)
