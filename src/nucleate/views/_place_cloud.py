"""The cloud of one place of a run: its frames, and what they keep of what the numbers say."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput
from nucleate.intervene import Eraser
from nucleate.panel import measured_rows, select_rows
from nucleate.runs import Run
from nucleate.views._cloud import (
    FEW,
    MANY,
    BasisName,
    CloudBasis,
    CloudFrame,
    agreements,
    cloud_basis,
    cloud_frame,
    enough,
    through,
)
from nucleate.views._of_run import Place, grouping
from nucleate.views._run_report import RunReport
from nucleate.views._twin import twin_of

_METHODS = {
    "tasks": "axes through the means of the tasks at step {step}, farthest apart first, then "
    "principal axes of the rest",
    "variance": "principal axes of step {step}, blind to tasks",
}


@dataclass(frozen=True)
class PlaceCloud:
    """The states of one place as points, at every step in one basis.

    Attributes:
        basis: the axes.
        step: the step that they come from.
        rows: which rows of the prompt set are shown, rising.
        total: how many rows the prompt set has.
        frames: step -> coordinates; a step whose states are not finite has none.
        ari: step -> ARI of k-means in the coordinates with the task, and with its permuted twin.
        ari_full: step -> the panel's ARI in all dimensions; NaN where it was not measured.
        without_task: the last frame after the task was erased (LEACE); None where there is none.
    """

    basis: CloudBasis
    step: int
    rows: Int[np.ndarray, " row"]
    total: int
    frames: dict[int, CloudFrame]
    ari: dict[int, tuple[float, float]]
    ari_full: dict[int, float]
    without_task: CloudFrame | None

    def about(self) -> dict[str, Any]:
        """What stands beside the picture."""
        frames = [self._about_frame(step) for step in self.frames]
        return {
            "k": self.basis.axes.shape[1], "basis": self.basis.name, "basis_step": self.step,
            "method": _METHODS[self.basis.name].format(step=self.step),
            "conditioned": self.basis.conditioned, "rows": len(self.rows), "total": self.total,
            "index": self.rows, "frames": frames,
            "erased": None if self.without_task is None else {
                "unit": self.without_task.packed()[1], "radius": self.without_task.radius,
            },
        }  # fmt: skip

    def frame(self, step: int) -> bytes:
        """Coordinates of one step: little-endian int16 `[row k]`, times the frame's unit.

        Raises:
            BadInput: the states of this step are not finite, or cannot be read.
        """
        if step not in self.frames:
            raise BadInput(f"step {step} has no picture: its states are not finite")
        return self.frames[step].packed()[0]

    def erased(self) -> bytes:
        """The same of the last step after the task was erased.

        Raises:
            BadInput: there is no task that could be erased.
        """
        if self.without_task is None:
            raise BadInput("no task could be erased here; the prompts need two tasks or more")
        return self.without_task.packed()[0]

    def _about_frame(self, step: int) -> dict[str, Any]:
        found = self.frames[step]
        ari, null = self.ari[step]
        return {
            "step": step, "unit": found.packed()[1], "radius": found.radius,
            "ari_k": ari, "ari_full": self.ari_full.get(step, np.nan), "null_ari_k": null,
            "between_k": found.between, "between_full": found.between_full,
            "variance_k": found.variance,
        }  # fmt: skip


def place_cloud(
    run: Run, shown: RunReport, stream: str, position: str, name: BasisName
) -> PlaceCloud:
    """Make the cloud of one place: the basis of the last finite step, all steps in it.

    Raises:
        BadInput: no step has finite states there, or there are too few rows.
    """
    prompts = run.prompts
    rows = measured_rows(prompts, position)
    label = grouping(prompts)
    blank = ("",) * len(prompts)
    groups = [(prompts.labels[label] if label else blank)[row] for row in rows]
    inputs = [prompts.labels.get("input", blank)[row] for row in rows]
    at = Place(run, stream, position)
    states = {}
    for step in run.steps:
        with suppress(BadInput):
            found = at.states(step)[rows]
            if np.isfinite(found).all():
                states[step] = found
    if not states:
        raise BadInput(f"the states of {stream} at {position} are not finite at any step")
    view = shown.headline_view(position) if len(shown.panel) else "raw"
    conditioned = inputs if view == "conditioned" else None
    full = _panel_ari(shown, stream, position, view)
    labels = np.stack([np.unique(groups, return_inverse=True)[1], twin_of(prompts, label)[rows]])
    last = max(states)
    for k in (FEW, MANY):
        basis = cloud_basis(states[last], groups, name=name, k=k, inputs=conditioned)
        frames = through(states, basis, groups=groups, inputs=inputs)
        found_ari = agreements(np.stack([frame.points for frame in frames.values()]), labels)
        if enough(float(found_ari[-1, 0]), full.get(last, np.nan)) or k >= len(basis.scale):
            break
    return PlaceCloud(
        basis, last, rows, len(prompts), frames,
        {step: (float(a), float(b)) for step, (a, b) in zip(frames, found_ari, strict=True)},
        full, _without_task(states[last], basis, groups, inputs) if label == "task" else None,
    )  # fmt: skip


def _panel_ari(shown: RunReport, stream: str, position: str, view: str) -> dict[int, float]:
    """The panel's ARI(task) of all strings by step: what the cloud's is to be compared with."""
    if not len(shown.panel):
        return {}
    rows = select_rows(
        shown.panel, stream=stream, position=position, view=view, label="task", metric="ari",
        half="all",
    )  # fmt: skip
    return dict(zip(rows["step"].astype(int), rows["value"].astype(float), strict=True))


def _without_task(
    states: Float[np.ndarray, "row width"], basis: CloudBasis, groups: list[str], inputs: list[str]
) -> CloudFrame | None:
    try:
        erased = Eraser.leace(states, groups)(states).float().numpy()
    except BadInput:
        return None
    return cloud_frame(erased, basis, groups=groups, inputs=inputs)
