"""Exporting the scalars of a run to an experiment tracker."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import pandas as pd

from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.export._trackers import TRACKERS, Target, check_export, check_panel
from nucleate.findings import headline_places, training_table
from nucleate.panel import Panel
from nucleate.runs import Run
from nucleate.tasks import canonical_hash

Scalars = dict[int, dict[str, float]]
_Scalar = tuple[int, str, float]
"""Step, name and value."""
_OF_TRAINING = ("loss", "learning_rate", "lr")

_BESIDE = {"low": "low", "high": "high", "n0_mean": "n0_mean", "n0_q99": "n0", "n1_max": "n1",
           "n2": "n2"}  # fmt: skip
_HEADLINE_BESIDE = {name: it for name, it in _BESIDE.items() if name != "n0_mean"}
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
        curves: number of names that they have.
    """

    tracker: str
    where: str
    look: str
    steps: int
    scalars: int
    curves: int


@overload
def export_run(  # type: ignore[overload-overlap]  # a text is one run, not several
    run: Run | Path | str,
    to: str,
    *,
    out: Path | str | None = None,
    uri: str | None = None,
    project: str = "nucleate",
    metrics: Sequence[str] | None = None,
    streams: Sequence[str] | None = None,
    positions: Sequence[str] | None = None,
) -> Exported: ...
@overload
def export_run(
    run: Sequence[Run | Path | str],
    to: str,
    *,
    out: Path | str | None = None,
    uri: str | None = None,
    project: str = "nucleate",
    metrics: Sequence[str] | None = None,
    streams: Sequence[str] | None = None,
    positions: Sequence[str] | None = None,
) -> list[Exported]: ...
def export_run(
    run: Run | Path | str | Sequence[Run | Path | str],
    to: str,
    *,
    out: Path | str | None = None,
    uri: str | None = None,
    project: str = "nucleate",
    metrics: Sequence[str] | None = None,
    streams: Sequence[str] | None = None,
    positions: Sequence[str] | None = None,
) -> Exported | list[Exported]:
    """Write the scalars of a run over training steps into an experiment tracker.

    What is written is told by `scalars_of`. Nothing leaves the machine unless `uri` is an address:
    W&B writes an offline run, which `wandb sync` uploads when the user says so. Exporting a run
    again replaces its earlier export in the same place. Runs are told apart by their folder and
    their configuration: a run folder that was moved is exported as another run.

    Args:
        run: the run, or its folder; it has a panel (`measure`). Or several: each is a run of the
            tracker, and the headline's names are the same in all.
        to: `tensorboard`, `mlflow`, `wandb` or `trackio`; each needs the extra of its name.
        out: folder to write into, by default `export/<to>` beside the run folder; for trackio
            its own folder, and another only where trackio has not been imported yet.
        uri: of an MLflow store, instead of `out`: a database or a server.
        project: MLflow's experiment, W&B's and trackio's project, a folder for TensorBoard.
        metrics, streams, positions: as for `scalars_of`.

    Returns:
        What was left; a list of it where several runs were given.

    Raises:
        BadInput: the run has no panel, the tracker is unknown or not installed, or what it is
            asked for cannot be used.
    """
    several = [run] if isinstance(run, Run | Path | str) else list(run)
    runs = [each if isinstance(each, Run) else Run(each) for each in several]
    for each in runs:
        check_export(each.path, to, out=out, uri=uri)
    chosen = [
        scalars_of(each, metrics=metrics, streams=streams, positions=positions) for each in runs
    ]
    done = [
        _write(scalars, to, _target(each, to, out, uri, project))
        for each, scalars in zip(runs, chosen, strict=True)
    ]
    return done[0] if isinstance(run, Run | Path | str) else done


def _target(run: Run, to: str, out: Path | str | None, uri: str | None, project: str) -> Target:
    place = run.path.resolve()
    # A training resumed with other hyperparameters is the same run.
    own = {name: it for name, it in run.manifest.items() if name != "hyperparameters"}
    settings = run.manifest.get("config_hash", own)
    return Target(
        identity=canonical_hash([str(place), settings])[:16],
        name=place.name,
        project=project,
        default=place.parent / "export" / to,
        out=None if out is None else Path(out),
        uri=uri,
    )


def _write(scalars: Scalars, to: str, target: Target) -> Exported:
    exporter = TRACKERS[to](target)
    try:
        for step, values in scalars.items():
            exporter.scalars(step, values)
    finally:
        exporter.close()
    names = {name for values in scalars.values() for name in values}
    total = sum(map(len, scalars.values()))
    return Exported(to, exporter.where, exporter.look, len(scalars), total, len(names))


def scalars_of(
    run: Run,
    *,
    metrics: Sequence[str] | None = None,
    streams: Sequence[str] | None = None,
    positions: Sequence[str] | None = None,
) -> Scalars:
    """The scalars of a run by training step, in order: some 20 curves, or those asked for.

    - `nucleate/headline/<position>/ari`: the ARI(task) that summary and report speak of, at the
      stream that they chose. It is what is written of the panel where no metrics or streams are
      asked for, and has the same names in all runs.
    - `nucleate/<metric>/<position>/<stream>`: the panel's values. The metric is followed by what
      is not usual: a label other than the task, a view other than raw, a half of the instruction
      strings, as in `ari.family`, `ari.conditioned.report`.
    - Beside each value, below its name: `low` and `high`, its interval; `n0`, the 99 % point under
      permuted labels; `n1`, the most among untrained models; `n2`, what the bag of tokens gives;
      and, but for the headline, `n0_mean`.
    - `nucleate/accuracy/<split>` with `low`, `high`, `chance`, and `nucleate/loss/<split>`: of the
      prompt set's answers; the split is `all` where the run has no table of splits. Of several
      splits the headline has `seen`, or the first.
    - `nucleate/training/<name>`: what the journal has of the training; the headline has `loss` and
      `learning_rate`.

    What is missing or not finite is left out, a value's nulls together with it: a tracker shows
    a gap.

    Args:
        run: a run with a panel.
        metrics: names such as `ari`, which stands for `ari.report` and so on as well, or
            `ari.family`; `all` for everything, hundreds of curves.
        streams: by default all, of the metrics asked for; given without metrics, those of `ari`.
        positions: by default all.

    Raises:
        BadInput: the run has no panel, or not what is asked for, or two of its numbers would have
            the same name.
    """
    found: dict[int, dict[str, float]] = defaultdict(dict)
    everything = metrics is not None and "all" in metrics
    panel = _panel(run)
    measured = (
        _headline(panel, positions)
        if metrics is None and streams is None
        else _asked(panel, metrics or ("ari",), streams, positions)
    )
    for step, name, value in (*measured, *_answered(run, everything)):
        if name in found[step]:
            raise BadInput(
                f"{run.path} has two numbers named {name!r} at step {step}: rename a position or "
                "label so that they differ in letters or digits, and measure again"
            )
        found[step][name] = value
    training = training_table(run)
    for step, name, value in zip(*(training[c] for c in ("step", "name", "value")), strict=True):
        if everything or name in _OF_TRAINING:
            found[int(step)][f"nucleate/training/{_segment(name)}"] = float(value)
    return {
        step: {name: value for name, value in found[step].items() if np.isfinite(value)}
        for step in sorted(found)
    }


def _panel(run: Run) -> Panel:
    check_panel(run.path)
    return Panel.load(run.path)


def _headline(panel: Panel, positions: Sequence[str] | None) -> Iterator[_Scalar]:
    """ARI(task) of each position, where the summary looks."""
    _check("position", positions, panel.table["position"].unique())
    try:
        places = headline_places(panel)
    except BadInput:  # no position has any: answers and training are left
        return
    for place in places:
        if positions is None or place.position in positions:
            name = f"nucleate/headline/{_segment(place.position)}/ari"
            yield from _beside(place.report.assign(name=name), "value", _HEADLINE_BESIDE)


def _asked(
    panel: Panel,
    metrics: Sequence[str],
    streams: Sequence[str] | None,
    positions: Sequence[str] | None,
) -> Iterator[_Scalar]:
    """The panel's rows of some metrics, streams and positions."""
    table = panel.table.copy()
    whats = [_what(*row) for row in table[list(_QUALIFIED)].itertuples(index=False)]
    table["name"] = [
        "/".join(["nucleate", *map(_segment, (what, position, stream))])
        for what, position, stream in zip(whats, table["position"], table["stream"], strict=True)
    ]
    wanted = np.ones(len(table), dtype=bool)
    if "all" not in metrics:
        known = dict.fromkeys(".".join(parts) for what in whats for parts in _beginnings(what))
        _check("metric", metrics, known)
        wanted &= [any(".".join(parts) in metrics for parts in _beginnings(w)) for w in whats]
    for column, names in (("stream", streams), ("position", positions)):
        if names is not None:
            _check(column, names, table[column].unique())
            wanted &= table[column].isin(names).to_numpy()
    yield from _beside(table[wanted], "value", _BESIDE)


def _check(what: str, names: Sequence[str] | None, known: Iterable[str]) -> None:
    """Refuse names that the panel does not have."""
    there = [str(name) for name in known]
    for name in names or ():
        if name not in there:
            raise BadInput(
                f"the panel has no {what} {name!r}{nearest(name, there)}; it has {', '.join(there)}"
            )


def _answered(run: Run, everything: bool) -> Iterator[_Scalar]:
    """Accuracy and loss of the prompt set's answers; of one split, or of all."""
    accuracy = _accuracy(run)
    if not len(accuracy):
        return
    splits = list(dict.fromkeys(accuracy["split"]))
    if not everything:
        main = "seen" if "seen" in splits else splits[0]
        accuracy = accuracy[accuracy["split"] == main]
    names = accuracy["split"].map(_segment)
    yield from _beside(
        accuracy.assign(name="nucleate/accuracy/" + names), "accuracy", _ACCURACY_BESIDE
    )
    yield from _beside(accuracy.assign(name="nucleate/loss/" + names), "loss", {})


_QUALIFIED = ("metric", "label", "view", "half")


def _what(metric: str, label: str, view: str, half: str) -> str:
    """A metric with what is not usual about it, as `ari.family.conditioned`."""
    usual = ("", "task", "raw", "all")
    return ".".join([metric, *(part for part in (label, view, half) if part not in usual)])


def _beginnings(what: str) -> Iterator[list[str]]:
    """`ari`, `ari.family`, `ari.family.conditioned`."""
    parts = what.split(".")
    return (parts[:count] for count in range(1, len(parts) + 1))


def _segment(text: str) -> str:
    """Text with only the characters that every tracker takes in a name."""
    return re.sub(r"[^\w. -]", "_", text)


def _beside(table: pd.DataFrame, column: str, others: dict[str, str]) -> Iterator[_Scalar]:
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
