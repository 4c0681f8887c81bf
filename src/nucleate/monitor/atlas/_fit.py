"""Fitting an atlas to states whose clusters are known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.monitor.atlas._atlas import Atlas
from nucleate.monitor.atlas._calibration import temperature_of
from nucleate.monitor.atlas._geometry import fit_geometry
from nucleate.monitor.atlas._hashes import splits_of, text_hash
from nucleate.monitor.atlas._place import choose_place
from nucleate.monitor.atlas._rows import Bank, Reference
from nucleate.runs import States

Detector = Literal["knn", "mahalanobis", "relative"]
SHARES: Mapping[str, float] = {"place": 0.15, "fit": 0.4, "calibration": 0.25, "reference": 0.2}
FEWEST_ROWS = 8
"""Rows to be fitted to that a cluster needs; with fewer it is named and left out."""
FEWEST_CALIBRATION = 40
"""Held-out rows below which the rate of false alarms is anybody's guess."""


def fit_atlas(
    states: States | Float[np.ndarray, "row width"],
    labels: Sequence[str],
    texts: Sequence[str] | None = None,
    *,
    trained_texts: Iterable[str] = (),
    detector: Detector = "knn",
    neighbors: int = 5,
    bank_rows: int = 4000,
    shares: Mapping[str, float] = SHARES,
    fewest: int = FEWEST_ROWS,
    keep_text: bool = False,
    fingerprints: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Atlas:
    """Fit an atlas to rows whose clusters are known.

    The rows are split by the hash of their text, so that the same text never lies in two splits:
    one chooses the place, one gives centroids, covariance and neighbors, one calibrates, and one is
    the reference that nothing was made from.

    Args:
        states: at every place, of which one is chosen; or bare vectors of one place.
        labels: the cluster of each row, such as its task.
        texts: of each row. Without them each distinct vector counts as a text of its own.
        trained_texts: that the model itself was trained on. Rows with such a text are fitted to,
            and never calibrate: a model knows its training rows better than it will know traffic.
        detector: how unusual a state is: the mean distance to its nearest rows (`knn`), the squared
            distance to the nearest centroid (`mahalanobis`), or that less the squared distance from
            all rows as one cloud (`relative`; Ren et al. 2021). All after whitening.
        neighbors: for `knn`, and nearest wordings.
        bank_rows: the most rows that neighbors are looked for among.
        shares: of rows for each split.
        fewest: rows that a cluster needs among those to be fitted to; smaller ones are named in
            `settings["too_few"]`, and their rows belong to no known cluster.
        keep_text: whether the artefact holds the texts of the bank; else only hashes.
        fingerprints: of model, tokenizer, template.
        seed: of splits and of the rows kept.

    Raises:
        BadInput: labels or texts that do not fit the rows, states that are not finite, fewer than
            two clusters with enough rows, or too few rows to calibrate with.

    Notes:
        The clusters are those of the labels: whether the model forms them at all is what the panel
        says. Probabilities and p values hold for requests like the calibration rows; where traffic
        differs from them, they do not, and that is what drift is for.
    """
    named = np.array([str(each) for each in labels], dtype=object)
    check_whole("neighbors", neighbors, least=1)
    check_whole("bank_rows", bank_rows, least=1)
    check_whole("fewest", fewest, least=2)
    check_whole("seed", seed, least=0)
    if detector not in ("knn", "mahalanobis", "relative"):
        raise BadInput(f"detector is {detector!r}; give knn, mahalanobis or relative")
    rows = states.values.shape[2] if isinstance(states, States) else len(states)
    for what, values in (("labels", labels), ("texts", texts)):
        if values is not None and len(values) != rows:
            raise BadInput(f"{len(values)} {what} for {rows} rows; give one a row")
    if keep_text and texts is None:
        raise BadInput("keep_text is True and there are no texts; give texts")
    hashes = np.array([text_hash(t) for t in texts] if texts is not None else _of_bytes(states))
    trained = {text_hash(text) for text in trained_texts}
    split = splits_of(hashes.tolist(), shares, seed)
    split[np.isin(hashes, list(trained))] = "fit"
    names, code, too_few = _clusters(named, split == "fit", fewest)
    stream, position, vectors, place = choose_place(states, code, split)
    _check_finite(vectors)
    fit, held_out = np.flatnonzero((split == "fit") & (code >= 0)), {}
    for name in ("calibration", "reference"):
        held_out[name] = np.flatnonzero((split == name) & (code >= 0))
    if len(held_out["calibration"]) < FEWEST_CALIBRATION:
        raise BadInput(
            f"{len(held_out['calibration'])} rows to calibrate with, and {FEWEST_CALIBRATION} are "
            "needed; give more rows that the model was not trained on"
        )
    group = code[fit]
    geometry = fit_geometry(vectors[fit], code[fit], group)
    kept = fit[_spread(code[fit], bank_rows, seed)]
    bank = Bank(
        geometry.whiten(vectors[kept]), code[kept], tuple(hashes[kept]),
        tuple(texts[row] for row in kept) if keep_text and texts is not None else (),
    )  # fmt: skip
    made_from = set(hashes[split != "reference"].tolist()) | trained
    settings: dict[str, Any] = {
        "seed": seed,
        "detector": detector,
        "neighbors": min(neighbors, len(bank)),
        "shares": dict(shares),
        "rows": {name: int(((split == name) & (code >= 0)).sum()) for name in shares},
        "trained_texts": len(trained),
        "fewest": fewest,
        "too_few": too_few,
        "place": place,
    }
    nothing = np.zeros((0, len(geometry.center)), dtype=np.float32)
    atlas = Atlas(
        clusters=names, stream=stream, position=position,
        fingerprints=dict(fingerprints or {}), settings=settings, geometry=geometry,
        calibration=np.zeros(0), temperature=1.0, bank=bank,
        reference=Reference(
            nothing, np.zeros(0, dtype=np.int64), np.zeros(0), (),
            geometry.centroids, geometry.owner,
        ),
        texts_hashes=frozenset(made_from),
    )  # fmt: skip
    atlas = _calibrated(atlas, vectors[held_out["calibration"]], code[held_out["calibration"]])
    rest = held_out["reference"]
    return _with_reference(atlas, vectors[rest], tuple(hashes[rest])) if len(rest) else atlas


def _calibrated(
    atlas: Atlas, vectors: Float[np.ndarray, "row width"], code: Int[np.ndarray, "row"]
) -> Atlas:
    squared = atlas.geometry.squared_distances(atlas.whiten(vectors))
    atlas = replace(atlas, temperature=temperature_of(squared, code))
    return replace(atlas, calibration=np.sort(atlas.unusual(vectors)))


def _with_reference(
    atlas: Atlas, vectors: Float[np.ndarray, "row width"], hashes: tuple[str, ...]
) -> Atlas:
    scores = atlas.score(vectors)
    reference = Reference(
        atlas.whiten(vectors), scores.cluster, scores.p, hashes,
        atlas.geometry.centroids, atlas.geometry.owner,
    )  # fmt: skip
    return replace(atlas, reference=reference)


def _clusters(
    labels: Shaped[np.ndarray, "row"], fit: Shaped[np.ndarray, "row"], fewest: int
) -> tuple[tuple[str, ...], Int[np.ndarray, "row"], dict[str, int]]:
    """Names of clusters with enough rows, the code of each row (-1: none), and those with too few.

    Raises:
        BadInput: fewer than two clusters are left.
    """
    counts = {name: int((labels[fit] == name).sum()) for name in sorted(set(labels))}
    names = tuple(name for name, count in counts.items() if count >= fewest)
    too_few = {name: count for name, count in counts.items() if count < fewest}
    if len(names) < 2:
        raise BadInput(
            f"{len(names)} clusters have {fewest} rows or more to be fitted to, two are needed; "
            f"give more rows (rows by cluster: {counts})"
        )
    number = {name: k for k, name in enumerate(names)}
    return names, np.array([number.get(name, -1) for name in labels]), too_few


def _spread(code: Int[np.ndarray, "row"], most: int, seed: int) -> Int[np.ndarray, "kept"]:
    """Rows to keep, at most so many, as evenly over clusters as there are rows."""
    order = np.random.default_rng(seed).permutation(len(code))
    rank = np.zeros(len(code), dtype=np.int64)
    for cluster in np.unique(code):
        members = order[code[order] == cluster]
        rank[members] = np.arange(len(members))
    return np.sort(np.lexsort((order, rank))[:most])


def _of_bytes(states: States | Float[np.ndarray, "row width"]) -> list[str]:
    """A hash for each row without a text: of its own bytes."""
    if isinstance(states, States):
        values = states.values[0, 0].float().cpu().numpy()
    else:
        values = np.asarray(states, dtype=np.float32)
    return [text_hash(row.tobytes().hex()) for row in values]


def _check_finite(vectors: Float[np.ndarray, "row width"]) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(bad):
        raise BadInput(
            f"{len(bad)} rows of states hold NaN or infinity, first row {bad[0]}; leave them out"
        )
