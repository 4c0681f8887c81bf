"""UMAP of one place over time: each step starts from the map before it, and no step from a later.

A map that is bent to keep neighbors has no axes, so that nothing but the chain makes two steps
alike. The chain runs forward: what comes at the end cannot show at the beginning.
"""

import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput

EPOCHS, RATE = 80, 0.25
"""Of every step but the first: few and small moves from the map before."""
_FIRST_EPOCHS = 200
_NEIGHBORS = 15
_FEWEST = 20
_REPEATS = 3

Points = Float[np.ndarray, "row 2"]


def has_umap() -> bool:
    """Whether the extra is installed; nothing is loaded."""
    return find_spec("umap") is not None


def forward_maps(states: Mapping[int, Float[np.ndarray, "row width"]]) -> dict[int, Points]:
    """A map of every step, each warm-started from the step before it.

    Args:
        states: step -> standardized states.

    Returns:
        Step -> coordinates, centered, turned to lie as the step before. A step does not depend on
        the steps after it.

    Raises:
        BadInput: umap-learn is not installed, or there are too few rows.
    """
    _check(states)
    found: dict[int, Points] = {}
    before: Points | None = None
    for seed, step in enumerate(sorted(states)):
        before = found[step] = _next_map(states[step], before, seed)
    return found


def jitter(
    states: Mapping[int, Float[np.ndarray, "row width"]], maps: Mapping[int, Points]
) -> float:
    """How far points move from one map to the next though no state does.

    Args:
        states: as given to `forward_maps`.
        maps: what it gave.

    Returns:
        Root-mean-square move of a point as a share of the radius of the cloud: the mean of three
        repeats at the first step and three at the last, and three standard deviations of them.
    """
    moves = [move for step in (min(maps), max(maps)) for move in _moves(states[step], maps[step])]
    return float(np.mean(moves) + 3 * np.std(moves))


def drift(before: Points, after: Points) -> float:
    """Root-mean-square move of a point between two maps, each divided by its radius."""
    moved = _unit(after) - _unit(before)
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def _moves(states: Float[np.ndarray, "row width"], start: Points) -> Iterator[float]:
    before = start
    for seed in range(_REPEATS):
        after = _next_map(states, before, 1000 + seed)
        yield drift(before, after)
        before = after


def _check(states: Mapping[int, Float[np.ndarray, "row width"]]) -> None:
    if not has_umap():
        raise BadInput(
            "the basis 'umap' needs the package umap-learn; install it with "
            "pip install 'nucleate[umap]', or take the basis 'variance'"
        )
    rows = min(len(values) for values in states.values())
    if rows < _FEWEST:
        raise BadInput(
            f"a UMAP of {rows} rows shows nothing; it needs {_FEWEST} or more: take the basis "
            "'variance'"
        )


def _next_map(states: Float[np.ndarray, "row width"], before: Points | None, seed: int) -> Points:
    first = before is None
    start = _plane(states) if before is None else before
    found = _fitted(states, _parted(start), seed, first)
    return found if first else _onto(found, start)


def _fitted(
    states: Float[np.ndarray, "row width"], start: Points, seed: int, first: bool
) -> Points:
    more: dict[str, Any] = {} if first else {"learning_rate": RATE}
    with warnings.catch_warnings():
        # Of its dependencies; and that rows far from all others have no neighbors, which are drawn
        # where they started.
        warnings.simplefilter("ignore")
        import umap

        found = umap.UMAP(
            n_neighbors=_NEIGHBORS, n_components=2, n_epochs=_FIRST_EPOCHS if first else EPOCHS,
            init=start.astype(np.float32), random_state=seed, n_jobs=1, **more,
        ).fit_transform(states.astype(np.float32))  # fmt: skip
    gaps = ~np.isfinite(found)
    points = np.where(gaps, start, found).astype(np.float64)
    return np.asarray(points - points.mean(axis=0))


def _plane(states: Float[np.ndarray, "row width"]) -> Points:
    """The first two principal coordinates, where the first map starts."""
    values = states - states.mean(axis=0)
    _, directions = np.linalg.eigh(values.T @ values)
    axes = directions[:, :-3:-1]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(2)])
    return np.asarray(values @ (axes * np.where(signs == 0, 1, signs)))


def _parted(points: Points) -> Points:
    """The same, with a little noise where all lie on a line or in a point: none could leave it."""
    sides = np.ptp(points, axis=0)
    if sides.all():
        return points
    noise = np.random.default_rng(0).standard_normal(points.shape)
    return np.asarray(points + 1e-3 * max(float(sides.max()), 1.0) * noise)


def _onto(points: Points, before: Points) -> Points:
    """Turned and mirrored, not stretched, to lie as the map before (Procrustes)."""
    left, _, right = np.linalg.svd(points.T @ (before - before.mean(axis=0)))
    return np.asarray(points @ (left @ right))


def _unit(points: Points) -> Points:
    values = points - points.mean(axis=0)
    radius = np.sqrt((values**2).sum(axis=1).mean())
    return np.asarray(values / radius if radius > 0 else values)
