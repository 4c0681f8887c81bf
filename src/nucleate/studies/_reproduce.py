"""`reproduce`: the main job. Two models, what forms in them, whether they use it, one report."""

import errno
import json
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from nucleate._core.arguments import as_path
from nucleate._core.errors import RunFailed
from nucleate._core.progress import Silent, Watcher
from nucleate.findings import Findings, Summary, finding, findings, key_table, kind_of
from nucleate.runs import Run
from nucleate.studies._check import runs_of
from nucleate.studies._config import ReproduceConfig
from nucleate.studies._execute import execute, usable_threads
from nucleate.studies._material import taskset_of
from nucleate.studies._one_run import run_once
from nucleate.tasks import TaskSet
from nucleate.views import RunReport, report_of, write_findings, write_report

_SHOWN = 6


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` leaves: the report, and each run's summary."""

    report: Path
    summaries: tuple[Summary, ...]
    seconds: dict[str, float]

    def lines(self) -> list[str]:
        """The finding of each run, a table of key numbers, where the report is, what is next."""
        return [
            *(f"{s.name} ({kind_of(s)}): {finding(s)}" for s in self.summaries),
            "",
            *key_table(self.summaries),
            "",
            f"open  {self.report}",
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
        folder: gets one run folder for each kind of outputs, `report.html`, figures and tables.
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
    jobs = [(config, outputs, folder / name) for name, outputs in runs_of(config)]
    try:
        execute(run_once, jobs, usable_threads(threads), watcher or Silent())
        return _report(config, [Run(path) for _, _, path in jobs], folder, began)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunFailed(
            f"the disk of {folder} is full ({error}); free some of it and run again to resume"
        ) from error


def _report(config: ReproduceConfig, runs: list[Run], folder: Path, began: float) -> Reproduction:
    """Summaries into the run folders, one report beside them."""
    found = [findings(run) for run in runs]
    for run, result in zip(runs, found, strict=True):
        write_findings(result, run.path)
    seconds = _seconds(found)
    views = [_view(config, run, result) for run, result in zip(runs, found, strict=True)]
    seconds["all of this sitting, without the figures"] = time.perf_counter() - began
    report = write_report(
        views, folder, title=f"nucleate reproduce: {_title(config)}", seconds=seconds
    )
    seconds["whole"] = time.perf_counter() - began
    return Reproduction(report, tuple(f.summary for f in found), seconds)


def _title(config: ReproduceConfig) -> str:
    return f"{config.tasks} tasks, seed {config.seed}" + (f", {config.null}" if config.null else "")


def _seconds(found: list[Findings]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for result in found:
        for part, seconds in result.summary.seconds.items():
            total[part] += seconds
    return dict(total)


def _view(config: ReproduceConfig, run: Run, result: Findings) -> RunReport:
    """What a report shows of a run, its tasks told in the words of their own configuration."""
    taskset = taskset_of(config, run.manifest["outputs"])
    trained = taskset.split("train")
    return replace(
        report_of(run, result),
        patterns=_patterns(taskset),
        examples=[
            (row.task, row.instruction, row.input, row.output)
            for row in trained[:: max(1, len(trained) // _SHOWN)]
        ][:_SHOWN],
    )


def _patterns(taskset: TaskSet) -> dict[str, tuple[str, ...]]:
    """How the first tasks are announced: regular expressions, or wordings."""
    announced: dict[str, dict[str, None]] = {task: {} for task in taskset.tasks[:_SHOWN]}
    for row in taskset.examples:
        if row.task in announced and len(announced[row.task]) < 4:
            announced[row.task][taskset.patterns.get(row.family, row.instruction)] = None
    return {task: tuple(kinds) for task, kinds in announced.items()}
