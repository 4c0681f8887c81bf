"""Where states are read: chosen by how well centroids tell the clusters, on rows of its own."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from nucleate._core.errors import BadInput
from nucleate.runs import States


def choose_place(
    states: States | Float[np.ndarray, "row width"],
    code: Int[np.ndarray, "row"],
    split: Shaped[np.ndarray, "row"],
) -> tuple[str, str, Float[np.ndarray, "row width"], dict[str, Any]]:
    """The place with the best nearest-centroid accuracy, and its states.

    Centroids are those of the fit split, accuracy is that of the place split. Of equal places the
    deepest one and the last position win.

    Returns:
        Stream, position, vectors, and the accuracy of every place with the number of rows.

    Raises:
        BadInput: no rows to choose a place with.
    """
    if not isinstance(states, States):
        return "given", "given", np.asarray(states, dtype=np.float32), {}
    places = [(s, p) for s in states.streams for p in states.positions]
    fit, own = (np.flatnonzero((split == name) & (code >= 0)) for name in ("fit", "place"))
    if not len(own) and len(places) > 1:
        raise BadInput("no rows to choose a place with; give more rows, or states of one place")
    found = {}
    for place in places if len(places) > 1 else ():
        values = _values(states, *place)
        if np.isfinite(values).all():
            found[place] = _accuracy(values[fit], code[fit], values[own], code[own])
    if len(places) > 1 and not found:
        raise BadInput("states are NaN or infinite at every place; record a model that is intact")
    stream, position = max(reversed(list(found)), key=found.__getitem__) if found else places[0]
    table = {
        "rows": len(own),
        "accuracy": {f"{s} @ {p}": value for (s, p), value in found.items()},
    }
    return stream, position, _values(states, stream, position), table


def _values(states: States, stream: str, position: str) -> Float[np.ndarray, "row width"]:
    return states.at(stream, position).detach().float().cpu().numpy()


def _accuracy(
    fit: Float[np.ndarray, "fit width"],
    code: Int[np.ndarray, "fit"],
    own: Float[np.ndarray, "row width"],
    truth: Int[np.ndarray, "row"],
) -> float:
    """How many rows are nearest to their own cluster's centroid, each dimension at unit spread."""
    from sklearn.neighbors import NearestCentroid

    sums = np.zeros((int(code.max()) + 1, fit.shape[1]))
    np.add.at(sums, code, fit)
    means = sums / np.bincount(code)[:, None]
    spread = np.sqrt(np.square(fit - means[code]).mean(0)) + 1e-12
    model = NearestCentroid().fit(fit / spread, code)
    return float((model.predict(own / spread) == truth).mean())
