"""Requests, or rows of a reference, as drift sees them."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from nucleate._core.errors import BadInput

if TYPE_CHECKING:
    from nucleate.monitor.atlas import Atlas, Scores


@dataclass(frozen=True, eq=False)
class DriftSample:
    """Scored rows: those of a reference, or requests.

    Attributes:
        clusters: names, by code; the same for reference and requests.
        cluster: code of each row's nearest cluster.
        p: of each row, of belonging to a known cluster (conformal), between 0 and 1.
        vectors: whitened; None where they were not kept. Without them, nothing is said about shifts
            of states within clusters, or of new clusters.
        residual: each whitened vector less the centroid of its cluster; given with `vectors`.
        hashes: of the rows' texts; empty where they are not known.
        atlas: version of the atlas that scored them; empty where there is none.
        times: Unix seconds, where they are known.
        detector: what p was made from (`states`, `surface`, `both`), the same for reference and
            requests; empty where it is not known.

    Raises:
        BadInput: NaN, codes or p values out of range, or columns of different lengths.
    """

    clusters: tuple[str, ...]
    cluster: Int[np.ndarray, "row"]
    p: Float[np.ndarray, "row"]
    vectors: Float[np.ndarray, "row rank"] | None = None
    residual: Float[np.ndarray, "row rank"] | None = None
    hashes: tuple[str, ...] = ()
    atlas: str = ""
    times: Float[np.ndarray, "row"] | None = None
    detector: str = ""

    def __post_init__(self) -> None:
        if not self.clusters:
            raise BadInput("there are no clusters; give the names of one or more")
        lengths = {"cluster": len(self.cluster), "p": len(self.p)}
        if (self.vectors is None) != (self.residual is None):
            raise BadInput("only one of vectors and residual is given; give both or neither")
        for name in ("vectors", "residual", "times"):
            found = getattr(self, name)
            if found is not None:
                lengths[name] = len(found)
                _check_finite(name, found)
        if self.hashes:
            lengths["hashes"] = len(self.hashes)
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise BadInput(f"columns have different lengths ({listed}); give one value per row")
        _check_finite("p", self.p)
        if len(self) and (self.p.min() < 0 or self.p.max() > 1):
            worst = max((self.p.min(), self.p.max()), key=lambda value: abs(value - 0.5))
            raise BadInput(f"p has the value {worst:g}; give p values between 0 and 1")
        if len(self) and (self.cluster.min() < 0 or self.cluster.max() >= len(self.clusters)):
            raise BadInput(
                f"cluster codes go from {self.cluster.min()} to {self.cluster.max()}, and there "
                f"are {len(self.clusters)} clusters; give codes from 0 to {len(self.clusters) - 1}"
            )

    def __len__(self) -> int:
        return len(self.cluster)

    @property
    def rank(self) -> int | None:
        """Width of whitened vectors, None where there are none."""
        return None if self.vectors is None else self.vectors.shape[1]

    @property
    def per_day(self) -> float | None:
        """Rows a day, by their times; None where these are not known or all the same."""
        if self.times is None or not len(self) or self.times.max() <= self.times.min():
            return None
        return float((len(self) - 1) * 86_400 / (self.times.max() - self.times.min()))

    @cached_property
    def digest(self) -> str:
        """Hash of the rows' numbers, to tell which sample a report or a state belongs to."""
        found = hashlib.sha256("\n".join((self.atlas, *self.clusters)).encode())
        for each in (self.cluster.astype(np.int64), self.p, self.vectors):
            found.update(b"-" if each is None else np.ascontiguousarray(each).tobytes())
        return found.hexdigest()[:16]

    def take(
        self, rows: Int[np.ndarray, "some"] | Bool[np.ndarray, "row"] | slice
    ) -> "DriftSample":
        """Some of the rows, in the order given."""
        kept = np.arange(len(self))[rows]
        return DriftSample(
            self.clusters,
            self.cluster[kept],
            self.p[kept],
            None if self.vectors is None else self.vectors[kept],
            None if self.residual is None else self.residual[kept],
            tuple(self.hashes[row] for row in kept) if self.hashes else (),
            self.atlas,
            None if self.times is None else self.times[kept],
            self.detector,
        )

    def without_vectors(self) -> "DriftSample":
        """The same rows, with nothing of their states but cluster and p."""
        return replace(self, vectors=None, residual=None)

    @classmethod
    def joined(cls, parts: Sequence["DriftSample"]) -> "DriftSample":
        """Several samples of one atlas as one, in order.

        Raises:
            BadInput: there are none, or they are of different atlases, or only some have vectors or
                hashes.
        """
        if not parts:
            raise BadInput("there are no requests; give a scored folder or more")
        first = parts[0]
        for part in parts[1:]:
            first.check_same_atlas(part, "another part of the requests")
            if part.rank != first.rank or bool(part.hashes) != bool(first.hashes):
                raise BadInput(
                    "some requests have vectors or hashes and others have none; score all alike"
                )
        whole = first.vectors is not None
        timed = all(part.times is not None for part in parts)
        return cls(
            first.clusters,
            np.concatenate([part.cluster for part in parts]),
            np.concatenate([part.p for part in parts]),
            np.concatenate([p.vectors for p in parts if p.vectors is not None]) if whole else None,
            np.concatenate([p.residual for p in parts if p.residual is not None])
            if whole
            else None,
            tuple(each for part in parts for each in part.hashes),
            first.atlas,
            np.concatenate([p.times for p in parts if p.times is not None]) if timed else None,
            first.detector,
        )

    def check_same_atlas(self, other: "DriftSample", what: str) -> None:
        """Refuse rows that another atlas has scored.

        Raises:
            BadInput: other clusters, another version, or vectors of another width.
        """
        if other.atlas and self.atlas and other.atlas != self.atlas:
            raise BadInput(
                f"{what} was scored by the atlas {other.atlas}, and this one is {self.atlas}; "
                "score it again with this atlas"
            )
        if other.clusters != self.clusters:
            raise BadInput(
                f"{what} has {len(other.clusters)} clusters that are not the {len(self.clusters)} "
                "of this atlas; score it with this atlas"
            )
        if other.detector and self.detector and other.detector != self.detector:
            raise BadInput(
                f"{what} has p values by {other.detector}, and this reference by {self.detector}; "
                "score with vectors and texts alike, or ask for the reference of that detector"
            )
        if None not in (self.rank, other.rank) and self.rank != other.rank:
            raise BadInput(
                f"{what} has whitened vectors of width {other.rank}, and this atlas has "
                f"{self.rank}; whiten them with this atlas"
            )

    @classmethod
    def of_reference(cls, atlas: "Atlas", detector: str | None = None) -> "DriftSample":
        """The reference that an atlas carries, as a sample; training rows in it are refused.

        Args:
            atlas: with a reference.
            detector: `states` for requests that are scored without their texts; by default the one
                that the atlas has in use.
        """
        reference = atlas.reference
        detector = detector or atlas.in_use
        if detector not in (atlas.in_use, "states"):
            raise BadInput(
                f"detector is {detector!r}; choose {atlas.in_use}, which the atlas uses, or states"
            )
        p = reference.p if detector == atlas.in_use else reference.p_states
        found = cls(
            atlas.clusters,
            reference.cluster,
            np.asarray(p, dtype=np.float64),
            np.asarray(reference.vectors),
            np.asarray(reference.residual),
            tuple(reference.hashes),
            atlas.version,
            detector=detector,
        )
        refuse_training_rows(found, atlas.texts_hashes)
        return found

    @classmethod
    def of_scores(
        cls,
        atlas: "Atlas",
        scores: "Scores",
        vectors: Float[np.ndarray, "row width"] | None = None,
        hashes: Sequence[str] = (),
    ) -> "DriftSample":
        """Requests that an atlas has scored.

        Args:
            atlas: the one that scored them.
            scores: what it said.
            vectors: of the requests, not yet whitened, so that states within clusters are seen too.
            hashes: of their texts.
        """
        detector = detector_of(atlas, scores.p_states, scores.p_surface)
        cluster, white, residual = placed(atlas, scores.cluster, vectors, detector)
        return cls(
            atlas.clusters, cluster, np.asarray(scores.p, dtype=np.float64), white, residual,
            tuple(hashes), atlas.version, detector=detector,
        )  # fmt: skip


def placed(
    atlas: "Atlas",
    cluster: Int[np.ndarray, "row"],
    vectors: Float[np.ndarray, "row width"] | None,
    detector: str,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Clusters, whitened vectors and residuals of requests, as an atlas's reference has them.

    Where there are vectors, the cluster is the nearest by states, also in an atlas that scores by
    words.

    Raises:
        BadInput: the clusters are those of words and there are no vectors to say it otherwise.
    """
    if vectors is None:
        if detector == "surface":
            raise BadInput(
                "the requests' clusters are by words, and the reference's by states; score them "
                "with --keep-vectors"
            )
        return np.asarray(cluster), None, None
    white = np.asarray(atlas.whiten(vectors))
    nearest = np.asarray(atlas.geometry.squared_distances(white).argmin(1))
    return nearest, white, np.asarray(atlas.residuals(white, nearest))


def detector_of(
    atlas: "Atlas", p_states: Float[np.ndarray, "row"], p_surface: Float[np.ndarray, "row"]
) -> str:
    """What the p values of requests were made from, by which of the two are there."""
    if not np.isfinite(p_states).any():
        return "surface"
    return atlas.in_use if np.isfinite(p_surface).any() else "states"


def refuse_training_rows(reference: DriftSample, training: Collection[str]) -> None:
    """Refuse a reference with rows that something was made from: clean traffic differs from those.

    Raises:
        BadInput: texts of the reference are among the training texts, by their hashes.
    """
    seen = sum(each in training for each in reference.hashes) if training else 0
    if seen:
        raise BadInput(
            f"{seen} of the {len(reference)} reference rows are training rows, which would let "
            "clean requests look like drift; leave them out of the reference"
        )


def _check_finite(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1))
        raise BadInput(
            f"{name} is not finite in {len(rows)} rows, first in row {rows[0]}; "
            "leave these rows out"
        )
