"""Does an early number forecast how runs end, better than their early loss?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput

FEWEST_RUNS = 12
"""With fewer runs a forecast is called undecided whatever its numbers."""
_LEVEL = 0.05
_RIDGE = 1e-9
ForecastVerdict = Literal["better", "worse", "adds", "undecided"]


@dataclass(frozen=True)
class Skill:
    """How well runs that were left out are forecast.

    Attributes:
        r2: 1 less the squared error over that of forecasting the others' mean; below 0: worse.
        low, high: 95 % bootstrap interval of it over groups of runs.
        null: what permuted outcomes reach in 95 % of cases.
        p: how often they reach as much.
        rank: Spearman correlation of forecast and outcome.
        rank_null: what it reaches with permuted outcomes in 95 % of cases.
    """

    r2: float
    low: float
    high: float
    null: float
    p: float
    rank: float
    rank_null: float

    @property
    def beyond_chance(self) -> bool:
        """Whether there is a forecast at all."""
        return self.p <= _LEVEL


@dataclass(frozen=True)
class Gain:
    """One forecast against another, on the same runs.

    Attributes:
        r2: difference of the two r2.
        low, high: its bootstrap interval, 95 % over all comparisons at once (Bonferroni).
    """

    r2: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """What early numbers say of how runs end.

    Attributes:
        runs, groups: how many, and how many groups are left out one at a time.
        baseline: name of the predictor that the others have to beat.
        skills: of each predictor alone, and of `baseline + name`.
        alone: name -> it alone less the baseline alone.
        added: name -> `baseline + name` less the baseline alone.
    """

    runs: int
    groups: int
    baseline: str
    skills: Mapping[str, Skill]
    alone: Mapping[str, Gain]
    added: Mapping[str, Gain]

    def verdict(self, name: str) -> ForecastVerdict:
        """Whether a predictor beats the baseline.

        `better` or `worse` than the baseline alone where the interval excludes 0; else `adds`
        where the two together beat it. `undecided` otherwise, with fewer than 12 runs or groups
        than 6, or where the better one is not beyond chance itself.
        """
        if self.runs < FEWEST_RUNS or self.groups < FEWEST_RUNS // 2:
            return "undecided"
        alone, added = self.alone[name], self.added[name]
        if alone.low > 0 and self.skills[name].beyond_chance:
            return "better"
        if alone.high < 0 and self.skills[self.baseline].beyond_chance:
            return "worse"
        both = self.skills[f"{self.baseline} + {name}"]
        return "adds" if added.low > 0 and both.beyond_chance else "undecided"


def forecast(
    predictors: Mapping[str, Float[np.ndarray, "run"]],
    outcome: Float[np.ndarray, "run"],
    *,
    baseline: str = "loss",
    groups: Shaped[np.ndarray, "run"] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Forecast:
    """Forecast how runs end from numbers of an early step, and compare the forecasts.

    Least squares on the standardized predictors, fitted to all groups of runs but one and applied
    to that one, group by group. Intervals: groups are drawn with replacement, copies of a group
    are left out together, and everything is fitted anew. Nulls: outcomes are permuted over runs.

    Args:
        predictors: name -> one value a run, the baseline among them. Give a number of wide range,
            such as class separation, as its logarithm.
        outcome: of each run, such as its final accuracy on unseen cells.
        baseline: name of the predictor that the others have to beat.
        groups: of each run, left out together, such as its setting or its seed; by default every
            run for itself.
        draws: bootstraps, and permutations; at least 199.
        seed: of the draws.

    Returns:
        The skills, and the gains over the baseline.

    Raises:
        BadInput: fewer than four runs or three groups, values that do not fit or are not finite,
            or runs that all end alike.

    Notes:
        Runs of one setting that differ in their seed are alike: left out one by one, they forecast
        each other. Leave out whole settings to ask about a setting that was not tried. What a
        forecast is good for depends on how runs were made to differ; it is no cause.
    """
    names, x, y, codes = _checked(predictors, outcome, baseline, groups, draws, seed)
    columns = {name: [k] for k, name in enumerate(names)}
    base = columns[baseline]
    others = [name for name in names if name != baseline]
    columns |= {f"{baseline} + {name}": base + columns[name] for name in others}
    rng = np.random.default_rng(seed)
    count = int(codes.max()) + 1
    drawn = rng.multinomial(count, [1 / count] * count, draws)
    drawn = drawn[(drawn > 0).sum(1) >= 3]
    weights = np.concatenate([np.ones((1, len(y))), drawn[:, codes]])
    shuffled = np.array([rng.permutation(y) for _ in range(draws)])
    skills, r2 = {}, {}
    for name, chosen in columns.items():
        r2[name] = _r2(x[:, chosen], y[None], weights, codes)
        null = _r2(x[:, chosen], shuffled, weights[:1], codes)
        ranks = _ranks(x[:, chosen], np.concatenate([y[None], shuffled]), codes)
        low, high = np.quantile(r2[name][1:], [0.025, 0.975])
        skills[name] = Skill(
            r2=float(r2[name][0]),
            low=float(low),
            high=float(high),
            null=float(np.quantile(null, 1 - _LEVEL)),
            p=float((1 + (null >= r2[name][0]).sum()) / (1 + len(null))),
            rank=float(ranks[0]),
            rank_null=float(np.quantile(ranks[1:], 1 - _LEVEL)),
        )
    tail = _LEVEL / 2 / max(1, 2 * len(others))
    return Forecast(
        len(y), count, baseline, skills,
        {name: _gain(r2[name] - r2[baseline], tail) for name in others},
        {name: _gain(r2[f"{baseline} + {name}"] - r2[baseline], tail) for name in others},
    )  # fmt: skip


def _gain(differences: Float[np.ndarray, "draw"], tail: float) -> Gain:
    low, high = np.quantile(differences[1:], [tail, 1 - tail])
    return Gain(float(differences[0]), float(low), float(high))


def _checked(
    predictors: Mapping[str, np.ndarray],
    outcome: np.ndarray,
    baseline: str,
    groups: np.ndarray | None,
    draws: int,
    seed: int,
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names, predictors [run name], outcomes, and the group of each run from 0."""
    check_whole("draws", draws, least=199)
    check_whole("seed", seed, least=0)
    names = list(predictors)
    if baseline not in names:
        raise BadInput(f"no predictor is named {baseline!r}; choose one of {', '.join(names)}")
    y = np.asarray(outcome, dtype=float)
    x = np.array([np.asarray(values, dtype=float) for values in predictors.values()]).T
    own = np.arange(len(y)) if groups is None else np.asarray(groups)
    if len(own) != len(y):
        raise BadInput(f"{len(own)} groups for {len(y)} runs; give one a run")
    codes = np.unique(own, return_inverse=True)[1]
    if len(y) < 4 or codes.max() < 2:
        raise BadInput(
            f"{len(y)} runs in {int(codes.max()) + 1} groups cannot be forecast from each other; "
            "give at least four runs and three groups"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise BadInput("a predictor or an outcome is not finite; leave that run out")
    if np.ptp(y) <= 1e-12:
        raise BadInput(f"all {len(y)} runs end at {y[0]:g}; there is nothing to forecast")
    scale = x.std(0)
    return names, (x - x.mean(0)) / np.where(scale > 0, scale, 1), y, codes


def _left_out(
    x: Float[np.ndarray, "run column"],
    y: Float[np.ndarray, "outcome run"],
    weights: Float[np.ndarray, "draw run"],
    codes: np.ndarray,
) -> Float[np.ndarray, "most run"]:
    """The forecast of every run by least squares on the runs of other groups.

    Outcomes and weights are broadcast against each other: one of them, or one a draw.
    """
    design = np.column_stack([np.ones(len(x)), x])
    belongs = np.eye(int(codes.max()) + 1)[codes]
    outer = design[:, :, None] * design[:, None]
    squares = np.einsum("dr,rg,rpq->dgpq", weights, belongs, outer)
    products = np.einsum("dr,rg,rp->dgp", weights * y, belongs, design)
    others = squares.sum(1, keepdims=True) - squares
    others += _RIDGE * len(x) * np.eye(design.shape[1])
    target = products.sum(1, keepdims=True) - products
    fitted = np.linalg.solve(np.broadcast_to(others, (len(target), *others.shape[1:])),
                             target[..., None])[..., 0]  # fmt: skip
    return np.asarray(np.einsum("drp,rp->dr", fitted[:, codes], design))


def _r2(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, codes: np.ndarray
) -> Float[np.ndarray, "draw"]:
    model, mean = (_left_out(each, y, weights, codes) for each in (x, x[:, :0]))
    error, most = (((y - found) ** 2 * weights).sum(1) for found in (model, mean))
    return np.asarray(1 - error / np.maximum(most, 1e-300))


def _ranks(x: np.ndarray, y: np.ndarray, codes: np.ndarray) -> Float[np.ndarray, "draw"]:
    """Spearman correlation of each set of outcomes with what is forecast of it."""
    from scipy.stats import rankdata

    found = _left_out(x, y, np.ones((1, y.shape[1])), codes)
    a, b = (rankdata(each, axis=1) - (y.shape[1] + 1) / 2 for each in (found, y))
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.asarray((a * b).sum(1) / np.where(scale > 0, scale, math.inf))
