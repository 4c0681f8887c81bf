"""Where states are read: chosen by how well centroids tell the clusters, on rows of its own."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from nucleate._core.errors import BadInput
from nucleate.runs import States

Place = tuple[str, str]


class Places:
    """Every place of a model's states, judged in passes over batches of rows.

    First all batches of rows to be fitted to, then all batches of rows to be judged on; no states
    are kept, so that models of any size can be asked.

    Args:
        clusters: how many there are.
    """

    def __init__(self, clusters: int) -> None:
        self._clusters = clusters
        self._sums: dict[Place, Float[np.ndarray, "cluster width"]] = {}
        self._squares: dict[Place, Float[np.ndarray, width]] = {}
        self._counts = np.zeros(clusters)
        self._right: dict[Place, int] = {}
        self._rows = 0

    def fit(self, states: States, code: Int[np.ndarray, "row"]) -> None:
        """Rows that centroids are made of."""
        self._counts += np.bincount(code, minlength=self._clusters)
        for place in _places(states):
            values = values_at(states, *place).astype(np.float64)
            sums = self._sums.setdefault(place, np.zeros((self._clusters, values.shape[1])))
            np.add.at(sums, code, values)
            squares = self._squares.setdefault(place, np.zeros(values.shape[1]))
            squares += np.square(values).sum(0)

    def judge(self, states: States, code: Int[np.ndarray, "row"]) -> None:
        """Rows that are to be nearest to their own cluster's centroid."""
        self._rows += len(code)
        filled = np.flatnonzero(self._counts)
        for place in _places(states):
            means = self._sums[place][filled] / self._counts[filled, None]
            within = self._squares[place] - self._counts[filled] @ np.square(means)
            spread = np.sqrt(np.maximum(within / self._counts.sum(), 0)) + 1e-12
            centroids, points = means / spread, values_at(states, *place) / spread
            squared = np.square(centroids).sum(1) - 2 * points @ centroids.T
            right = filled[squared.argmin(1)] == code
            self._right[place] = self._right.get(place, 0) + int(right.sum())

    def best(self) -> tuple[str, str, dict[str, Any]]:
        """The place with the most rows right; of equal ones the deepest, and the last position.

        Returns:
            Stream, position, and the accuracy of every place with the number of rows.

        Raises:
            BadInput: no rows to judge on, or no place whose states are finite.
        """
        if not self._rows:
            raise BadInput("no rows to choose a place with; give more rows, or states of one place")
        known = [place for place, sums in self._sums.items() if np.isfinite(sums).all()]
        if not known:
            raise BadInput("states are NaN or infinite at every place; give a model that is intact")
        stream, position = max(reversed(known), key=lambda place: self._right[place])
        accuracy = {f"{s} @ {p}": self._right[s, p] / self._rows for s, p in known}
        return stream, position, {"rows": self._rows, "accuracy": accuracy}


def choose_place(
    states: States | Float[np.ndarray, "row width"],
    code: Int[np.ndarray, "row"],
    split: Shaped[np.ndarray, "row"],
) -> tuple[str, str, Float[np.ndarray, "row width"], dict[str, Any]]:
    """The place with the best nearest-centroid accuracy, and its states.

    Centroids are those of the fit split, accuracy is that of the place split.

    Returns:
        Stream, position, vectors, and what `Places.best` tells; nothing where there is one place.

    Raises:
        BadInput: as `Places.best`.
    """
    if not isinstance(states, States):
        return "given", "given", np.asarray(states, dtype=np.float32), {}
    places = _places(states)
    if len(places) == 1:
        return *places[0], values_at(states, *places[0]), {}
    fit, own = (np.flatnonzero((split == name) & (code >= 0)) for name in ("fit", "place"))
    table = Places(int(code.max()) + 1)
    table.fit(_rows(states, fit), code[fit])
    table.judge(_rows(states, own), code[own])
    stream, position, told = table.best()
    return stream, position, values_at(states, stream, position), told


def values_at(states: States, stream: str, position: str) -> Float[np.ndarray, "row width"]:
    """The states of one place as an array."""
    return np.asarray(states.at(stream, position).detach().float().cpu().numpy())


def _rows(states: States, rows: Int[np.ndarray, "chosen"]) -> States:
    return States(states.values[:, :, rows], states.streams, states.positions)


def _places(states: States) -> list[Place]:
    return [(stream, position) for stream in states.streams for position in states.positions]
