"""What a monitor keeps of the looks so far, and how that is written down."""

import base64
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput
from nucleate.monitor.drift._sample import DriftSample


@dataclass(eq=False)
class LookSums:
    """One look, as sums of its two halves; of single requests only those that are outside.

    Attributes:
        sums: of the even and of the odd rows, as a layout makes them.
        counts: requests of each cluster.
        outside: the requests outside, for new clusters; vectors are kept, texts never.
        rows: requests so far.
    """

    sums: Float[np.ndarray, "2 column"]
    counts: Int[np.ndarray, "cluster"]
    outside: list[DriftSample] = field(default_factory=list)
    rows: int = 0

    def add(
        self, sample: DriftSample, rows: Float[np.ndarray, "row column"], outside: float
    ) -> None:
        """Count some more requests in."""
        for row_parity in (0, 1):
            half = rows[(self.rows + row_parity) % 2 :: 2]
            self.sums[row_parity] += half.sum(0, dtype=np.float64)
        self.counts += np.bincount(sample.cluster, minlength=len(self.counts))
        kept = sample.take(sample.p <= outside)
        if sample.vectors is not None and len(kept):
            assert kept.vectors is not None
            # In the precision of the state, so that a restored monitor goes on as it would have.
            rounded = kept.vectors.astype(np.float16).astype(np.float32)
            self.outside.append(replace(kept, vectors=rounded, residual=rounded))
        self.rows += len(sample)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; outside vectors in half precision."""
        parts = self.outside
        found = {
            "sums": packed(self.sums, "<f8"),
            "counts": packed(self.counts, "<i8"),
            "rows": self.rows,
        }
        if parts:
            whole = DriftSample.joined(parts)
            assert whole.vectors is not None
            found["outside"] = {
                "cluster": packed(whole.cluster, "<i8"),
                "vectors": packed(whole.vectors, "<f2"),
                "rank": whole.rank,
                "hashes": list(whole.hashes),
            }
        return found

    @classmethod
    def from_dict(cls, found: dict[str, Any], like: DriftSample) -> "LookSums":
        """What `to_dict` made."""
        outside = []
        if "outside" in found:
            part = found["outside"]
            cluster = unpacked(part["cluster"], "<i8")
            vectors = unpacked(part["vectors"], "<f2").astype(np.float32)
            vectors = vectors.reshape(len(cluster), part["rank"])
            outside.append(
                DriftSample(
                    like.clusters, cluster, np.zeros(len(cluster)), vectors, vectors,
                    tuple(part["hashes"]), like.atlas,
                )
            )  # fmt: skip
        return cls(
            unpacked(found["sums"], "<f8").reshape(2, -1),
            unpacked(found["counts"], "<i8"),
            outside,
            int(found["rows"]),
        )


def packed(values: np.ndarray, kind: str) -> str:
    """An array as text."""
    return base64.b64encode(np.ascontiguousarray(values.astype(kind)).tobytes()).decode()


def unpacked(text: str, kind: str) -> np.ndarray:
    """The array that `packed` made into text, flat.

    Raises:
        BadInput: it is no such text.
    """
    try:
        found = np.frombuffer(base64.b64decode(text, validate=True), dtype=kind)
    except (ValueError, TypeError) as error:
        raise BadInput(f"the state of drift is damaged ({error}); begin a new one") from error
    return found.astype(kind.replace("<", "=")).copy()
