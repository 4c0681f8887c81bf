"""Whether two tables over pairs of tasks go together, with tasks as the units of inference."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

Table = Float[np.ndarray, "task other"]
_NAN = float("nan")
_FEWEST = 3
"""Pairs without which nothing is correlated."""


@dataclass(frozen=True)
class Correlation:
    """How one table goes with another.

    Attributes:
        rho: Spearman's correlation over pairs of tasks; NaN where either does not vary.
        low, high: its 95 % interval with the tasks resampled.
        null: 97.5 % point of it with the tasks of one table permuted.
        p: share of permutations that are at least as far from 0, (1 + r) / (1 + B).
        beyond_surface: rho less that of the table it is laid beside; 0 for that table itself.
        beyond_low, beyond_high: its 95 % interval, the same tasks drawn for both.
    """

    rho: float
    low: float = _NAN
    high: float = _NAN
    null: float = _NAN
    p: float = _NAN
    beyond_surface: float = _NAN
    beyond_low: float = _NAN
    beyond_high: float = _NAN


def correlate_pairs(
    tables: Mapping[str, Table],
    confusion: Table,
    surface: str,
    n_permutations: int,
    n_bootstraps: int,
    rng: np.random.Generator,
) -> dict[str, Correlation]:
    """Correlate each table with the confusion.

    Args:
        tables: symmetric, by name.
        confusion: symmetric; pairs that are NaN in any table that varies, or here, are left out.
        surface: name of the table that the others are laid beside.
        n_permutations, n_bootstraps: how many draws.
        rng: the source of random numbers, the same draws for all tables.

    Returns:
        One correlation a table.
    """
    count = len(confusion)
    pairs = _Pairs.of(np.stack(list(tables.values())), confusion)
    everything = np.arange(count)
    values = pairs.rhos(everything)
    draws = np.stack([pairs.rhos(rng.integers(0, count, count)) for _ in range(n_bootstraps)])
    null = np.stack([pairs.rhos(everything, rng.permutation(count)) for _ in range(n_permutations)])
    beside = list(tables).index(surface)
    found = {}
    for index, name in enumerate(tables):
        rho, by_chance = float(values[index]), null[:, index]
        if np.isnan(rho):
            found[name] = Correlation(rho)
            continue
        found[name] = Correlation(
            rho,
            *_ends(draws[:, index]),
            float(np.nanquantile(by_chance, 0.975)),
            float((1 + (np.abs(by_chance) >= abs(rho) - 1e-12).sum()) / (1 + len(null))),
            float(rho - values[beside]),
            *_ends(draws[:, index] - draws[:, beside]),
        )
    return found


@dataclass(frozen=True)
class _Pairs:
    """The pairs that all tables have, and where each stands.

    Attributes:
        x: every table's numbers.
        y: those of the confusion.
        at: which pair two tasks are; -1 for none.
    """

    x: Float[np.ndarray, "table pair"]
    y: Float[np.ndarray, "pair"]
    at: Int[np.ndarray, "task other"]

    @classmethod
    def of(cls, tables: Float[np.ndarray, "table task other"], confusion: Table) -> "_Pairs":
        count = len(confusion)
        one, other = np.triu_indices(count, 1)
        x, y = tables[:, one, other], confusion[one, other]
        finite = np.isfinite(x)
        known = np.isfinite(y) & finite[finite.any(1)].all(0)
        at = np.full((count, count), -1)
        at[one[known], other[known]] = at[other[known], one[known]] = np.arange(known.sum())
        return cls(x[:, known], y[known], at)

    def rhos(
        self, tasks: Int[np.ndarray, "drawn"], moved: Int[np.ndarray, "task"] | None = None
    ) -> Float[np.ndarray, "table"]:
        """Spearman's correlations over the pairs of different tasks among those drawn.

        Args:
            tasks: which; one that is drawn twice counts twice.
            moved: the task whose confusion each task gets; None: its own.
        """
        one, other = np.triu_indices(len(tasks), 1)
        one, other = tasks[one], tasks[other]
        here = self.at[one, other]
        there = here if moved is None else self.at[moved[one], moved[other]]
        both = (here >= 0) & (there >= 0)
        if both.sum() < _FEWEST:
            return np.full(len(self.x), _NAN)
        x = _standard(rankdata(self.x[:, here[both]], axis=1))
        return np.asarray(x @ _standard(rankdata(self.y[there[both]])[None])[0])


def _standard(ranks: Float[np.ndarray, "table pair"]) -> Float[np.ndarray, "table pair"]:
    """Ranks of mean 0 and length 1; NaN where they do not vary."""
    off = ranks - ranks.mean(1, keepdims=True)
    length = np.sqrt(np.square(off).sum(1, keepdims=True))
    return np.asarray(np.where(length > 0, off / np.where(length > 0, length, 1), _NAN))


def _ends(draws: Float[np.ndarray, "draw"]) -> tuple[float, float]:
    known = draws[np.isfinite(draws)]
    if not len(known):
        return _NAN, _NAN
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
