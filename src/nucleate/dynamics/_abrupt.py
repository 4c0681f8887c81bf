"""Is a change abrupt: how long it takes, and which curve describes it best."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

from nucleate._core.errors import BadInput
from nucleate.dynamics._series import as_numbers, checked

PHASE_MARGIN = 10.0
"""By how much BIC the logistic curve must beat every other one."""
PHASE_WIDTH = 0.15
"""Share of the training that a phase-like change takes at most."""
_FEWEST_STEPS = 8
_EXACT = 1e-6
"""Residuals below this share of the values' range are rounding, and win nothing."""
_GRID = np.linspace(0, 1, 2001)

Model = Literal["constant", "linear", "power", "logistic"]


@dataclass(frozen=True)
class AxisFit:
    """Curves fitted to values along one step axis.

    Attributes:
        bic: of each curve; lower is better, and only differences mean anything. 0 for all where
            the values do not vary.
        best: the curve of lowest BIC.
        margin: the lowest BIC among the other curves less that of the logistic one: above 0 where
            the logistic curve wins, and by how much.
        width: share of this axis in which the best curve goes from 10 % to 90 % of its change, at
            least the longest gap between recorded steps that this falls into; None where the best
            curve is constant or does not pass both.
    """

    bic: dict[Model, float]
    best: Model
    margin: float
    width: float | None


@dataclass(frozen=True)
class Abruptness:
    """How abruptly a value changes along a training.

    Attributes:
        linear, log: fits along the steps and along log(1 + steps since the first).
    """

    linear: AxisFit
    log: AxisFit

    @property
    def width(self) -> float | None:
        """10-90 % width over the training's length; None where no complete change was found."""
        return self.linear.width

    @property
    def phase_like(self) -> bool:
        """Whether on both axes the logistic curve wins by over 10 and the width is below .15."""
        return all(
            fit.margin > PHASE_MARGIN and fit.width is not None and fit.width < PHASE_WIDTH
            for fit in (self.linear, self.log)
        )


def abruptness(
    steps: Shaped[np.ndarray, "step"],
    values: Shaped[np.ndarray, "step"],
    bounds: tuple[float, float] | None = None,
) -> Abruptness:
    """Measure how abrupt a change is, and whether a smooth curve describes it as well.

    A logistic curve is compared with a constant, a straight line and a shifted power
    a + b (u + c)^d, by least squares from a grid of starts, and compared by BIC with Gaussian
    errors of equal size. Twice: what is early is short on a linear axis, what is late on a
    logarithmic one.

    Args:
        steps: in rising order, at least 8.
        values: at each step. Use the class separation (CDNV^-1) or the loss (NLL) of a linear
            prompt set. **Never ARI**: it is a threshold device, and an even rise of the separation
            looks abrupt in it. Accuracy is one too.
        bounds: value before and after the change, if known: the logistic curve then runs between
            them, and 10 % and 90 % are counted from them. Otherwise from the ends of the fitted
            curve, so that a change cut short by the end of the training looks complete.

    Returns:
        Widths and fits. No width is resolved below the gaps between recorded steps. BIC takes
        residuals for independent; those of a training are not, so its margins are too large
        rather than too small, and the threshold of 10 is not a p value.

    Raises:
        BadInput: fewer than 8 steps, steps that do not rise, or values that are not finite.
    """
    x, y = checked(steps, values, least=_FEWEST_STEPS, purpose="telling curves apart")
    if bounds is not None and np.shape(as_numbers(bounds, "bounds")) != (2,):
        raise BadInput(f"bounds are {bounds!r}; give the least and the largest possible value")
    x = x - x[0]
    linear, log = x / x[-1], np.log1p(x) / np.log1p(x[-1])
    return Abruptness(_fit_axis(linear, y, bounds), _fit_axis(log, y, bounds))


@dataclass(frozen=True)
class _Fit:
    bic: float
    curve: Callable[[np.ndarray], np.ndarray]


def _fit_axis(u: np.ndarray, y: np.ndarray, bounds: tuple[float, float] | None) -> AxisFit:
    spread = float(np.ptp(y))
    if spread <= _EXACT * max(abs(y).max(), 1e-300):
        return AxisFit(dict.fromkeys(_MODELS, 0.0), "constant", 0.0, None)
    # The optimizer stops where gradients are far below 1: values of 1e-6 would not be fitted.
    if bounds is not None:
        bounds = ((bounds[0] - y.min()) / spread, (bounds[1] - y.min()) / spread)
    y = (y - y.min()) / spread
    fits: dict[Model, _Fit] = {
        "constant": _scored(u, y, lambda at: np.full(len(at), y.mean()), 1),
        "linear": _scored(u, y, np.poly1d(np.polyfit(u, y, 1)), 2),
        "power": _shaped(u, y, _power, _POWER_STARTS, _POWER_RANGE, None),
        "logistic": _shaped(u, y, _sigmoid, _LOGISTIC_STARTS, _LOGISTIC_RANGE, bounds),
    }
    bic = {name: fit.bic for name, fit in fits.items()}
    best = min(bic, key=lambda name: bic[name])
    margin = min(value for name, value in bic.items() if name != "logistic") - bic["logistic"]
    return AxisFit(bic, best, margin, _width(u, fits[best].curve, bounds))


_MODELS: tuple[Model, ...] = ("constant", "linear", "power", "logistic")
_LOGISTIC_STARTS = np.array(
    [(m, s) for m in np.linspace(0, 1, 21) for s in np.geomspace(0.003, 0.3, 8)]
)
_LOGISTIC_RANGE = ([-0.5, 1e-3], [1.5, 1.0])
_POWER_STARTS = np.array(
    [(c, d) for c in (0.01, 0.1, 1.0) for d in (-4, -2, -1, -0.5, 0.3, 0.6, 1.5, 3, 6)]
)
_POWER_RANGE = ([1e-3, -12.0], [10.0, 12.0])


def _sigmoid(u: np.ndarray, middle: float, scale: float) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * np.tanh((u - middle) / (2 * scale)))


def _power(u: np.ndarray, shift: float, exponent: float) -> np.ndarray:
    """Scaled to run between 0 and 1 at most, so that no exponent overflows."""
    return np.asarray(((u + shift) / (1 + shift if exponent > 0 else shift)) ** exponent)


def _shaped(
    u: np.ndarray,
    y: np.ndarray,
    shape: Callable[..., np.ndarray],
    starts: Float[np.ndarray, "start 2"],
    within: tuple[list[float], list[float]],
    ends: tuple[float, float] | None,
) -> _Fit:
    """Best a + b shape(u), with a and b solved for (or given by the ends) at every shape."""
    from scipy.optimize import least_squares

    def level(parameters: np.ndarray) -> tuple[float, float]:
        if ends is not None:
            return ends[0], ends[1] - ends[0]
        form = shape(u, *parameters)
        centered = form - form.mean()
        power = float(centered @ centered)
        b = float(centered @ y) / power if power > 1e-12 else 0.0
        return float(y.mean() - b * form.mean()), b

    def residuals(parameters: np.ndarray) -> np.ndarray:
        a, b = level(parameters)
        return np.asarray(a + b * shape(u, *parameters) - y)

    errors = [float(np.square(residuals(start)).sum()) for start in starts]
    best = None
    for start in np.argsort(errors)[:3]:
        found = least_squares(residuals, starts[start], bounds=within, x_scale=(0.1, 0.1))
        best = found if best is None or found.cost < best.cost else best
    assert best is not None
    a, b = level(best.x)
    return _scored(u, y, lambda at: a + b * shape(at, *best.x), 2 if ends is not None else 4)


def _scored(
    u: np.ndarray, y: np.ndarray, curve: Callable[[np.ndarray], np.ndarray], parameters: int
) -> _Fit:
    count = len(y)
    variance = max(float(np.square(y - curve(u)).mean()), _EXACT**2)
    bic = count * np.log(variance) + (parameters + 1) * np.log(count)
    return _Fit(float(bic), curve)


def _width(
    u: Float[np.ndarray, "step"],
    curve: Callable[[np.ndarray], np.ndarray],
    bounds: tuple[float, float] | None,
) -> float | None:
    """Share of the axis between 10 % and 90 % of a curve that only rises or only falls."""
    line = curve(_GRID)
    low, high = bounds or (float(line[0]), float(line[-1]))
    if low == high:
        return None
    done = (line - low) / (high - low)
    if done[0] > 0.1 or done[-1] < 0.9:
        return None
    begin, end = np.interp([0.1, 0.9], done, _GRID)
    first = max(0, int(np.searchsorted(u, begin, side="right")) - 1)
    last = min(len(u) - 1, int(np.searchsorted(u, end, side="left")))
    return float(max(end - begin, np.diff(u[first : last + 1]).max(initial=0.0)))
