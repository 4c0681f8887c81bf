"""From rows in their splits to an atlas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.monitor.atlas._atlas import Atlas
from nucleate.monitor.atlas._calibration import Calibration, temperature_of
from nucleate.monitor.atlas._geometry import Geometry, fit_geometry
from nucleate.monitor.atlas._hashes import SPLITS
from nucleate.monitor.atlas._rows import Bank, Reference
from nucleate.monitor.atlas._subclusters import subclusters
from nucleate.monitor.atlas._surface import Surface, surface_scores
from nucleate.monitor.atlas._trial import try_detectors

Detector = Literal["knn", "mahalanobis", "relative"]
FEWEST_CALIBRATION = 40
"""Held-out rows below which the rate of false alarms is anybody's guess."""
_FEWEST_BEFORE = 20
"""Rows without which two scores cannot be brought to one scale."""


@dataclass(frozen=True)
class FitSettings:
    """What an atlas is fitted with; see `fit_atlas`.

    Raises:
        BadInput: a number below its least, or an unknown detector.
    """

    detector: Detector
    neighbors: int
    bank_rows: int
    keep_text: bool
    seed: int
    unit_length: bool

    def __post_init__(self) -> None:
        check_whole("neighbors", self.neighbors, least=1)
        check_whole("bank_rows", self.bank_rows, least=1)
        check_whole("seed", self.seed, least=0)
        if self.detector not in ("knn", "mahalanobis", "relative"):
            raise BadInput(f"detector is {self.detector!r}; give knn, mahalanobis or relative")


@dataclass(frozen=True, eq=False)
class Material:
    """Rows of one place, with all that is known of them.

    Attributes:
        vectors: states.
        code: the cluster of each row, -1 for none.
        split: of each row.
        hashes: of each row's text.
        texts: of each row, if there are any.
        outside: rows that are known to belong to no cluster.
        names: of clusters, by code.
        too_few: clusters that were left out, with their rows.
        stream, position: where the states were read.
        place: how that was chosen.
        trained: hashes of texts that the model was trained on.
    """

    vectors: Float[np.ndarray, "row width"]
    code: Int[np.ndarray, "row"]
    split: Shaped[np.ndarray, "row"]
    hashes: tuple[str, ...]
    texts: tuple[str, ...] | None
    outside: Bool[np.ndarray, "row"]
    names: tuple[str, ...]
    too_few: dict[str, int]
    stream: str
    position: str
    place: dict[str, Any]
    trained: frozenset[str]

    def rows(self, *splits: str) -> Int[np.ndarray, "chosen"]:
        """Rows of known clusters in some splits."""
        return np.flatnonzero(np.isin(self.split, splits) & (self.code >= 0))

    def texts_of(self, rows: Int[np.ndarray, "chosen"]) -> list[str] | None:
        """The texts of some rows."""
        return None if self.texts is None else [self.texts[row] for row in rows]


def assemble(
    material: Material,
    settings: FitSettings,
    fingerprints: dict[str, str],
    encoder: Callable[[Sequence[str]], np.ndarray] | None = None,
) -> Atlas:
    """Fit, try the detectors, calibrate, and score the reference.

    Raises:
        BadInput: states that are not finite, or too few rows to calibrate with.
    """
    bad = np.flatnonzero(~np.isfinite(material.vectors).all(1))
    if len(bad):
        raise BadInput(
            f"{len(bad)} rows of states hold NaN or infinity, first row {bad[0]}; leave them out"
        )
    held_out = material.rows("calibration")
    if len(held_out) < FEWEST_CALIBRATION:
        raise BadInput(
            f"{len(held_out)} rows to calibrate with, and {FEWEST_CALIBRATION} are needed; give "
            "more rows that the model was not trained on"
        )
    atlas = _fitted(material, settings, fingerprints)
    atlas = _calibrated(atlas, material)
    tried = _tried(atlas, material, settings, encoder)
    in_use = tried["in_use"] if tried else "states"
    atlas = replace(atlas, settings=atlas.settings | {"in_use": in_use, "detectors": tried})
    return _with_reference(atlas, material)


def _fitted(material: Material, settings: FitSettings, fingerprints: dict[str, str]) -> Atlas:
    """Clusters and bank, not yet calibrated."""
    fit = material.rows("fit")
    vectors, code = material.vectors[fit], material.code[fit]
    length = settings.unit_length
    whole = fit_geometry(vectors, code, code, unit_length=length)
    group = subclusters(whole.whiten(vectors), code, settings.seed)
    geometry = (
        whole
        if np.array_equal(group, code)
        else fit_geometry(vectors, code, group, unit_length=length)
    )
    kept = fit[_spread(code, settings.bank_rows, settings.seed)]
    texts = material.texts_of(kept)
    bank = Bank(
        geometry.whiten(material.vectors[kept]), material.code[kept],
        tuple(material.hashes[row] for row in kept),
        tuple(texts or ()) if settings.keep_text else (),
    )  # fmt: skip
    none = np.zeros(0)
    count = len(material.names)
    return Atlas(
        clusters=material.names,
        stream=material.stream,
        position=material.position,
        fingerprints=fingerprints,
        settings=_noted(material, settings, geometry, len(bank)),
        geometry=geometry,
        calibration=Calibration(none, none, none, none, none, 1.0, 1.0),
        bank=bank,
        surface=None if texts is None else Surface.fit(texts),
        reference=_reference(geometry, np.zeros((0, len(geometry.center)), dtype=np.float32)),
        confusion=np.zeros((count, count), dtype=np.int64),
        texts_hashes=_made_from(material),
    )


def _noted(
    material: Material, settings: FitSettings, geometry: Geometry, bank: int
) -> dict[str, Any]:
    counts = np.bincount(geometry.owner, minlength=len(material.names))
    return {
        "seed": settings.seed,
        "detector": settings.detector,
        "unit_length": settings.unit_length,
        "in_use": "states",
        "neighbors": min(settings.neighbors, bank),
        "rows": {name: len(material.rows(name)) for name in SPLITS},
        "trained_texts": len(material.trained),
        "too_few": material.too_few,
        "subclusters": {material.names[k]: int(counts[k]) for k in np.flatnonzero(counts > 1)},
        "place": material.place,
        "keep_text": settings.keep_text,
    }


def _made_from(material: Material) -> frozenset[str]:
    rows = np.flatnonzero(material.split != "reference")
    return frozenset(material.hashes[row] for row in rows) | material.trained


def _calibrated(atlas: Atlas, material: Material) -> Atlas:
    """Scores of the calibration split, and of the rows that bring two scores to one scale."""
    held_out, before = material.rows("calibration"), material.rows("place", "detector")
    code, count = material.code[held_out], len(atlas.clusters)
    squared = atlas.geometry.squared_distances(atlas.whiten(material.vectors[held_out]))
    confusion = np.zeros((count, count), dtype=np.int64)
    np.add.at(confusion, (code, squared.argmin(1)), 1)
    none = np.zeros(0)
    found = Calibration(
        none, none, none, none, none, temperature_of(squared, code, 1 / atlas.width), 1.0
    )
    atlas = replace(atlas, confusion=confusion, calibration=found)
    states = atlas.look(material.vectors[held_out]).unusual
    found = replace(found, states=np.sort(states))
    texts = material.texts_of(held_out)
    if atlas.surface is not None and texts is not None:
        words, alike, _ = surface_scores(
            atlas.surface, atlas.bank.cluster, texts, atlas.neighbors, count
        )
        found = replace(
            found, surface=np.sort(words), surface_temperature=temperature_of(alike, code, 1e-3)
        )
        if len(before) >= _FEWEST_BEFORE:
            earlier = material.texts_of(before) or []
            found = replace(
                found,
                states_before=np.sort(atlas.look(material.vectors[before]).unusual),
                surface_before=np.sort(
                    surface_scores(
                        atlas.surface, atlas.bank.cluster, earlier, atlas.neighbors, count
                    )[0]
                ),
            )
            found = replace(found, both=np.sort(found.added(states, words)))
    return replace(atlas, calibration=found)


def _tried(
    atlas: Atlas,
    material: Material,
    settings: FitSettings,
    encoder: Callable[[Sequence[str]], np.ndarray] | None,
) -> dict[str, Any]:
    """Which detector to use; nothing where there are no texts, or too few rows to add scores."""
    if material.texts is None or not len(atlas.calibration.both):
        return {}
    inside = material.rows("detector")
    outside = np.flatnonzero(
        material.outside & np.isin(material.split, ("detector", "place", "calibration"))
    )
    rows = np.concatenate([inside, outside])
    encoded = None
    if encoder is not None:
        fit = material.rows("fit")
        encoded = (
            _encoded(encoder, material.texts_of(fit) or []), material.code[fit],
            _encoded(encoder, material.texts_of(rows) or []),
        )  # fmt: skip
    return try_detectors(
        atlas, material.vectors[rows], material.texts_of(rows) or [], material.code[rows],
        encoded, seed=settings.seed,
    )  # fmt: skip


def _encoded(
    encoder: Callable[[Sequence[str]], np.ndarray], texts: list[str]
) -> Float[np.ndarray, "row encoded"]:
    found = np.asarray(encoder(texts), dtype=np.float32)
    if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
        raise BadInput(
            f"the encoder gave an array of shape {list(found.shape)} for {len(texts)} texts; it "
            "must give a finite vector each"
        )
    return found


def _with_reference(atlas: Atlas, material: Material) -> Atlas:
    rows = material.rows("reference")
    if not len(rows):
        return atlas
    scores = atlas.score(material.vectors[rows], material.texts_of(rows))
    white = atlas.whiten(material.vectors[rows])
    # Residuals are to the centroids, so that the cluster is the one that states say.
    nearest = atlas.geometry.squared_distances(white).argmin(1)
    made = replace(
        _reference(atlas.geometry, white), cluster=nearest, p=scores.p,
        hashes=tuple(material.hashes[row] for row in rows), label=material.code[rows],
        probability=scores.probability, p_states=scores.p_states,
    )  # fmt: skip
    return replace(atlas, reference=made)


def _reference(geometry: Geometry, white: Float[np.ndarray, "row rank"]) -> Reference:
    rows = len(white)
    nobody, nothing = np.zeros(rows, dtype=np.int64), np.zeros(rows)
    return Reference(
        white, nobody, nothing, ("",) * rows, nobody, nothing, nothing, geometry.centroids,
        geometry.owner,
    )  # fmt: skip


def _spread(code: Int[np.ndarray, "row"], most: int, seed: int) -> Int[np.ndarray, "kept"]:
    """Rows to keep, at most so many, as evenly over clusters as there are rows."""
    order = np.random.default_rng(seed).permutation(len(code))
    rank = np.zeros(len(code), dtype=np.int64)
    for cluster in np.unique(code):
        members = order[code[order] == cluster]
        rank[members] = np.arange(len(members))
    return np.sort(np.lexsort((order, rank))[:most])
