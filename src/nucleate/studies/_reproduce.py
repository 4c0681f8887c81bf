"""`reproduce`: the main job. Two models, what forms in them, whether they use it, one report."""

import json
import shlex
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from nucleate._core.arguments import as_path
from nucleate._core.progress import Silent, Watcher, stoppable
from nucleate.findings import Findings, Summary, finding, findings, key_table, kind_of
from nucleate.runs import Run
from nucleate.studies._check import runs_of
from nucleate.studies._config import ReproduceConfig
from nucleate.studies._execute import execute, usable_threads
from nucleate.studies._full_disk import told_when_full
from nucleate.studies._one_run import run_once
from nucleate.views import CLOUDS_OF_RUN, RunView, write_findings, write_report


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` leaves: run folders, the report, and each run's summary."""

    folder: Path
    report: Path
    summaries: tuple[Summary, ...]
    seconds: dict[str, float]

    def lines(self) -> list[str]:
        """The finding of each run, key numbers, where the report is, how to look, what is next."""
        return [
            *(f"{s.name} ({kind_of(s)}): {finding(s)}" for s in self.summaries),
            "",
            *key_table(self.summaries),
            "",
            f"open  {self.report}",
            f"app   nucleate app {shlex.quote(str(self.folder))}",
            f"next  {self._next()}",
        ]

    def _next(self) -> str:
        """What would make these findings firmer."""
        seed = self.summaries[0].seed or 0
        if self.summaries[0].null:
            return "nothing should be claimed above; compare with a run without --null"
        return (
            f"another seed (--seed {seed + 1}), and the same training without "
            "task information (--null scrambled)"
        )

    def to_json(self) -> str:
        """The same for programs."""
        content = {
            "report": str(self.report),
            "seconds": self.seconds,
            "runs": [summary.model_dump(mode="json") for summary in self.summaries],
        }
        return json.dumps(content, indent=2)


def reproduce(
    config: ReproduceConfig,
    folder: Path | str,
    *,
    threads: int | None = None,
    watcher: Watcher | None = None,
) -> Reproduction:
    """Train, record, measure, intervene and report; what the folder has already is not redone.

    Args:
        config: what is done; `resolve` makes one from a preset.
        folder: gets one run folder for each kind of outputs, and `report.html`.
        threads: of torch in all; None takes one a core. Runs are done side by side, each with its
            share.
        watcher: is told of the progress and may ask to stop; None: nobody watches.

    Raises:
        BadInput: settings that cannot be, or a folder with runs of another configuration.
        RunFailed: a loss that is not finite, or a full disk; what was recorded is kept.
        Interrupted: the watcher asked to stop; the same call goes on.
    """
    folder = as_path("folder", folder)
    began = time.perf_counter()
    watcher = watcher or Silent()
    jobs = [(config, outputs, folder / name) for name, outputs in runs_of(config)]
    with told_when_full(folder):
        execute(run_once, jobs, usable_threads(threads), watcher)
        return _report(config, [Run(path) for _, _, path in jobs], folder, began, watcher)


def _report(
    config: ReproduceConfig, runs: list[Run], folder: Path, began: float, watcher: Watcher
) -> Reproduction:
    """Summaries into the run folders, one report beside them."""
    found = [findings(run) for run in runs]
    for run, result in zip(runs, found, strict=True):
        write_findings(result, run.path)
    seconds = _seconds(found)
    seconds["all of this sitting, without the report"] = time.perf_counter() - began
    report = write_report(
        [RunView(run, cache=run.path / CLOUDS_OF_RUN) for run in runs],
        folder / "report.html",
        title=f"nucleate reproduce: {_title(config)}",
        progress=stoppable(watcher, "clouds"),
    )
    seconds["whole"] = time.perf_counter() - began
    return Reproduction(folder, report, tuple(f.summary for f in found), seconds)


def _title(config: ReproduceConfig) -> str:
    return f"{config.tasks} tasks, seed {config.seed}" + (f", {config.null}" if config.null else "")


def _seconds(found: list[Findings]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for result in found:
        for part, seconds in result.summary.seconds.items():
            total[part] += seconds
    return dict(total)
