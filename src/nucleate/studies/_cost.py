"""What a study costs, before anything of it runs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.studies._command import CommandConfig
from nucleate.studies._config import ReproduceConfig, resolve
from nucleate.studies._folders import DONE, read_mark, size_key, state_of
from nucleate.studies._page import Study, StudyRun

# Processor seconds and bytes of a `smoke` run of own outputs, by part: measured on one thread of a
# server's processor. What is fixed: tables, and what each part begins with.
_SMOKE_SECONDS = {"fixed": 3.0, "training": 3.4, "panel": 8.5, "causal map": 1.8}
_SMOKE_BYTES = {"fixed": 2.5e6, "states": 2.6e6, "panel": 2.6e6, "checkpoints": 2.4e6}


@dataclass(frozen=True)
class Plan:
    """What is to do, and what it will take.

    Attributes:
        name: of the study.
        runs: how many, those that two settings share counted once.
        done: of these.
        core_hours: of what is not done.
        bytes: of what is not done.
        measured: how many of the runs to do are estimated from finished ones of the same size; the
            others follow a rule and may take a few times as long, or as short.
        unknown: runs of a command of which none is finished; core-hours and bytes leave them out.
    """

    name: str
    runs: int
    done: int
    core_hours: float
    bytes: float
    measured: int
    unknown: int = 0

    def lines(self) -> list[str]:
        """For a terminal."""
        left = self.runs - self.done
        told = [f"study {self.name}: {self.runs} runs, {self.done} done, {left} to do"]
        if not left:
            return told
        if self.unknown < left:
            told.append(
                f"to do: {_hours(self.core_hours)} of one core, {self.bytes / 1e6:.0f} MB on disk"
            )
        rest = left - self.measured - self.unknown
        how = [f"{self.measured} estimated from finished runs of the same size"] * (
            self.measured > 0
        )
        how += [f"{rest} by a rule that may be off by a factor of three"] * (rest > 0)
        how += [f"{self.unknown} unknown until a run of the command is finished"] * (
            self.unknown > 0
        )
        return [*told, "; ".join(how)]

    def to_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return asdict(self)


def plan_study(study: Study, out: Path | str) -> Plan:
    """Say what a study will take.

    Seconds and bytes are the mean of finished runs of the same size in `out`, seeds and nulls
    aside. Where there are none, those of a `smoke` run are scaled part by part: training by steps,
    batch and weights; the panel by recorded steps, places, rows and draws of k-means; the causal
    map by places, rows and weights.

    Args:
        study: from `read_study`.
        out: the folder of the runs; it need not be there.

    Returns:
        The plan.

    Raises:
        BadInput: a run's folder is damaged or of a newer version.
    """
    out = as_path("out", out)
    runs = distinct(study.runs)
    known = _finished(out)
    left = [run for run in runs if state_of(out / run.key) != "done"]
    seconds = size = 0.0
    measured = unknown = 0
    for run in left:
        found = known.get(size_key(run.config))
        measured += found is not None
        if isinstance(run.config, CommandConfig):
            unknown += found is None
            more, on_disk = found or (0.0, 0.0)
        else:
            more, on_disk = found or _by_rule(run.config)
        seconds, size = seconds + more, size + on_disk
    return Plan(study.name, len(runs), len(runs) - len(left), seconds / 3600, size, measured,
                unknown)  # fmt: skip


def distinct(runs: Iterable[StudyRun]) -> list[StudyRun]:
    """Runs of the same settings once."""
    return list({run.key: run for run in runs}.values())


def _finished(out: Path) -> dict[str, tuple[float, float]]:
    """Size -> mean seconds of a core, and bytes, of the runs that were done in one sitting."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for mark in sorted(out.glob(f"*/{DONE}")):
        try:
            said = read_mark(mark)
        except BadInput:  # another study's; it is told of where it is needed
            continue
        if said["whole"]:
            found[said["size"]].append((float(said["cpu_seconds"]), float(said["bytes"])))
    return {size: _mean(pairs) for size, pairs in found.items()}


def _mean(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    seconds, sizes = zip(*pairs, strict=True)
    return sum(seconds) / len(pairs), sum(sizes) / len(pairs)


def _by_rule(config: ReproduceConfig) -> tuple[float, float]:
    """Seconds of a core, and bytes, scaled from those of a `smoke` run."""
    here, there = _drivers(config), _drivers(resolve("smoke"))
    ratio = {part: here[part] / there[part] for part in here} | {"fixed": 1.0}
    return (
        sum(seconds * ratio[part] for part, seconds in _SMOKE_SECONDS.items()),
        sum(size * ratio[part] for part, size in _SMOKE_BYTES.items()),
    )


def _drivers(config: ReproduceConfig) -> dict[str, float]:
    """What the cost of each part goes with."""
    model, training, panel = config.model, config.training, config.panel
    weights = model.depth * model.width * (4 * model.width + 2 * (model.inner or 8 * model.width))
    points, places = config.recording.points, 2 * (model.depth + 2)
    rows = config.recording.rows
    drivers = {
        "training": training.steps * training.batch_size * weights,
        "panel": points * places * rows * (20 + panel.n_init + panel.n_bootstraps / 50),
        "causal map": places * config.causal.rows * weights,
        "states": points * places * rows * model.width,
        "checkpoints": weights,
    }
    return {part: float(driver) for part, driver in drivers.items()}


def _hours(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
