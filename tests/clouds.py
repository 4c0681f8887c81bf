"""Gaussian clusters with a reference and requests drawn from them, as drift sees them."""

from dataclasses import dataclass

import numpy as np

from nucleate.monitor.drift import DriftSample


@dataclass(frozen=True)
class Clouds:
    """Clusters of unit variance, with the conformal p of the distance from the nearest centroid."""

    clusters: int = 8
    rank: int = 6
    gap: float = 4.0

    @property
    def centroids(self):
        rng = np.random.default_rng(11)
        return self.gap * rng.standard_normal((self.clusters, self.rank))

    def draw(self, rng, rows, *, to_first=0.0, off=0.0, gathered=0.0, spread=1.0):
        """Vectors; a share of them moved to the first cluster, off all clusters, or to one spot."""
        code = rng.integers(self.clusters, size=rows)
        code[rng.random(rows) < to_first] = 0
        found = self.centroids[code] + spread * rng.standard_normal((rows, self.rank))
        away = rng.random(rows) < off
        found[away] = 12 * rng.standard_normal((int(away.sum()), self.rank))
        spot = rng.random(rows) < gathered
        found[spot] = 15 + rng.standard_normal((int(spot.sum()), self.rank))
        return found

    def scored(self, vectors, name="row", vectors_kept=True, atlas="one"):
        apart = np.linalg.norm(vectors[:, None] - self.centroids[None], axis=2)
        code, unusual = apart.argmin(1), apart.min(1)
        held_out = self.draw(np.random.default_rng(12), 500)
        known = np.sort(np.linalg.norm(held_out[:, None] - self.centroids, axis=2).min(1))
        p = (1 + len(known) - np.searchsorted(known, unusual)) / (1 + len(known))
        return DriftSample(
            tuple(f"task {k}" for k in range(self.clusters)),
            code,
            p,
            vectors if vectors_kept else None,
            vectors - self.centroids[code] if vectors_kept else None,
            tuple(f"{name}{k}" for k in range(len(vectors))),
            atlas,
        )

    def sample(self, seed, rows, *, name="row", vectors_kept=True, atlas="one", **shift):
        vectors = self.draw(np.random.default_rng(seed), rows, **shift)
        return self.scored(vectors, name, vectors_kept, atlas)
