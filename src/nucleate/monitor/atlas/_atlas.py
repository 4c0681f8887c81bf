"""The atlas of a model's clusters: what a request is held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas._calibration import Calibration, confidence, conformal_p
from nucleate.monitor.atlas._geometry import Geometry
from nucleate.monitor.atlas._neighbors import nearest_rows
from nucleate.monitor.atlas._packing import packed, unpacked
from nucleate.monitor.atlas._rows import Bank, Reference, residuals
from nucleate.monitor.atlas._scores import Look, Scores
from nucleate.monitor.atlas._stored import content_hash, read_parts, write_parts
from nucleate.monitor.atlas._surface import Surface, check_texts, surface_scores

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
        calibration: what held-out rows score.
        bank: rows that neighbors are looked for among.
        surface: the bank's rows by their words; None where there were no texts.
        reference: rows that nothing was made from.
        confusion: calibration rows by their own cluster (row) and the nearest one (column).
        texts_hashes: of every row that something was made from, training rows included where they
            were given: these are no reference for drift.
    """

    clusters: tuple[str, ...]
    stream: str
    position: str
    fingerprints: dict[str, str]
    settings: dict[str, Any]
    geometry: Geometry
    calibration: Calibration
    bank: Bank
    surface: Surface | None
    reference: Reference
    confusion: Int[np.ndarray, "cluster cluster"]
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
        return content_hash(*packed(self))

    @property
    def detector(self) -> str:
        """How states are scored: `knn`, `mahalanobis` or `relative`."""
        return str(self.settings["detector"])

    @property
    def neighbors(self) -> int:
        """How many of the bank's rows are looked at."""
        return int(self.settings["neighbors"])

    @property
    def in_use(self) -> str:
        """What the p value is made from: `states`, `surface`, or `both`."""
        return str(self.settings["in_use"])

    def score(
        self,
        vectors: Float[np.ndarray, "row width"] | None,
        texts: Sequence[str] | None = None,
    ) -> Scores:
        """Hold requests against the clusters: which one, how surely, and whether any at all.

        Where both are given, `p` is that of the detector in use. With vectors alone it is that of
        the states, with texts alone (vectors None) cluster, probability and `p` are those of the
        words, and no model is needed.

        Args:
            vectors: states of the requests, read where the atlas reads them.
            texts: of the requests, as they were when the atlas was fitted.

        Raises:
            BadInput: vectors of another width, or with NaN or infinity; texts that are empty or
                longer than 100,000 characters; not as many texts as vectors; neither; texts alone,
                and the atlas was fitted without texts.
        """
        if vectors is not None and texts is not None and len(texts) != len(vectors):
            raise BadInput(f"{len(texts)} texts for {len(vectors)} vectors; give one a vector")
        of_states = None if vectors is None else self.look(vectors)
        of_words = None if texts is None or self.surface is None else self.look_at_words(texts)
        if of_states is None and of_words is None:
            wanted = "vectors" if self.surface is None else "vectors, texts, or both"
            raise BadInput(f"there is nothing that this atlas can score; give {wanted}")
        seen = of_words if of_states is None else of_states
        if self.in_use == "surface" and of_words is not None:
            seen = of_words
        assert seen is not None
        silent = np.full(len(seen.unusual), np.nan)
        p_states = silent if of_states is None else self._p("states", of_states.unusual)
        p_surface = silent if of_words is None else self._p("surface", of_words.unusual)
        if of_states is not None and of_words is not None and self.in_use == "both":
            p = self._p("both", self.calibration.added(of_states.unusual, of_words.unusual))
        else:
            p = p_surface if seen is of_words else p_states
        return Scores(
            seen.cluster, seen.probability, p, p_states, p_surface, seen.margin, seen.nearest,
            self.clusters,
        )  # fmt: skip

    def look(self, vectors: Float[np.ndarray, "row width"]) -> Look:
        """What states alone say, before it is calibrated: how unusual, how near which cluster.

        Raises:
            BadInput: as `score`.
        """
        vectors = self.checked(vectors)
        starts = range(0, len(vectors), _BATCH)
        return Look.joined([self._look(vectors[start : start + _BATCH]) for start in starts])

    def look_at_words(self, texts: Sequence[str]) -> Look:
        """What the words alone say, likewise.

        Raises:
            BadInput: as `score`; or the atlas was fitted without texts.
        """
        check_texts(texts)
        if self.surface is None:
            raise BadInput("the atlas was fitted without texts; fit it with texts, or give vectors")
        unusual, squared, nearest = surface_scores(
            self.surface, self.bank.cluster, texts, self.neighbors, len(self.clusters)
        )
        seen = confidence(squared, self.calibration.surface_temperature)
        return Look(*seen, unusual, nearest)

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

    def _look(self, vectors: Float[np.ndarray, "row width"]) -> Look:
        white = self.geometry.whiten(vectors)
        squared = self.geometry.squared_distances(white)
        cluster, probability, margin = confidence(squared, self.calibration.temperature)
        if self.detector == "knn":
            unusual, nearest = nearest_rows(white, self.bank.vectors, self.neighbors)
        else:
            nearest = np.zeros((len(white), 0), dtype=np.int64)
            unusual = squared[np.arange(len(squared)), cluster]
            if self.detector == "relative":
                unusual = unusual - self.geometry.background_distances(white)
        return Look(cluster, probability, margin, unusual.astype(np.float64), nearest)

    def _p(self, detector: str, unusual: Float[np.ndarray, "row"]) -> Float[np.ndarray, "row"]:
        return conformal_p(unusual, getattr(self.calibration, detector))

    def save(self, folder: Path | str) -> None:
        """Write `atlas.json` and `atlas.safetensors` into a folder; the same atlas, the same bytes.

        Raises:
            BadInput: the folder cannot be written.
        """
        meta, arrays = packed(self)
        write_parts(Path(folder), meta | {"version": self.version}, arrays)

    @classmethod
    def load(cls, folder: Path | str) -> "Atlas":
        """Read an atlas that `save` wrote.

        Raises:
            BadInput: no atlas is there, it is damaged, or of a later schema.
        """
        meta, arrays = read_parts(Path(folder))
        try:
            atlas = cls(**unpacked(meta, arrays))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{folder} lacks {error} of an atlas; fit it again") from error
        if atlas.version != meta["version"]:
            raise BadInput(
                f"{folder} is not as it was written; fit the atlas again or copy it anew"
            )
        return atlas
