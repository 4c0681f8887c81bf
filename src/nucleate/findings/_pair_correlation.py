"""Whether two tables over pairs of tasks go together, with tasks as the units of inference."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

Table = Float[np.ndarray, "task other"]
_NAN = float("nan")


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
    moved = [rng.permutation(count) for _ in range(n_permutations)]
    drawn = [rng.integers(0, count, count) for _ in range(n_bootstraps)]
    draws = {name: np.array([_rho(each, confusion, d) for d in drawn])
             for name, each in tables.items()}  # fmt: skip
    everything = np.arange(count)
    values = {name: _rho(each, confusion, everything) for name, each in tables.items()}
    found = {}
    for name, table in tables.items():
        rho = values[name]
        if np.isnan(rho):
            found[name] = Correlation(rho)
            continue
        null = np.array([_rho(table, confusion[np.ix_(m, m)], everything) for m in moved])
        beyond = draws[name] - draws[surface]
        found[name] = Correlation(
            rho,
            *_ends(draws[name]),
            float(np.nanquantile(null, 0.975)),
            float((1 + (np.abs(null) >= abs(rho) - 1e-12).sum()) / (1 + len(null))),
            rho - values[surface],
            *_ends(beyond),
        )
    return found


def _ends(draws: Float[np.ndarray, "draw"]) -> tuple[float, float]:
    known = draws[np.isfinite(draws)]
    if not len(known):
        return _NAN, _NAN
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _rho(table: Table, confusion: Table, tasks: Int[np.ndarray, "drawn"]) -> float:
    """Spearman's correlation over the pairs of different tasks among those drawn."""
    one, other = np.triu_indices(len(tasks), 1)
    one, other = tasks[one], tasks[other]
    apart = one != other
    x, y = table[one[apart], other[apart]], confusion[one[apart], other[apart]]
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 3:
        return _NAN
    x, y = rankdata(x[known]), rankdata(y[known])
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return _NAN
    return float(np.corrcoef(x, y)[0, 1])
