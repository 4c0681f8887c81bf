"""How many vectors an atlas scores in a second of one processor.

    python -m benchmarks.operate.vectors [--rounds 7]

Width 256, 100 clusters, batches of 2,048 vectors, one thread, no texts: everything that a request
gets (cluster, probability, margin, p value), by the squared distance to the nearest centroid, by
the relative one, and by the nearest of 1,000 kept rows. The middle of several rounds, with their
range; *floor* is the product of matrices that whitening and centroids take by themselves.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from nucleate.monitor.atlas import fit_atlas

WIDTH, CLUSTERS, EACH, BATCH, BANK = 256, 100, 40, 2048, 1000


def draw(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, list[str]]:
    centers = np.random.default_rng(1).normal(size=(CLUSTERS, WIDTH)) * 2
    code = rng.integers(0, CLUSTERS, rows)
    vectors = centers[code] + rng.normal(size=(rows, WIDTH))
    return vectors.astype(np.float32), [f"c{k}" for k in code]


def per_second(call: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Vectors a processor second: the middle round, the slowest, the fastest."""
    call()
    rates = []
    for _ in range(rounds):
        started, repeats = time.process_time(), 0
        while time.process_time() - started < 0.5:
            call()
            repeats += 1
        rates.append(repeats * BATCH / (time.process_time() - started))
    return float(np.median(rates)), min(rates), max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    vectors, labels = draw(rng, CLUSTERS * EACH * 2)
    batch, _ = draw(rng, BATCH)
    with threadpool_limits(1):
        for detector in ("mahalanobis", "relative", "knn"):
            atlas = fit_atlas(vectors, labels, detector=detector, bank_rows=BANK)
            middle, low, high = per_second(lambda atlas=atlas: atlas.score(batch), rounds)
            print(f"{detector:12} {middle:9,.0f} vectors a CPU second [{low:,.0f}, {high:,.0f}]")
        first, second = atlas.geometry.whitening.T.copy(), atlas.geometry.centroids.T.copy()
        middle, low, high = per_second(lambda: (batch @ first) @ second, rounds)
        print(f"{'floor':12} {middle:9,.0f} vectors a CPU second [{low:,.0f}, {high:,.0f}]")


if __name__ == "__main__":
    main()
