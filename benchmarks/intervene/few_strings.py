"""How often a 95 % interval over instruction strings covers the truth, by the number of strings.

    python benchmarks/intervene/few_strings.py [--sets 1000]

Each set draws strings with a chance of their own (a beta distribution: its mean is the truth, its
spread the correlation between rows of one string) and 4 rows each, and takes the interval of the
causal map, the percentile bootstrap over strings. `FEWEST_STRINGS` of `nucleate.findings` is the
smallest number from which on coverage stays at about 90 % or more in all columns.
"""

import argparse

import numpy as np

from nucleate.findings import FEWEST_STRINGS
from nucleate.intervene._causal_table import Resampled

STRINGS = (2, 4, 6, 8, 10, 12, 16, 20, 30, 40)
SHARES, CORRELATIONS = (0.1, 0.3, 0.5), (0.0, 0.2, 0.5)
ROWS = 4


def coverage(strings: int, share: float, correlation: float, sets: int, seed: int = 0) -> float:
    """The share of simulated sets whose interval holds the true share."""
    rng = np.random.default_rng(seed)
    string = np.repeat(np.arange(strings), ROWS)
    resampled = Resampled(string, rng).fewer()
    chance = np.full((sets, strings), share)
    if correlation:
        size = 1 / correlation - 1
        chance = rng.beta(share * size, (1 - share) * size, (sets, strings))
    hits = rng.random((sets, len(string))) < chance[:, string]
    bounds = np.array([resampled.mean(each.astype(float)).interval() for each in hits])
    inside = (bounds[:, 0] <= share + 1e-9) & (bounds[:, 1] >= share - 1e-9)
    return float(inside.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000)
    sets = parser.parse_args().sets
    columns = [(share, correlation) for share in SHARES for correlation in CORRELATIONS]
    names = " | ".join(f"{share}, {correlation}" for share, correlation in columns)
    print(f"coverage in {sets} sets; columns: true share, correlation within strings\n")
    print(f"| strings | {names} |\n|{'---|' * (len(columns) + 1)}")
    for strings in STRINGS:
        cells = [f"{coverage(strings, *column, sets):.0%}" for column in columns]
        mark = " (fewest)" if strings == FEWEST_STRINGS else ""
        print(f"| {strings}{mark} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
