"""How often an audit finds a badly served group, and how often it names one where there is none.

    python -m benchmarks.operate.audit [--repeats 200] [--leaks 100] [--rows 5000] [--only PART ...]

Every data set has twenty clusters of a twentieth each, a column of three languages that has nothing
to do with anything, errors at .1 and requests outside at .05, and states of width 32.

- clean: nobody fares worse. Every finding is a false one: what counts is the share of data sets
  with any, which is the false discovery rate.
- gap: the requests of one group of 5 %, which are one cluster, go wrong at .4. Found by the labels
  (rows of the group, or of the cluster), by a search that has the clusters' names and no group, and
  by a search that has the states alone, the cluster being hidden in a larger one of the atlas: a
  slice counts if more than half of its rows are the group's. The false discovery proportion is that
  of the unrelated column, whose differences are all 0.
- leakage and pairs where there is nothing, and where there is something.
- the excess that is stated as found with power .9, by rows of a cell; and the power that it has.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from statsmodels.stats.proportion import power_proportions_2indep, proportion_confint

from nucleate.monitor.audit import (
    AuditTable,
    Pairs,
    Rules,
    Search,
    flips,
    leakage,
    rates,
    search,
)
from nucleate.monitor.audit._compare import detectable, exact_p

CLUSTERS, WIDTH = 20, 32
SIZES = (30, 50, 75, 100, 150, 200, 300, 500, 1000)
FOUND = ("higher", "lower")


def share(hits: Sequence[bool]) -> str:
    low, high = proportion_confint(sum(hits), len(hits), method="wilson")
    return f"{np.mean(hits):.3f} [{low:.3f}, {high:.3f}] of {len(hits)}"


def data(rng: np.random.Generator, rows: int, *, bad: float, states: bool = False):
    """A table, and which rows are the group's."""
    cluster = rng.integers(0, CLUSTERS, rows)
    group = cluster == 0
    lang = rng.choice(["en", "ja", "fr"], rows)
    wrong = rng.random(rows) < np.where(group, bad, 0.1)
    outcomes = {"error": wrong, "outside": rng.random(rows) < 0.05}
    vectors = None
    if states:
        means = rng.normal(size=(CLUSTERS, WIDTH))
        vectors = (means[cluster] + rng.normal(size=(rows, WIDTH))).astype(np.float32)
    made = AuditTable(
        np.char.add("c", cluster.astype(str)), {"group": np.where(group, "ours", "others"),
        "lang": lang}, outcomes, vectors=vectors,
    )  # fmt: skip
    return made, group


def without(table: AuditTable, *, cluster: np.ndarray | None = None) -> AuditTable:
    """The same requests with no group known, and other clusters."""
    return AuditTable(
        table.cluster if cluster is None else cluster, outcomes=table.outcomes,
        vectors=table.vectors,
    )  # fmt: skip


def clean(rng: np.random.Generator, rows: int, repeats: int) -> None:
    by_rates, by_search, gaps = [], [], []
    for seed in range(repeats):
        table, _ = data(rng, rows, bad=0.1, states=True)
        cells = rates(table)
        by_rates.append(any(cell.word in FOUND for cell in cells))
        found = search(table, "error", columns=["lang"], seed=seed)
        by_search.append(any(one.cell.word in FOUND for one in found.slices))
        gaps.append(any(cell.gap for cell in (*cells, *(one.cell for one in found.slices))))
    tested = sum(cell.p is not None for cell in cells)
    print(f"clean, {tested} tests: any finding by rates {share(by_rates)}")
    print(f"clean: any finding by search {share(by_search)}")
    print(f"clean: verdict of a gap {share(gaps)}")


def gap(rng: np.random.Generator, rows: int, repeats: int) -> None:
    group_found, cluster_found, named, hidden, proportion = [], [], [], [], []
    for seed in range(repeats):
        table, group = data(rng, rows, bad=0.4, states=True)
        cells = rates(table)
        by_name = {str(cell.where): cell for cell in cells if cell.where.outcome == "error"}
        group_found.append(by_name["group ours"].gap)
        cluster_found.append(by_name["cluster c0"].gap)
        found = [cell for cell in cells if cell.word in FOUND]
        # Only the column of languages is known to have no difference, in clusters as a whole.
        false = sum(cell.where.column == "lang" for cell in found)
        proportion.append(false / max(len(found), 1))
        bare = without(table)
        named.append(_hits(search(bare, "error", seed=seed), group))
        # The atlas knows ten clusters of two each, and nothing of the group but its states.
        merged = without(
            table, cluster=(np.char.strip(table.cluster, "c").astype(int) // 2).astype(str)
        )
        hidden.append(_hits(search(merged, "error", clusters=False, seed=seed), group))
    print(f"gap: found by its label {share(group_found)}, by its cluster {share(cluster_found)}")
    print(f"gap: found by a search with clusters' names {share(named)}")
    print(f"gap: found by a search with states alone {share(hidden)}")
    drawn = rng.choice(proportion, (2000, repeats)).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    print(f"gap: false discovery proportion {np.mean(proportion):.4f} [{low:.4f}, {high:.4f}]")


def _hits(found: Search, group: np.ndarray) -> bool:
    """Whether a slice that is a gap is mostly the group."""
    return any(one.cell.gap and group[list(one.members)].mean() > 0.5 for one in found.slices)


def leaks(rng: np.random.Generator, repeats: int) -> None:
    false, true = [], []
    for seed in range(repeats):
        for shift, hits in ((0.0, false), (0.6, true)):
            lang = rng.choice(["en", "ja"], 300)
            states = rng.normal(size=(300, 16)).astype(np.float32)
            states[:, 0] += shift * (lang == "ja")
            table = AuditTable(rng.integers(0, 5, 300).astype(str), {"lang": lang}, vectors=states)
            words = {one.question: one.word for one in leakage(table, permutations=59, seed=seed)}
            if shift:
                hits.append(words["decodable"] == "beyond chance")
            else:
                hits.append("beyond chance" in words.values())
    print(f"leakage, nothing there: any finding {share(false)}")
    print(f"leakage, one of 16 dimensions shifted by .6 SD, 300 texts: decodable {share(true)}")


def pairs(rng: np.random.Generator, repeats: int) -> None:
    for own, null in ((0.1, 0.1), (0.25, 0.1)):
        hits = []
        for _ in range(repeats):
            changed, other = rng.random((2, 200)) < [[own], [null]]
            made = [("a", "ab"[int(c)], "ab"[int(n)]) for c, n in zip(changed, other, strict=True)]
            (one,) = flips(Pairs({"cluster": made}, True))
            hits.append(one.word == "flips beyond a null edit")
        print(f"pairs, 200, flips {own:g} against {null:g} of a null edit: named {share(hits)}")


def stated(rng: np.random.Generator, level: float) -> None:
    """Rows, excess stated, and its power; then how many rows three differences need."""
    tests = 60
    alpha = level / tests
    print(f"excess stated by rows, against 4,750 others, first of {tests} tests; power in brackets")
    for rate in (0.05, 0.1, 0.3):
        cells = []
        for rows in SIZES:
            excess = float(_excess(rows, rate, alpha))
            cells.append(f"{rows}: {excess:.3f} ({_power(rng, rows, rate, excess, alpha):.2f})")
        print(f"  others at {rate:g}: {', '.join(cells)}")
    for rate, to in ((0.1, 0.3), (0.05, 0.15), (0.1, 0.2)):
        for count in (20, 60, 600):
            needed = next(
                rows for rows in range(20, 2000, 5)
                if _excess(rows, rate, level / count) <= to - rate
            )  # fmt: skip
            print(f"  {rate:g} to {to:g}, first of {count} tests: {needed} rows")
    for rate in (0.02, 0.1):
        cells = []
        for rows in (30, 100, 250):
            excess = _excess_by_formula(rows, rate, alpha)
            cells.append(f"{rows}: {excess:.3f} ({_power(rng, rows, rate, excess, alpha):.2f})")
        print(f"  by the normal formula, others at {rate:g}: {', '.join(cells)}")


def _excess(rows: int, rate: float, alpha: float) -> float:
    return float(detectable(np.array([rows]), np.array([4750]), np.array([rate]), alpha)[0])


def _excess_by_formula(rows: int, rate: float, alpha: float) -> float:
    """What the usual formula for two shares says instead."""

    def lacking(excess: float) -> float:
        power = power_proportions_2indep(
            excess, rate, rows, ratio=4750 / rows, alpha=alpha, return_results=False
        )
        return float(power) - 0.9

    return float(brentq(lacking, 1e-3, 0.999 - rate))


def _power(rng: np.random.Generator, rows: int, rate: float, excess: float, alpha: float) -> float:
    times = 20_000
    events, other = rng.binomial(rows, rate + excess, times), rng.binomial(4750, rate, times)
    p = exact_p(events, np.full(times, rows), other, np.full(times, 4750))
    return float(np.mean((p <= alpha) & (events / rows > other / 4750)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--leaks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--only", nargs="*", help="stated, pairs, clean, gap, leaks")
    given = parser.parse_args()
    parts = {
        "stated": lambda rng: stated(rng, Rules().level),
        "pairs": lambda rng: pairs(rng, 5 * given.repeats),
        "clean": lambda rng: clean(rng, given.rows, given.repeats),
        "gap": lambda rng: gap(rng, given.rows, given.repeats),
        "leaks": lambda rng: leaks(rng, given.leaks),
    }
    for name in given.only or parts:
        began = time.process_time()
        parts[name](np.random.default_rng(given.seed))
        print(f"  ({time.process_time() - began:.0f} processor s)", flush=True)


if __name__ == "__main__":
    main()
