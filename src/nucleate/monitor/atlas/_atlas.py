"""The atlas of a model's clusters: what a request is held against."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas._calibration import confidence, conformal_p
from nucleate.monitor.atlas._geometry import Geometry
from nucleate.monitor.atlas._neighbors import nearest_rows
from nucleate.monitor.atlas._rows import Bank, Reference, residuals
from nucleate.monitor.atlas._scores import Scores
from nucleate.monitor.atlas._stored import content_hash, read_parts, write_parts

_BATCH = 2048


@dataclass(frozen=True, eq=False, repr=False)
class Atlas:
    """A model's clusters, and what is needed to hold a request against them.

    Made by `fit_atlas`; kept as a folder with `atlas.json` and `atlas.safetensors`.

    Attributes:
        clusters: names, by code.
        stream, position: where states are read.
        fingerprints: of the model, its tokenizer, its template; empty for atlases of bare arrays.
        settings: what it was fitted with: seed, splits, counts, clusters with too few rows.
        geometry: whitening and centroids.
        calibration: the scores of the calibration split, in ascending order.
        temperature: that makes distances to probabilities.
        bank: rows that neighbors are looked for among.
        reference: rows that nothing was made from.
        texts_hashes: of every row that something was made from, training rows included where they
            were given: these are no reference for drift.
    """

    clusters: tuple[str, ...]
    stream: str
    position: str
    fingerprints: dict[str, str]
    settings: dict[str, Any]
    geometry: Geometry
    calibration: Float[np.ndarray, "held_out"]
    temperature: float
    bank: Bank
    reference: Reference
    texts_hashes: frozenset[str]

    def __repr__(self) -> str:
        return (
            f"Atlas({len(self.clusters)} clusters at {self.stream} @ {self.position}, width "
            f"{self.width}; {len(self.calibration)} calibration and {len(self.reference)} "
            f"reference rows; version {self.version})"
        )

    @property
    def width(self) -> int:
        """Of the vectors that it scores."""
        return len(self.geometry.center)

    @cached_property
    def version(self) -> str:
        """Hash of everything in it: two atlases of one version score alike."""
        return content_hash(self._meta(), self._arrays())

    @property
    def detector(self) -> str:
        """How states are scored: `knn`, `mahalanobis` or `relative`."""
        return str(self.settings["detector"])

    def score(
        self, vectors: Float[np.ndarray, "row width"], texts: Sequence[str] | None = None
    ) -> Scores:
        """Hold requests against the clusters: which one, how surely, and whether any at all.

        Args:
            vectors: states of the requests, read where the atlas reads them.
            texts: of the requests, for the surface detector.

        Raises:
            BadInput: vectors of another width, or with NaN or infinity; as many texts as rows are
                needed.
        """
        vectors = self.checked(vectors)
        if texts is not None and len(texts) != len(vectors):
            raise BadInput(f"{len(texts)} texts for {len(vectors)} vectors; give one a vector")
        cluster, probability, margin, unusual, nearest = self._scored(vectors)
        p = conformal_p(unusual, self.calibration)
        silent = np.full(len(p), np.nan)
        return Scores(cluster, probability, p, p, silent, margin, nearest, self.clusters)

    def whiten(self, vectors: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row rank"]:
        """Vectors in coordinates in which the clusters' common covariance is the identity.

        Raises:
            BadInput: as `score`.
        """
        return self.geometry.whiten(self.checked(vectors))

    def residuals(
        self, white: Float[np.ndarray, "row rank"], cluster: Int[np.ndarray, "row"]
    ) -> Float[np.ndarray, "row rank"]:
        """Whitened vectors less the nearest centroid of their cluster."""
        return residuals(white, cluster, self.geometry.centroids, self.geometry.owner)

    def checked(self, vectors: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row width"]:
        """Vectors as float32, if they can be scored.

        Raises:
            BadInput: no rows, another width, or NaN or infinity; the first such row is named.
        """
        found = np.ascontiguousarray(vectors, dtype=np.float32)
        if found.ndim != 2 or not len(found):
            raise BadInput(
                f"vectors of shape {list(found.shape)}; give [row, width], a row or more"
            )
        if found.shape[1] != self.width:
            raise BadInput(
                f"vectors of width {found.shape[1]}, and the atlas was fitted to width {self.width}"
                f" (stream {self.stream}, position {self.position}); read them from that place"
            )
        if not np.isfinite(found.sum()):
            bad = np.flatnonzero(~np.isfinite(found).all(1))
            if len(bad):
                raise BadInput(
                    f"{len(bad)} vectors hold NaN or infinity, first row {bad[0]}; leave them out"
                )
        return found

    def unusual(self, vectors: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row"]:
        """How unusual states are, in the detector's own unit: higher is more so.

        Raises:
            BadInput: as `score`.
        """
        return self._scored(self.checked(vectors))[3]

    def _scored(self, vectors: Float[np.ndarray, "row width"]) -> tuple[np.ndarray, ...]:
        """Cluster, probability, margin, how unusual, and neighbors, in batches."""
        starts = range(0, len(vectors), _BATCH)
        parts = [self._batch(vectors[start : start + _BATCH]) for start in starts]
        return tuple(np.concatenate(each) for each in zip(*parts, strict=True))

    def _batch(self, vectors: Float[np.ndarray, "row width"]) -> tuple[np.ndarray, ...]:
        white = self.geometry.whiten(vectors)
        squared = self.geometry.squared_distances(white)
        cluster, probability, margin = confidence(squared, self.temperature)
        nearest = np.zeros((len(white), 0), dtype=np.int64)
        if self.detector == "knn":
            unusual, nearest = nearest_rows(white, self.bank.vectors, self.settings["neighbors"])
        else:
            unusual = squared[np.arange(len(squared)), cluster]
            if self.detector == "relative":
                unusual = unusual - self.geometry.background_distances(white)
        return cluster, probability, margin, unusual.astype(np.float64), nearest

    def save(self, folder: Path | str) -> None:
        """Write `atlas.json` and `atlas.safetensors` into a folder; the same atlas, the same bytes.

        Raises:
            BadInput: the folder cannot be written.
        """
        write_parts(Path(folder), self._meta() | {"version": self.version}, self._arrays())

    @classmethod
    def load(cls, folder: Path | str) -> "Atlas":
        """Read an atlas that `save` wrote.

        Raises:
            BadInput: no atlas is there, it is damaged, or of a later schema.
        """
        meta, arrays = read_parts(Path(folder))
        geometry = Geometry(**{each.name: arrays[each.name] for each in fields(Geometry)})
        hashes = {
            name: tuple(map(_hex, arrays[f"{name}.hashes"])) for name in ("bank", "reference")
        }
        atlas = cls(
            clusters=tuple(meta["clusters"]),
            stream=meta["stream"],
            position=meta["position"],
            fingerprints=meta["fingerprints"],
            settings=meta["settings"],
            geometry=geometry,
            calibration=arrays["calibration"],
            temperature=meta["temperature"],
            bank=Bank(
                arrays["bank.vectors"], arrays["bank.cluster"], hashes["bank"],
                tuple(meta["bank_texts"]),
            ),
            reference=Reference(
                arrays["reference.vectors"], arrays["reference.cluster"], arrays["reference.p"],
                hashes["reference"], geometry.centroids, geometry.owner,
            ),
            texts_hashes=frozenset(map(_hex, arrays["texts_hashes"])),
        )  # fmt: skip
        if atlas.version != meta["version"]:
            raise BadInput(
                f"{folder} is not as it was written; fit the atlas again or copy it anew"
            )
        return atlas

    def _meta(self) -> dict[str, Any]:
        return {
            "clusters": list(self.clusters),
            "stream": self.stream,
            "position": self.position,
            "width": self.width,
            "fingerprints": self.fingerprints,
            "settings": self.settings,
            "temperature": self.temperature,
            "bank_texts": list(self.bank.texts),
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        bank, reference = self.bank, self.reference
        return {
            **{each.name: getattr(self.geometry, each.name) for each in fields(Geometry)},
            "calibration": self.calibration,
            "bank.vectors": bank.vectors,
            "bank.cluster": bank.cluster,
            "bank.hashes": _numbers(bank.hashes),
            "reference.vectors": reference.vectors,
            "reference.cluster": reference.cluster,
            "reference.p": reference.p,
            "reference.hashes": _numbers(reference.hashes),
            "texts_hashes": _numbers(sorted(self.texts_hashes)),
        }


def _numbers(hashes: Iterable[str]) -> np.ndarray:
    return np.array([int(each, 16) for each in hashes], dtype=np.uint64)


def _hex(value: Any) -> str:
    return f"{int(value):016x}"
