"""How fast and how good the clustering is, how it grows, and where the panel's time goes.

    python benchmarks/measure                             # nucleate against scikit-learn
    python benchmarks/measure --growth --plot growth.png  # rows, K, width, steps
    python benchmarks/measure --out-of-core               # 1,000,000 rows x 256, K = 100
    python benchmarks/measure --panel runs/mine           # a run's whole panel by part

The comparison: 40 snapshots x 8 streams x 2 positions x 2,000 rows x 128 of a simulated training
(`materials.py`), K = T = 20, 20 restarts, two threads for either side. Scikit-learn reads a sample
of the problems and its time is extrapolated. In each round, both sides run.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
from clustering import Found, Others, Place, nulls, ours, sample_of, states_of
from materials import POSITIONS, Training

_DRAWS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=40, help="problems a round for scikit-learn")
    parser.add_argument("--permutations", type=int, default=999)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--out-of-core", action="store_true")
    parser.add_argument("--panel", type=Path, metavar="RUN")
    options = parser.parse_args()
    load = f", load {os.getloadavg()[0]:.1f} before the start" if hasattr(os, "getloadavg") else ""
    print(f"{os.cpu_count()} cores, threads: {options.threads}{load}\n", flush=True)
    if options.growth:
        show_growth(options)
    if options.out_of_core:
        show_out_of_core()
    if options.panel:
        show_panel(options)
    if not (options.growth or options.out_of_core or options.panel):
        compare(options)


def compare(options: argparse.Namespace) -> None:
    training = Training(options.steps, options.streams, options.rows, seed=options.seed)
    states, problems = states_of(training), options.steps * options.streams * POSITIONS
    mine: list[Found] = []
    others = {workers: Others(workers, options.threads) for workers in (1, 2)}
    other: dict[int, list[Found]] = {workers: [] for workers in others}
    null_seconds = []
    for number in range(options.rounds):
        places = sample_of(training, options.sample, options.seed + number)
        mine.append(ours(states, training, options.restarts, options.threads))
        for workers, found in other.items():
            # Another seed for each way: how far apart are two runs of scikit-learn itself?
            found.append(others[workers](states, training, places, options.restarts, workers))
        null_seconds.append(nulls(mine[-1], training, options.permutations, options.threads))
        print(f"round {number + 1}: nucleate {mine[-1].seconds[0]:.1f} s", flush=True)
    for process in others.values():
        process.close()
    print(f"\n{problems} problems, K = {training.tasks}, {options.restarts} restarts; "
          f"scikit-learn from {options.rounds} x {options.sample} of them\n")  # fmt: skip
    print("| way | seconds | ratio | inertia against it | ARI: nucleate - it | absolute |")
    print("|---|---|---|---|---|---|")
    seconds = statistics.median(found.seconds[0] for found in mine)
    print(f"| nucleate, a chain a thread | {seconds:.1f} | 1 | - | - | - |")
    for workers, found in other.items():
        way = f"scikit-learn, {workers} x {options.threads // workers} threads"
        excess, apart = (np.concatenate(part) for part in zip(
            *(differences(a, b) for a, b in zip(mine, found, strict=True)), strict=True
        ))  # fmt: skip
        print(f"| {way} | {problems * mean_of(found):.0f} | {ratio(mine, found, problems)} "
              f"| {interval(excess, '{:+.3%}')} | {interval(apart, '{:+.4f}')} "
              f"| {interval(np.abs(apart), '{:.4f}')} |")  # fmt: skip
    itself = np.concatenate([differences(a, b)[1] for a, b in zip(other[1], other[2], strict=True)])
    print(f"\nTwo seeds of scikit-learn differ in ARI by {interval(np.abs(itself), '{:.4f}')}.")
    print(f"ARI and AMI under {options.permutations} permutations: "
          f"{statistics.median(null_seconds):.1f} s for all problems, "
          f"{statistics.median(null_seconds) / seconds:.2f} of the clustering.")  # fmt: skip
    spread = np.array([s for found in other[1] for s in found.seconds])
    print(f"Seconds a problem of scikit-learn, one at a time: quartiles "
          f"{', '.join(f'{q:.2f}' for q in np.quantile(spread, [0.25, 0.5, 0.75]))}.")  # fmt: skip


def differences(mine: Found, other: Found) -> tuple[np.ndarray, np.ndarray]:
    """Relative excess of the inertia, and ARI less the other's, at the places of both."""
    places: list[Place] = [place for place in other.inertia if place in mine.inertia]
    excess = [mine.inertia[place] / other.inertia[place] - 1 for place in places]
    return np.array(excess), np.array([mine.ari[place] - other.ari[place] for place in places])


def mean_of(found: list[Found]) -> float:
    return float(np.mean([seconds for part in found for seconds in part.seconds]))


def ratio(mine: list[Found], other: list[Found], problems: int) -> str:
    """Median over rounds; the interval also over the problems that were drawn."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_DRAWS // 10):
        rounds = rng.integers(0, len(mine), len(mine))
        draws.append(np.median([
            problems * np.mean(rng.choice(other[r].seconds, len(other[r].seconds)))
            / mine[r].seconds[0]
            for r in rounds
        ]))  # fmt: skip
    low, high = np.quantile(draws, [0.025, 0.975])
    middle = np.median([
        problems * np.mean(b.seconds) / a.seconds[0] for a, b in zip(mine, other, strict=True)
    ])  # fmt: skip
    return f"{middle:.0f} [{low:.0f}, {high:.0f}]"


def interval(values: np.ndarray, form: str) -> str:
    """Mean and its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).choice(values, (_DRAWS, len(values))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{form.format(values.mean())} [{form.format(low)}, {form.format(high)}]"


def show_growth(options: argparse.Namespace) -> None:
    from growth import curves, plot

    print("| axis | seconds on one thread | exponent | of the largest three |")
    print("|---|---|---|---|", flush=True)
    say: Callable[[str], None] = lambda line: print(line, flush=True)  # noqa: E731
    found = curves(options.restarts, options.rounds, say)
    if options.plot is not None:
        plot(found, options.plot)
        print(f"\n{options.plot}")


def show_out_of_core() -> None:
    from out_of_core import ROWS, WIDTH, K, run

    facts = run(ROWS)
    print(f"{ROWS:,} rows x {WIDTH} in half precision, K = {K}, z-scored: "
          f"{facts['seconds']:.1f} s, {facts['passes']} passes and two, "
          f"{'converged' if facts['converged'] else 'not converged'}; peak of resident memory "
          f"{facts['peak'] / 1e9:.2f} GB, of which {facts['imported'] / 1e9:.2f} were there after "
          f"the imports; purity {facts['purity']:.3f}")  # fmt: skip


def show_panel(options: argparse.Namespace) -> None:
    from panel import breakdown

    total, parts, numbers = breakdown(options.panel, options.threads)
    print(f"the panel of {options.panel.name}, {numbers:,} numbers: {total:.1f} s\n")
    print("| part | seconds, summed over workers | share |\n|---|---|---|")
    whole = sum(parts.values())
    for part, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"| {part} | {seconds:.2f} | {seconds / whole:.0%} |")


if __name__ == "__main__":
    main()
