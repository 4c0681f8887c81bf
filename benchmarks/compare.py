"""How often runs without a difference are called different by `nucleate.compare`, and the power.

Prints a table: seeds a side, how seeds vary, and the share of comparisons in which any number is
called higher or lower; and the share of t intervals that cover the difference.
"""

import argparse

import numpy as np

from nucleate.findings._seed_test import LEVEL, label_test, t_interval

NUMBERS = 8
SEEDS = ((2, 2), (3, 3), (4, 4), (5, 5), (8, 8), (2, 8), (3, 5))


def normal(rng, shape):
    return rng.standard_normal(shape)


def skewed(rng, shape):
    return np.exp(1.5 * rng.standard_normal(shape))


def two_kinds(rng, shape):
    """Half of the seeds form clusters and half do not."""
    return rng.integers(0, 2, shape) + 0.01 * rng.standard_normal(shape)


def ceiling(rng, shape):
    """Most seeds reach exactly 1."""
    return np.minimum(1.0, 1 + 0.3 * rng.standard_normal(shape))


def grid(rng, shape):
    """Few values, such as onsets on recorded steps."""
    return rng.integers(0, 3, shape).astype(float)


KINDS = {each.__name__: each for each in (normal, skewed, two_kinds, ceiling, grid)}


def correlated(draw, rng, units, together):
    """Numbers of one seed go together, as accuracy and ARI do, or each for itself."""
    values = draw(rng, (units, NUMBERS))
    return np.repeat(values[:, :1], NUMBERS, axis=1) if together else values


def called(rng, draw, first, second, *, paired, together, shift=0.0):
    shared = draw(rng, (first, 1)) if paired else 0.0
    a = correlated(draw, rng, first, together) + shared
    b = correlated(draw, rng, second, together) + shared
    a[:, 0] += shift
    test = label_test(a, b, paired=paired)
    low, high = t_interval(a[:, 0], b[:, 0], paired=paired)
    return bool((test.p <= LEVEL).any()), bool(test.p[0] <= LEVEL), low <= shift <= high


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2000)
    sets = parser.parse_args().sets
    print("seeds  design    how seeds vary  any called (8 apart)  any called (together)  t covers")
    for first, second in SEEDS:
        for paired in (False, True) if first == second else (False,):
            for number, (name, draw) in enumerate(KINDS.items()):
                rng = np.random.default_rng((first, second, paired, number))
                shares = []
                for together in (False, True):
                    found = np.array(
                        [
                            called(rng, draw, first, second, paired=paired, together=together)
                            for _ in range(sets)
                        ]
                    )
                    shares.append(found.mean(0))
                design = "paired" if paired else "unpaired"
                print(
                    f"{first} v {second}  {design:9} {name:15} {shares[0][0]:20.3f} "
                    f"{shares[1][0]:22.3f} {shares[0][2]:9.3f}",
                    flush=True,
                )
    print("\npower: the first of 8 normal numbers differs by so many standard deviations")
    for first, second in SEEDS:
        for paired in (False, True) if first == second else (False,):
            rng = np.random.default_rng(1)
            shares = [
                np.mean(
                    [
                        called(
                            rng, normal, first, second, paired=paired, together=False, shift=shift
                        )[1]
                        for _ in range(sets // 4)
                    ]
                )
                for shift in (1, 2, 3, 5, 10)
            ]
            told = " ".join(f"{share:6.2f}" for share in shares)
            print(f"{first} v {second}  {'paired' if paired else 'unpaired':9} {told}", flush=True)


if __name__ == "__main__":
    main()
