"""Between tasks: does a better separated task get solved better at the same step?"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

_NO_VARIANCE = 1e-4
"""A random effect of less variance than this share of the residual's is taken for none."""


@dataclass(frozen=True)
class Coefficient:
    """A standardized coefficient: standard deviations of the outcome for one of the predictor.

    Attributes:
        value: the coefficient.
        low, high: its 95 % interval, by Student's t.
        p: two-sided, by the same.
        model: what it was estimated with, in words.
        note: what the fit warned of and what was done about it; empty if nothing.
    """

    value: float
    low: float
    high: float
    p: float
    model: str
    note: str = ""


@dataclass(frozen=True)
class MixedFit:
    """How an outcome goes with a predictor between tasks, at one step.

    Attributes:
        adjusted: the coefficient at given covariates; that of `alone` if there are none.
        alone: without covariates.
        outcome, predictor, covariates: names of columns.
        tasks, seeds, rows: numbers of them, rows with a missing value left out.
        dropped: number of those.
    """

    adjusted: Coefficient
    alone: Coefficient
    outcome: str
    predictor: str
    covariates: tuple[str, ...]
    tasks: int
    seeds: int
    rows: int
    dropped: int


def between_tasks(
    table: "pd.DataFrame",
    outcome: str = "accuracy",
    predictor: str = "margin",
    covariates: Sequence[str] = (),
    task: str = "task",
    seed: str = "seed",
) -> MixedFit:
    """Regress the scores of tasks on their separation, with seeds as a random effect.

    All columns are standardized. Tasks that return in several seeds are a random effect as well:
    a task that is hard and poorly separated in all seeds is one observation, not one per seed (with
    the seed alone, 18 % of unrelated predictors are significant, `benchmarks/dynamics.py`).
    Student's t has tasks - predictors - 1 degrees of freedom. A random effect without variance is
    left out; where none is left, ordinary least squares with errors clustered by seed, and one
    seed gets an ordinary regression over tasks; `model` says which it was.

    Args:
        table: one row for each task and seed, all at one step.
        outcome: column of the accuracy (its log-odds where many tasks are near 0 or 1) or NLL.
        predictor: column of the margin or separation.
        covariates: columns to hold fixed: frequency, loss, length of the answer.
        task, seed: columns that name them. A task of the same name is the same task in all seeds.

    Returns:
        Coefficients with and without the covariates, side by side: where they disagree, the
        covariates tell. Neither says that separation makes a task solved: both may follow a third
        thing that is no column.

    Raises:
        BadInput: columns that are missing, not numbers, or without variation; too few tasks.
    """
    names = (outcome, predictor, *covariates)
    missing = [name for name in (*names, task, seed) if name not in table.columns]
    if missing:
        raise BadInput(
            f"the table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}"
        )
    numbers = np.stack([_numbers(table, name) for name in names], axis=1)
    kept = np.isfinite(numbers).all(1)
    numbers = numbers[kept]
    tasks, seeds = _codes(table[task].to_numpy()[kept]), _codes(table[seed].to_numpy()[kept])
    count = int(tasks.max(initial=-1)) + 1
    if count < len(names) + 3:
        raise BadInput(
            f"{count} tasks with values are too few for {len(names) - 1} predictors; "
            f"give at least {len(names) + 3}"
        )
    for name, column in zip(names, numbers.T, strict=True):
        if np.ptp(column) <= 1e-12 * max(float(abs(column).max()), 1e-300):
            raise BadInput(
                f"column {name!r} is {column[0]} in all {len(column)} rows; leave it out, or "
                "choose a step at which it differs"
            )
    scores = (numbers - numbers.mean(0)) / numbers.std(0)
    alone = _fit(scores[:, :2], tasks, seeds)
    return MixedFit(
        adjusted=_fit(scores, tasks, seeds) if covariates else alone,
        alone=alone,
        outcome=outcome,
        predictor=predictor,
        covariates=tuple(covariates),
        tasks=count,
        seeds=int(seeds.max()) + 1,
        rows=len(scores),
        dropped=int((~kept).sum()),
    )


def _fit(
    scores: Float[np.ndarray, "row column"],
    tasks: Int[np.ndarray, "row"],
    seeds: Int[np.ndarray, "row"],
) -> Coefficient:
    """The first column on the others; the coefficient of the second."""
    y, X = scores[:, 0], np.column_stack([np.ones(len(scores)), scores[:, 1:]])
    rank = np.linalg.matrix_rank(X)
    if rank < X.shape[1]:
        raise BadInput(
            "the predictor and the covariates determine one another; leave one of them out"
        )
    freedom = int(tasks.max()) + 1 - X.shape[1]
    if not seeds.any():
        note = "one seed: it says nothing of others"
        return _ordinary(y, X, None, freedom, "ordinary regression over tasks", [note])
    effects = {"seed": seeds}
    if int(tasks.max()) + 1 < len(tasks):
        effects["task"] = tasks
    notes: list[str] = []
    while effects:
        fit = _mixed(y, X, effects)
        if fit.converged and min(fit.variances.values()) >= _NO_VARIANCE:
            model = f"mixed model, random effects: {', '.join(effects)}"
            return _coefficient(fit.value, fit.error, freedom, model, [*notes, *fit.warned])
        least = min(fit.variances, key=lambda name: fit.variances[name])
        found = "next to no variance" if fit.converged else "did not converge with one"
        notes.append(f"the random effect of {least} was left out: {found}")
        del effects[least]
    freedom = min(freedom, int(seeds.max()))
    return _ordinary(
        y, X, seeds, freedom, "ordinary least squares, errors clustered by seed", notes
    )


@dataclass(frozen=True)
class _Mixed:
    """Coefficient, its error, variance of each effect over the residual's, and warnings."""

    value: float
    error: float
    variances: dict[str, float]
    converged: bool
    warned: list[str]


def _mixed(y: np.ndarray, X: np.ndarray, effects: dict[str, np.ndarray]) -> _Mixed:
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    if len(effects) == 1:
        model = MixedLM(y, X, groups=next(iter(effects.values())))
    else:
        members = [[np.eye(int(codes.max()) + 1)[codes]] for codes in effects.values()]
        columns = [[[str(k) for k in range(one[0].shape[1])]] for one in members]
        spec = VCSpec(list(effects), columns, members)
        model = MixedLM(y, X, groups=np.zeros(len(y)), exog_vc=spec)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = model.fit(reml=True)
        except np.linalg.LinAlgError as failure:
            return _Mixed(np.nan, np.nan, dict.fromkeys(effects, 0.0), False, [str(failure)])
    sizes = fit.cov_re if len(effects) == 1 else fit.vcomp
    variances = dict(zip(effects, np.ravel(sizes) / float(fit.scale), strict=True))
    warned = list(dict.fromkeys(" ".join(str(w.message).split()) for w in caught))
    value, square = float(fit.fe_params[1]), float(np.asarray(fit.cov_params())[1, 1])
    error = float(np.sqrt(max(square, 0.0)))
    return _Mixed(value, error, variances, bool(fit.converged and error > 0), warned)


def _ordinary(
    y: np.ndarray,
    X: np.ndarray,
    clusters: np.ndarray | None,
    freedom: int,
    model: str,
    notes: list[str],
) -> Coefficient:
    from statsmodels.regression.linear_model import OLS

    if clusters is None:
        fit = OLS(y, X).fit()
    else:
        fit = OLS(y, X).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    return _coefficient(float(fit.params[1]), float(fit.bse[1]), freedom, model, notes)


def _coefficient(
    value: float, error: float, freedom: int, model: str, notes: list[str]
) -> Coefficient:
    from scipy.stats import t

    reach = float(t.ppf(0.975, freedom)) * error
    p = float(2 * t.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0)
    return Coefficient(value, value - reach, value + reach, p, model, "; ".join(notes))


def _numbers(table: "pd.DataFrame", name: str) -> Float[np.ndarray, "row"]:
    try:
        return np.asarray(table[name].to_numpy(), float)
    except (TypeError, ValueError):
        raise BadInput(
            f"column {name!r} holds values that are no numbers, such as "
            f"{table[name].iloc[0]!r}; give numbers"
        ) from None


def _codes(names: np.ndarray) -> Int[np.ndarray, "row"]:
    return np.asarray(np.unique(names.astype(str), return_inverse=True)[1])
