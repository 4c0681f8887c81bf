"""Several statistics at one level: the smallest of their p values, against its own null."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata


@dataclass(frozen=True, eq=False)
class Joint:
    """Draws under "nothing has changed", of several statistics together.

    The smallest p value over the statistics is compared with the same of every draw (Westfall and
    Young 1993), which keeps the level whatever their dependence.

    Attributes:
        draws: of each statistic; larger speaks for a change.
        weights: how many parts of the level each statistic has; one each if None.
    """

    draws: Float[np.ndarray, "draw statistic"]
    weights: Float[np.ndarray, "statistic"] | None = None

    def p_values(self, observed: Float[np.ndarray, "statistic"]) -> Float[np.ndarray, "statistic"]:
        """p of each statistic over all of them together: (1 + #) / (1 + draws).

        The observed values count among the draws, so that p is never 0 and, where observed and
        drawn values are exchangeable, p <= a in at most a share a of cases.
        """
        count = len(self.draws) + 1
        observed = np.asarray(observed)
        weights = np.ones(self.draws.shape[1]) if self.weights is None else self.weights
        own = (1 + (self.draws >= observed).sum(0)) / count / weights
        # Of each draw, how many draws and the observed value are at least as large.
        smallest = ((self._at_least + (observed >= self.draws)) / count / weights).min(1)
        smallest = np.append(smallest, own.min())
        return np.asarray((smallest[:, None] <= own + 1e-12).mean(0))

    def critical(self, rate: float) -> Float[np.ndarray, "statistic"]:
        """What some statistic reaches in at most a share `rate` of draws.

        Values from there up count. Infinite where there are too few draws to say.
        """
        weights = np.ones(self.draws.shape[1]) if self.weights is None else self.weights
        single = self._at_least / len(self.draws) / weights
        smallest = np.sort(single.min(1))
        reached = (1 + np.searchsorted(smallest, smallest, side="right")) / (1 + len(smallest))
        allowed = smallest[reached <= rate]
        if not len(allowed):
            return np.full(self.draws.shape[1], np.inf)
        return np.asarray(np.where(single <= allowed[-1], self.draws, np.inf).min(0))

    @cached_property
    def _at_least(self) -> Int[np.ndarray, "draw statistic"]:
        """Of each draw, how many draws are at least as large, itself included."""
        return np.asarray(rankdata(-self.draws, method="max", axis=0)).astype(np.int64)
