"""How often `cluster_changes` says that clusters changed where none did, and where some did.

    python -m benchmarks.changes [--sets 200] [--power-sets 50] [--draws 249] [--run RUN ...]

Unchanged: two halves of the strings of one version, drawn from the same clusters. A data set counts
as soon as any word is said of any cluster. In a common basis and without; clusters of different
shapes and sizes:

- round: Gaussians in 8 of 32 dimensions, 20 clusters of 6 strings a side
- few: 4 clusters of 5 strings
- long: each cluster along one direction of its own
- uneven: spreads that differ tenfold, 4 to 24 strings
- heavy: Student's t with 3 degrees of freedom
- lumpy: 24 strings, every cluster already in two lumps
- near: clusters that overlap, so that many pairs barely stand apart

Changed, for power: one of 12 clusters of 12 strings moves by 3 spreads, two merge, one of 24
strings splits; the strings are others.

With `--run`, real states: random halves of the strings of a recorded run, at its last step.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest

from nucleate.findings import LabeledStates, cluster_changes

WIDTH = 32
Draw = Callable[[np.random.Generator, int], np.ndarray]


def gaussian(rng: np.random.Generator, count: int, dims: int = 8) -> np.ndarray:
    return rng.standard_normal((count, dims)) @ np.eye(dims, WIDTH)


def long(rng: np.random.Generator, count: int, axis: np.ndarray) -> np.ndarray:
    return rng.standard_normal((count, 1)) * axis + 0.1 * rng.standard_normal((count, WIDTH))


def heavy(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_t(3, (count, 8)) @ np.eye(8, WIDTH)


def lumps(rng: np.random.Generator, count: int, axis: np.ndarray, gap: float = 8) -> np.ndarray:
    sides = np.arange(count) % 2 - 0.5
    return gap * sides[:, None] * axis + gaussian(rng, count)


def directions(rng: np.random.Generator, count: int) -> np.ndarray:
    found = rng.standard_normal((count, WIDTH))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def unchanged(shape: str, rng: np.random.Generator) -> tuple[LabeledStates, LabeledStates]:
    """Two halves of the strings of the same clusters."""
    clusters = {"few": 4, "lumpy": 8}.get(shape, 20)
    counts = np.full(clusters, {"few": 5, "lumpy": 24}.get(shape, 6))
    scales, axes = np.ones(clusters), directions(rng, clusters)
    if shape == "uneven":
        counts = np.geomspace(4, 24, clusters).astype(int)
        scales = rng.permutation(np.geomspace(0.3, 3, clusters))
    middles = {"near": 0.8}.get(shape, 4) * rng.standard_normal((clusters, WIDTH))

    def points(cluster: int) -> np.ndarray:
        count = int(counts[cluster])
        if shape == "long":
            drawn = long(rng, count, axes[cluster])
        elif shape == "heavy":
            drawn = heavy(rng, count)
        elif shape == "lumpy":
            drawn = lumps(rng, count, axes[cluster])
        else:
            drawn = gaussian(rng, count)
        return middles[cluster] + scales[cluster] * drawn

    return tuple(labeled([points(k) for k in range(clusters)]) for _ in range(2))


def changed(rng: np.random.Generator) -> tuple[LabeledStates, LabeledStates]:
    """0 moves, 1 and 2 merge, 3 splits, 4 to 11 stay."""
    counts = [12] * 3 + [24] + [12] * 8
    middles = 4 * rng.standard_normal((12, WIDTH))
    before = [middles[k] + gaussian(rng, counts[k]) for k in range(12)]
    after = [middles[k] + gaussian(rng, counts[k]) for k in range(12)]
    after[0] += 3 * 8**0.5 * directions(rng, 1)
    after[2] += middles[1] - middles[2]
    after[3] = middles[3] + lumps(rng, counts[3], directions(rng, 1)[0], gap=10)
    return labeled(before), labeled(after)


def labeled(clusters: list[np.ndarray]) -> LabeledStates:
    of = np.repeat(np.arange(len(clusters)), [len(each) for each in clusters])
    return LabeledStates(np.concatenate(clusters), of, np.arange(len(of)))


def said(sides: tuple[LabeledStates, LabeledStates], basis: bool, draws: int, seed: int) -> dict:
    found = cluster_changes(*sides, common_basis=basis, draws=draws, seed=seed)
    return {each.name: each.words for each in found.clusters if each.words}


def halves(run: Path, position: str, rng: np.random.Generator) -> Iterator[tuple]:
    """Random halves of the strings of every cluster of a run, of its last step."""
    from nucleate.findings import labeled_states
    from nucleate.runs import Run

    opened = Run(run)
    step = opened.steps[-1]
    stream = opened.shape(step)[0][-2]
    whole = labeled_states(opened, step, stream, position)
    while True:
        first = np.zeros(len(whole.strings), dtype=bool)
        for cluster in np.unique(whole.clusters):
            strings = np.unique(whole.strings[whole.clusters == cluster])
            first |= np.isin(whole.strings, rng.permutation(strings)[: len(strings) // 2])
        yield tuple(
            LabeledStates(
                whole.states[inside], whole.clusters[inside], whole.strings[inside],
                None if whole.inputs is None else whole.inputs[inside],
            )
            for inside in (first, ~first)
        )  # fmt: skip


def rate(hits: int, sets: int) -> str:
    low, high = binomtest(hits, sets).proportion_ci()
    return f"{hits}/{sets} = {hits / sets:.3f} [{low:.3f}, {high:.3f}]"


SHAPES = ("round", "few", "long", "uneven", "heavy", "lumpy", "near")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--power-sets", type=int, default=50)
    parser.add_argument("--draws", type=int, default=249)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shapes", nargs="*", default=SHAPES)
    parser.add_argument("--run", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    parallel = Parallel(n_jobs=given.workers)

    print("any word where nothing changed (allowed: 0.05)")
    for shape in given.shapes:
        for basis in (True, False):
            found = parallel(
                delayed(said)(
                    unchanged(shape, np.random.default_rng([seed, 1])), basis, given.draws, seed
                )
                for seed in range(given.sets)
            )
            words = sorted({word for one in found for each in one.values() for word in each})
            name = "common basis" if basis else "no common basis"
            print(f"{shape:8} {name:16} {rate(sum(map(bool, found)), given.sets)} {words}")
    for run in given.run:
        for position in ("instruction_end", "last"):
            drawn = halves(run, position, np.random.default_rng(0))
            for basis in (True, False):
                found = parallel(
                    delayed(said)(next(drawn), basis, given.draws, seed)
                    for seed in range(given.sets)
                )
                words = sorted({word for one in found for each in one.values() for word in each})
                name = "common basis" if basis else "no common basis"
                print(f"{run} {position} {name}: {rate(sum(map(bool, found)), given.sets)} {words}")
    if given.power_sets:
        print("found where something changed")
    for basis in (True, False) if given.power_sets else ():
        found = parallel(
            delayed(said)(changed(np.random.default_rng([seed, 2])), basis, given.draws, seed)
            for seed in range(given.power_sets)
        )
        hits = {
            "moved": sum("moved" in one.get("0", ()) for one in found),
            "merged": sum("merged" in one.get("1", ()) for one in found),
            "split": sum("split" in one.get("3", ()) for one in found),
            "anything of the others": sum(
                any(str(k) in one for k in range(4, 12)) for one in found
            ),
        }
        for word, count in hits.items():
            print(
                f"{'common' if basis else 'no common'} basis, {word}: "
                f"{rate(count, given.power_sets)}"
            )


if __name__ == "__main__":
    main()
