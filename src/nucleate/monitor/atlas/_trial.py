"""Trying every detector on rows that some of its clusters do not know."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from nucleate.monitor.atlas._detectors import Trial, judge_detectors
from nucleate.monitor.atlas._geometry import fit_geometry
from nucleate.monitor.atlas._neighbors import nearest_rows
from nucleate.monitor.atlas._surface import surface_scores

if TYPE_CHECKING:
    from nucleate.monitor.atlas._atlas import Atlas

FOLDS = 5
Encoded = tuple[
    Float[np.ndarray, "fit encoded"], Int[np.ndarray, "fit"], Float[np.ndarray, "row encoded"]
]
"""Vectors of a sentence encoder: of the rows fitted to, their clusters, and of the rows tried."""


def try_detectors(
    atlas: "Atlas",
    vectors: Float[np.ndarray, "row width"],
    texts: Sequence[str],
    code: Int[np.ndarray, "row"],
    encoded: Encoded | None,
    *,
    seed: int,
) -> dict[str, Any]:
    """Compare states, words, both, and a sentence encoder if there is one.

    With rows that are known to be outside, every detector tells these from the others. Without, a
    fifth of the clusters is left out of the bank and the centroids at a time, and each detector
    tells the rows of these from the others. The model has learnt those clusters, so that this can
    favor states; `outside_are` says which of the two was done.

    Args:
        atlas: calibrated.
        vectors, texts: rows of known clusters first, then those that are outside.
        code: their cluster, -1 for rows outside.
        encoded: of a sentence encoder.
        seed: of the folds and the bootstrap.

    Returns:
        As `judge_detectors`, with `outside_are`.
    """
    white = atlas.whiten(vectors)
    scored = _Scored(atlas, white, list(texts), encoded)
    off = code < 0
    known = np.flatnonzero(~off)
    right = {
        "states": atlas.geometry.squared_distances(white[known]).argmin(1) == code[known],
        "surface": scored.words(np.ones(len(atlas.clusters), bool))[1][known].argmin(1)
        == code[known],
    }
    if off.any():
        everything = np.ones(len(atlas.clusters), dtype=bool)
        trials = [Trial(scored.all(everything), off)]
        named = "rows labeled so"
    else:
        folds = np.random.default_rng(seed).permutation(len(atlas.clusters)) % FOLDS
        folds = folds % min(FOLDS, len(atlas.clusters))
        trials = [
            Trial(scored.all(folds != fold), folds[code] == fold) for fold in np.unique(folds)
        ]
        trials = [trial for trial in trials if 0 < trial.outside.sum() < len(trial.outside)]
        named = "clusters left out in turn"
    if not trials:
        return {}
    return judge_detectors(trials, right, seed=seed, unseen=bool(off.any())) | {
        "outside_are": named
    }


class _Scored:
    """Rows scored by detectors that know some clusters only."""

    def __init__(
        self,
        atlas: "Atlas",
        white: Float[np.ndarray, "row rank"],
        texts: list[str],
        encoded: Encoded | None,
    ) -> None:
        self.atlas, self.white, self.texts = atlas, white, texts
        self.encoded = None
        if encoded is not None:
            fitted, code, rows = encoded
            geometry = fit_geometry(fitted, code, code)
            self.encoded = geometry.whiten(fitted), code, geometry.whiten(rows)

    def all(self, known: Bool[np.ndarray, "cluster"]) -> dict[str, Float[np.ndarray, "row"]]:
        """How unusual each row is to each detector that knows these clusters."""
        states, words = self.states(known), self.words(known)[0]
        both = self.atlas.calibration.added(states, words)
        found = {"states": states, "surface": words, "both": both}
        if self.encoded is not None:
            fitted, code, rows = self.encoded
            bank = fitted[known[code]]
            count = min(self.atlas.neighbors, len(bank))
            found["encoder"] = nearest_rows(rows, bank, count)[0].astype(np.float64)
        return found

    def states(self, known: Bool[np.ndarray, "cluster"]) -> Float[np.ndarray, "row"]:
        atlas = self.atlas
        if atlas.detector == "knn":
            bank = atlas.bank.vectors[known[atlas.bank.cluster]]
            count = min(atlas.neighbors, len(bank))
            return nearest_rows(self.white, bank, count)[0].astype(np.float64)
        unusual = atlas.geometry.squared_distances(self.white)[:, known].min(1)
        if atlas.detector == "relative":
            unusual = unusual - atlas.geometry.background_distances(self.white)
        return np.asarray(unusual, dtype=np.float64)

    def words(
        self, known: Bool[np.ndarray, "cluster"]
    ) -> tuple[Float[np.ndarray, "row"], Float[np.ndarray, "row cluster"]]:
        atlas = self.atlas
        assert atlas.surface is not None
        rows = np.flatnonzero(known[atlas.bank.cluster])
        unusual, squared, _ = surface_scores(
            atlas.surface.take(rows), atlas.bank.cluster[rows], self.texts,
            min(atlas.neighbors, len(rows)), len(atlas.clusters),
        )  # fmt: skip
        return unusual, squared
