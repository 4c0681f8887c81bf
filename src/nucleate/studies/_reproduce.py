"""`reproduce`: the main job. Two models, what forms in them, whether they use it, one report."""

import errno
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nucleate._core.errors import RunFailed
from nucleate._core.progress import Silent, Watcher
from nucleate.findings import Findings, Summary, finding, findings, key_table, kind_of
from nucleate.panel import measured_rows
from nucleate.runs import Run, write_json
from nucleate.studies._check import runs_of
from nucleate.studies._config import ReproduceConfig
from nucleate.studies._execute import execute, usable_threads
from nucleate.studies._material import taskset_of
from nucleate.studies._one_run import run_once
from nucleate.tasks import TaskSet
from nucleate.views import RunReport, picture_table, write_report

_FRAMES = 4
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
        if self.summaries[0].null:
            return "nothing should be claimed above; compare with a run without --null"
        return (
            f"another seed (--seed {self.summaries[0].seed + 1}), and the same training without "
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
    folder: Path,
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
        write_json(run.path / "summary.json", result.summary.model_dump(mode="json"))
        for name in ("accuracy", "onsets", "places"):
            getattr(result, name).to_csv(run.path / f"{name}.csv", index=False)
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
    taskset = taskset_of(config, run.manifest["outputs"])
    return RunReport(
        summary=result.summary,
        panel=result.panel,
        accuracy=result.accuracy,
        onsets=result.onsets,
        places=result.places,
        picture=_picture(run, result.summary),
        doses=_table_of(run, "causal_doses"),
        redirections=_table_of(run, "causal_redirections"),
        config=run.manifest["config"],
        provenance=run.manifest["provenance"],
        patterns=_patterns(taskset),
        examples=[
            (row.task, row.instruction, row.input, row.output)
            for row in taskset.split("train")[:: max(1, len(taskset.split("train")) // _SHOWN)]
        ][:_SHOWN],
    )


def _table_of(run: Run, name: str) -> pd.DataFrame:
    """A table of the run; empty where there is none, as in runs of earlier versions."""
    path = run.path / f"{name}.csv"
    return (
        pd.read_csv(path, dtype={"task": str, "target": str}) if path.exists() else pd.DataFrame()
    )


def _patterns(taskset: TaskSet) -> dict[str, tuple[str, ...]]:
    """How the first tasks are announced: regular expressions, or wordings."""
    announced: dict[str, dict[str, None]] = {task: {} for task in taskset.tasks[:_SHOWN]}
    for row in taskset.examples:
        if row.task in announced and len(announced[row.task]) < 4:
            announced[row.task][taskset.patterns.get(row.family, row.instruction)] = None
    return {task: tuple(kinds) for task, kinds in announced.items()}


def _picture(run: Run, summary: Summary) -> pd.DataFrame:
    """States at the summary's places at a few steps, before, during and after the onset."""
    prompts = run.prompts
    tables = []
    for position, clusters in summary.clusters.items():
        rows = measured_rows(prompts, position)
        steps = _frames(run.steps, clusters.onset.step)
        tables.append(
            picture_table(
                {
                    step: run.states(step).at(clusters.stream, position)[rows].float().numpy()
                    for step in steps
                },
                stream=clusters.stream,
                position=position,
                tasks=[prompts.labels["task"][row] for row in rows],
                inputs=[prompts.labels["input"][row] for row in rows],
                correct={step: run.rows(step)["correct"].numpy()[rows] for step in steps},
                conditioned=clusters.view == "conditioned",
            )
        )
    return pd.concat(tables, ignore_index=True)


def _frames(steps: list[int], onset: int | None) -> list[int]:
    """The first and the last step, and between them those around the onset, evenly by index."""
    middle = steps.index(onset) if onset in steps else len(steps) // 2
    inner = np.linspace(max(1, middle - 2), len(steps) - 1, _FRAMES - 1).round().astype(int)
    return sorted({steps[0], *(steps[index] for index in inner)})
