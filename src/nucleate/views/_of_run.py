"""From the folder of any run to what is shown of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.findings import (
    Findings,
    Summary,
    findings,
    headline_view,
    panel_of,
    training_table,
)
from nucleate.panel import measured_rows
from nucleate.prompts import PromptSet
from nucleate.runs import Run, index_of, write_json
from nucleate.views._projection import picture_table
from nucleate.views._run_report import RunReport

_FRAMES = 4
_SHOWN = 6
_MOST_POINTS = 2000
"""More rows than this make no better picture."""
_NO_GROUPS = ("instruction", "split", "prompt", "text", "output")


def measured(
    run: Run, out: Path | str | None, progress: Callable[[int, int], None] | None = None
) -> tuple[Findings, str]:
    """What a run found, measured first where that is not done yet; and why it cannot be.

    Args:
        run: any run.
        out: folder of the panel, if it is measured now; None: the run's own.
        progress: of `measure`.
    """
    folder = None if out is None else as_path("out", out)
    panel, why = panel_of(run, folder, progress)
    apart = panel is not None and folder is not None and (folder / "panel.csv").exists()
    return findings(run, folder=folder if apart else None, unmeasured=why), why


def write_findings(found: Findings, folder: Path | str) -> None:
    """Write the tables and `summary.json`."""
    folder = as_path("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "summary.json", found.summary.model_dump(mode="json"))
    for name in ("accuracy", "onsets", "places"):
        getattr(found, name).to_csv(folder / f"{name}.csv", index=False)


def report_of(run: Run, found: Findings, *, pictures: bool = True) -> RunReport:
    """What a report shows of a run.

    Args:
        run: any run.
        found: of `findings`.
        pictures: whether states are read for pictures, which takes longest.
    """
    picture, notes = _picture(run, found) if pictures else (pd.DataFrame(), [])
    return RunReport(
        summary=_noted(found.summary, notes),
        panel=found.panel,
        accuracy=found.accuracy,
        onsets=found.onsets,
        places=found.places,
        picture=picture,
        doses=_table_of(run, "causal_doses"),
        redirections=_table_of(run, "causal_redirections"),
        training=training_table(run),
        config=run.manifest.get("config") or run.hyperparameters,
        provenance=_provenance(run),
        wordings=_wordings(run.prompts),
    )


def _noted(summary: Summary, notes: list[str]) -> Summary:
    """The summary with more that a reader must know, in its words too."""
    if not notes:
        return summary
    said = summary.verdict.model_copy(update={"words": [*summary.verdict.words, *notes]})
    return summary.model_copy(update={"notes": [*summary.notes, *notes], "verdict": said})


def _table_of(run: Run, name: str) -> pd.DataFrame:
    """A table of the run; empty where there is none, as in runs of earlier versions."""
    path = run.path / f"{name}.csv"
    with suppress(OSError, ValueError):
        return pd.read_csv(path, dtype={"task": str, "target": str})
    return pd.DataFrame()


def _provenance(run: Run) -> dict[str, str]:
    told = run.manifest.get("provenance")
    if isinstance(told, Mapping):
        return {str(name): str(value) for name, value in told.items()}
    return {"folder": run.path.resolve().name, "status": run.status}


def _picture(run: Run, found: Findings) -> tuple[pd.DataFrame, list[str]]:
    """States at the summary's places at a few steps, before, during and after the onset."""
    tables: list[pd.DataFrame] = []
    notes: list[str] = []
    for stream, position, view, onset in _places(run, found):
        try:
            tables.append(_picture_at(run, stream, position, view, onset))
        except BadInput as error:
            notes.append(f"There is no picture of {stream} at {position}: {error}.")
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return whole, notes


def _places(run: Run, found: Findings) -> Iterator[tuple[str, str, str, int | None]]:
    """Stream, position, view and onset of each picture: where the summary looks, else the top."""
    known = found.summary.clusters
    shapes = []
    for step in run.steps:
        with suppress(BadInput):
            shapes.append(run.shape(step))
    if not shapes:
        return
    streams, positions, _ = shapes[-1]
    deepest = [name for name in streams if name != "final_norm"][-1:] or list(streams[-1:])
    for position in positions:
        if position in known:
            at = known[position]
            yield at.stream, position, at.view, at.onset.step
        else:
            panel = found.panel
            view = headline_view(panel, position) if len(panel) else "raw"
            yield deepest[0], position, view, None


def _picture_at(run: Run, stream: str, position: str, view: str, onset: int | None) -> pd.DataFrame:
    prompts = run.prompts
    rows = measured_rows(prompts, position)
    if len(rows) > _MOST_POINTS:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST_POINTS).round().astype(int)]
    at = Place(run, stream, position)
    finite = [step for step in run.steps if at.is_finite(step)]
    if not finite:
        raise BadInput("its states are not finite at any step that can be read")
    steps = _frames(finite, onset)
    label = grouping(prompts)
    blank = ("",) * len(prompts)
    groups = prompts.labels[label] if label else blank
    inputs = prompts.labels.get("input", blank)
    answered = prompts.lengths > prompts.prompt_lengths
    return picture_table(
        {step: at.states(step)[rows] for step in steps},
        stream=stream,
        position=position,
        tasks=[groups[row] for row in rows],
        inputs=[inputs[row] for row in rows],
        correct={step: _correct(run, step, answered)[rows] for step in steps},
        conditioned=view == "conditioned",
    ).assign(label=label)


def grouping(prompts: PromptSet) -> str:
    """The label that colors a picture: `task`, else the one with the fewest values; or none."""
    if "task" in prompts.labels:
        return "task"
    values = {name: len(set(texts)) for name, texts in prompts.labels.items()}
    fit = [name for name, count in values.items()
           if name not in _NO_GROUPS and 1 < count < len(prompts)]  # fmt: skip
    return min(fit, key=lambda name: values[name], default="")


@dataclass(frozen=True)
class Place:
    """One place of a run, of which nothing else is read."""

    run: Run
    stream: str
    position: str

    def states(self, step: int) -> Float[np.ndarray, "row width"]:
        streams, positions, _ = self.run.shape(step)
        stream = index_of(self.stream, streams, "stream")
        position = index_of(self.position, positions, "position")
        found: Float[np.ndarray, "row width"] = (
            self.run.part(step, slice(stream, stream + 1), position)[0].float().numpy()
        )
        return found

    def is_finite(self, step: int) -> bool:
        """Whether a step can be read and its states are numbers."""
        try:
            return bool(np.isfinite(self.states(step)).all())
        except BadInput:
            return False


def _correct(run: Run, step: int, answered: np.ndarray) -> np.ndarray:
    """Whether each row was answered right; NaN where nothing was scored."""
    correct: Any = run.rows(step).get("correct")
    if correct is None:
        return np.full(len(answered), np.nan)
    return np.where(answered, correct.numpy().astype(float), np.nan)


def _frames(steps: list[int], onset: int | None) -> list[int]:
    """The first and the last step, and between them those around the onset, evenly by index."""
    middle = steps.index(onset) if onset in steps else len(steps) // 2
    first = min(max(1, middle - 2), len(steps) - 1)
    inner = np.linspace(first, len(steps) - 1, _FRAMES - 1).round().astype(int)
    return sorted({steps[0], *(steps[index] for index in inner)})


def _wordings(prompts: PromptSet) -> dict[str, tuple[str, ...]]:
    """How the first tasks are announced."""
    labels = prompts.labels
    if not {"task", "instruction"} <= labels.keys():
        return {}
    announced: dict[str, dict[str, None]] = {}
    for task, said in zip(labels["task"], labels["instruction"], strict=True):
        if task in announced or len(announced) < _SHOWN:
            wordings = announced.setdefault(task, {})
            if len(wordings) < 4:
                wordings[said] = None
    return {task: tuple(wordings) for task, wordings in announced.items()}
