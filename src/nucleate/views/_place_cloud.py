"""The cloud of one place of a run: its frames, and what they keep of what the numbers say."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput
from nucleate.findings import highest_null
from nucleate.intervene import Eraser
from nucleate.panel import measured_rows, select_rows
from nucleate.prompts import PromptSet
from nucleate.runs import Run
from nucleate.views._cloud import (
    FEW,
    MANY,
    BasisName,
    agreements,
    cloud_basis,
    enough,
    through,
)
from nucleate.views._of_run import Place, grouping
from nucleate.views._projection import Basis, Frame, between_share, project, standardized
from nucleate.views._run_report import RunReport
from nucleate.views._stored_cloud import StoredCloud
from nucleate.views._twin import twin_of
from nucleate.views._umap import forward_maps, jitter
from nucleate.views._view_values import plain_json

_METHODS = {
    "tasks": "axes through the means of the tasks at step {step}, farthest apart first, then "
    "principal axes of the rest",
    "variance": "principal axes of step {step}, blind to tasks",
    "twin": "axes through the means of shuffled tasks at step {step}, farthest apart first, then "
    "principal axes of the rest",
    "umap": "UMAP of the rows shown, each step from the map before it (80 epochs, learning rate "
    "0.25, turned onto it); by chance a point moves up to {jitter} of the radius between steps",
}
_FILLED = 4
"""A renderer reads coordinates by fours."""


@dataclass(frozen=True)
class PlaceCloud:
    """The states of one place as points, at every step in one basis.

    Attributes:
        name: of the basis.
        method: how the coordinates were made, in words.
        k: coordinates of a row.
        axes: how many of them are not zeros that only fill up.
        conditioned: whether each input's mean was taken off.
        step: the step that the axes come from; None where there are no axes.
        rows: which rows of the prompt set are shown, rising.
        shown: which of the rows that were measured those are.
        total: how many rows the prompt set has.
        frames: step -> coordinates of all rows that were measured; a step whose states are not
            finite has none.
        ari: step -> ARI of k-means in the coordinates with the task, and what the permuted twin
            has in a basis of its own; in the basis `twin` both are the twin's.
        ari_full: step -> ARI in all dimensions, of the same labels; NaN where it was not measured.
        null_full: step -> the highest null of it in the panel.
        without_task: the last frame after the task was erased (LEACE); None where there is none.
        jitter: how far a cloud moves between steps whose states are the same, as a share of its
            radius.
    """

    name: BasisName
    method: str
    k: int
    axes: int
    conditioned: bool
    step: int | None
    rows: Int[np.ndarray, " row"]
    shown: Int[np.ndarray, " row"]
    total: int
    frames: dict[int, Frame]
    ari: dict[int, tuple[float, float]]
    ari_full: dict[int, float]
    null_full: dict[int, float]
    without_task: Frame | None = None
    jitter: float = 0.0

    def stored(self) -> StoredCloud:
        """As it is handed out."""
        return StoredCloud(
            about=plain_json(self.about()),
            frames={step: frame.packed(self.shown)[0] for step, frame in self.frames.items()},
            without_task=self.without_task.packed(self.shown)[0] if self.without_task else b"",
        )

    def about(self) -> dict[str, Any]:
        """What stands beside the picture."""
        frames = [self._about_frame(step) for step in self.frames]
        return {
            "k": self.k, "axes": self.axes, "basis": self.name, "basis_step": self.step,
            "method": self.method, "jitter": self.jitter,
            "conditioned": self.conditioned, "rows": len(self.rows), "total": self.total,
            "index": self.rows, "frames": frames,
            "erased": None if self.without_task is None else {
                "unit": self.without_task.packed(self.shown)[1],
                "radius": self.without_task.radius,
            },
        }  # fmt: skip

    def _about_frame(self, step: int) -> dict[str, Any]:
        found = self.frames[step]
        ari, null = self.ari[step]
        return {
            "step": step, "unit": found.packed(self.shown)[1], "radius": found.radius,
            "ari_k": ari, "null_ari_k": null,
            "ari_full": self.ari_full.get(step, np.nan),
            "null_ari_full": self.null_full.get(step, np.nan),
            "between_k": found.between_plane, "between_full": found.between_full,
            "variance_k": found.variance_share,
        }  # fmt: skip


def place_cloud(
    run: Run, shown: RunReport, stream: str, position: str, name: BasisName, most: int
) -> PlaceCloud:
    """Make the cloud of one place: the basis of the last finite step, all steps in it.

    Args:
        run: any run.
        shown: what is known of it.
        stream: of the place.
        position: of the place.
        name: of the basis.
        most: rows whose points are handed out; numbers are of all that were measured.

    Raises:
        BadInput: no step has finite states there, or there are too few rows.
    """
    at = _recorded(run, shown, stream, position)
    if name == "umap":
        return _mapped(at, len(run.prompts), most)
    # The twin has as many axes as the tasks: it is what chance gives in a picture like theirs.
    k, of_all = _axes_needed(at, "variance" if name == "variance" else "tasks")
    labels = at.twin if name == "twin" else at.task
    basis = at.basis(name, labels, k)
    frames = at.frames(basis, labels)
    if name == "variance":
        ari = _ari(frames, at.task, at.twin)
        full = {at.last: of_all} | at.full
    elif name == "tasks":
        # A basis that is chosen by labels parts them by chance: the twin is given the same favor.
        own = at.frames(at.basis("twin", at.twin, k), at.twin)
        chance = _ari(own, at.twin)
        ari = {step: (*of_task, *chance[step]) for step, of_task in _ari(frames, at.task).items()}
        full = {at.last: of_all} | at.full
    else:
        # The twin is its own null.
        ari = {step: 2 * of_twin for step, of_twin in _ari(frames, at.twin).items()}
        full = {at.last: at.ari_of_all(basis, at.twin)}
    null = {} if name == "twin" else at.null
    some = _some(len(at.rows), most)
    erased = _without_task(at, basis, labels) if at.erasable else None
    return PlaceCloud(
        name, _METHODS[name].format(step=at.last), k, min(k, len(basis.scale)), at.conditioned,
        at.last, at.rows[some], some, len(run.prompts), frames, ari, full, null,
        erased,
    )  # fmt: skip


def _mapped(at: "_Recorded", total: int, most: int) -> PlaceCloud:
    """The cloud that UMAP gives: of the rows shown, since its price grows with them."""
    some = _some(len(at.rows), most)
    by_input = at.inputs[some] if at.conditioned else None
    # In the scale of each step itself: that of the last would let it show at the first.
    seen = {step: standardized(each[some], by_input)[0] for step, each in at.states.items()}
    maps = forward_maps(seen)
    task = at.task[some]
    frames = {step: _map_frame(points, seen[step], task) for step, points in maps.items()}
    ari = _ari(frames, task, at.twin[some])
    floor = jitter(seen, maps)
    method = _METHODS["umap"].format(jitter=f"{floor:.2g}")
    return PlaceCloud(
        "umap", method, _FILLED, 2, at.conditioned, None, at.rows[some], np.arange(len(some)),
        total, frames, ari, at.full, at.null, jitter=floor,
    )  # fmt: skip


def _map_frame(
    points: Float[np.ndarray, "row 2"],
    states: Float[np.ndarray, "row width"],
    task: Int[np.ndarray, " row"],
) -> Frame:
    radius = float(np.sqrt((points**2).sum(axis=1).mean()))
    filled = np.pad(points, ((0, 0), (0, _FILLED - 2)))
    return Frame(
        points=filled / radius if radius > 0 else filled,
        radius=radius,
        variance_share=np.nan,  # a bent map keeps no share of it
        between_plane=between_share(points, task),
        between_full=between_share(states, task),
    )


@dataclass(frozen=True)
class _Recorded:
    """The finite states of a place, and what its rows are."""

    states: dict[int, Float[np.ndarray, "row width"]]
    rows: Int[np.ndarray, " row"]
    task: Int[np.ndarray, " row"]
    twin: Int[np.ndarray, " row"]
    inputs: Int[np.ndarray, " row"]
    conditioned: bool
    erasable: bool
    full: dict[int, float]
    null: dict[int, float]

    @property
    def last(self) -> int:
        return max(self.states)

    def basis(self, name: BasisName, labels: Int[np.ndarray, " row"], k: int) -> Basis:
        by_input = self.inputs if self.conditioned else None
        return cloud_basis(self.states[self.last], labels, name=name, k=k, inputs=by_input)

    def frames(self, basis: Basis, labels: Int[np.ndarray, " row"]) -> dict[int, Frame]:
        return through(self.states, basis, tasks=labels, inputs=self.inputs)

    def ari_of_all(self, basis: Basis, labels: Int[np.ndarray, " row"]) -> float:
        """In all dimensions, in the scale of the last step: the number that a panel would have."""
        scaled = basis.scaled(self.states[self.last], self.inputs)
        return float(agreements(scaled[None], labels[None])[0, 0])


def _recorded(run: Run, shown: RunReport, stream: str, position: str) -> _Recorded:
    prompts = run.prompts
    rows = measured_rows(prompts, position)
    label = grouping(prompts)
    view = shown.headline_view(position) if len(shown.panel) else "raw"
    full, null = _panel_ari(shown, stream, position, view)
    return _Recorded(
        states=_finite_states(run, stream, position, rows),
        rows=rows,
        task=_codes(prompts, label, rows),
        twin=twin_of(prompts, label)[rows],
        inputs=_codes(prompts, "input", rows),
        conditioned=view == "conditioned",
        erasable=label == "task",
        full={step: value for step, value in full.items() if not np.isnan(value)},
        null=null,
    )


def _axes_needed(at: _Recorded, name: BasisName) -> tuple[int, float]:
    """How many axes a place is shown in, and ARI of the last step in all dimensions."""
    of_all = at.full.get(at.last, np.nan)
    for k in (FEW, MANY):
        basis = at.basis(name, at.task, k)
        if np.isnan(of_all):
            of_all = at.ari_of_all(basis, at.task)
        points = project(at.states[at.last], basis, tasks=at.task, inputs=at.inputs).points
        if enough(float(agreements(points[None], at.task[None])[0, 0]), of_all):
            break
        if k >= len(basis.scale):
            break
    return k, of_all


def _codes(
    prompts: PromptSet, label: str, rows: Int[np.ndarray, " row"]
) -> Int[np.ndarray, " row"]:
    """Classes of the rows, numbered as the sorted values; zeros without the label."""
    texts = prompts.labels.get(label)
    if texts is None:
        return np.zeros(len(rows), dtype=np.int64)
    found: Int[np.ndarray, " row"] = np.unique(texts, return_inverse=True)[1][rows]
    return found


def _finite_states(
    run: Run, stream: str, position: str, rows: Int[np.ndarray, " row"]
) -> dict[int, Float[np.ndarray, "row width"]]:
    """The states of every step at which they can be read and are numbers."""
    at = Place(run, stream, position)
    states = {}
    for step in run.steps:
        with suppress(BadInput):
            found = at.states(step)[rows]
            if np.isfinite(found).all():
                states[step] = found
    if not states:
        raise BadInput(f"the states of {stream} at {position} are not finite at any step")
    return states


def _ari(frames: dict[int, Frame], *labels: Int[np.ndarray, " row"]) -> dict[int, Any]:
    """Step -> ARI of k-means in the coordinates with each labeling."""
    points = np.stack([frame.points for frame in frames.values()])
    found = agreements(points, np.stack(labels)).tolist()
    return {step: tuple(each) for step, each in zip(frames, found, strict=True)}


def _some(count: int, most: int) -> Int[np.ndarray, " row"]:
    """Which rows are shown. Drawn: every other row could leave out a whole input."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _panel_ari(
    shown: RunReport, stream: str, position: str, view: str
) -> tuple[dict[int, float], dict[int, float]]:
    """The panel's ARI(task) of all strings by step, and its highest null."""
    if not len(shown.panel):
        return {}, {}
    rows = select_rows(
        shown.panel, stream=stream, position=position, view=view, label="task", metric="ari",
        half="all",
    )  # fmt: skip
    steps = [int(step) for step in rows["step"]]
    null = highest_null(rows).tolist()
    return dict(zip(steps, rows["value"].astype(float), strict=True)), dict(
        zip(steps, null, strict=True)
    )


def _without_task(at: _Recorded, basis: Basis, labels: Int[np.ndarray, " row"]) -> Frame | None:
    states = at.states[at.last]
    try:
        erased = Eraser.leace(states, at.task)(states).float().numpy()
    except BadInput:
        return None
    return project(erased, basis, tasks=labels, inputs=at.inputs)
