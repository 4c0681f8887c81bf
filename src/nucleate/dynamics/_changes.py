"""Where a series changes its level, compared with noise and with a smooth ramp."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.dynamics._series import checked

_FEWEST_STEPS = 30
_SHORTEST = 2
"""Steps between two change points at least."""
_MOST_PERSISTENT = 0.98
_DOUBT = 1.5
"""Standard errors by which surrogates' persistence varies; 1 lets through 7-14 % at phi = .9."""
_DISAGREEMENT = 4.0
"""Over sqrt(n): two estimates of persistence differ by more in under 1.5 % of noise, phi <= .95."""


@dataclass(frozen=True)
class ChangePoints:
    """Steps at which the level of a series changes, and how many a smooth ramp shows.

    Attributes:
        points: the first recorded step of each new level, in rising order.
        penalty: what a point had to gain, as a share of the sum of squares about the mean: at most
            5 % of the surrogates show any point at it.
        persistence: lag-1 autocorrelation of the noise that the surrogates are made of.
        ramp_points: median number of points, at the same penalty, of straight ramps with the
            series' rise and noise.
        ramp_low, ramp_high: 2.5 % and 97.5 % point of that number.
    """

    points: tuple[int, ...]
    penalty: float
    persistence: float
    ramp_points: float
    ramp_low: int
    ramp_high: int


def change_points(
    steps: Shaped[np.ndarray, "step"],
    values: Shaped[np.ndarray, "step"],
    n_surrogates: int = 200,
    seed: int = 0,
) -> ChangePoints:
    """Find where the level changes by PELT, at a penalty that noise does not pass.

    PELT (Killick, Fearnhead and Eckley 2012) finds the partition of least squares about the
    parts' means plus a penalty per part. The penalty is set by surrogates without a change:
    first-order autoregressions with the persistence of the series' noise, uncertainty about it
    included.

    Args:
        steps: in rising order, at least 30.
        values: at each step.
        n_surrogates: of each kind, noise and ramps; at least 40.
        seed: decides them.

    Returns:
        The points. A smooth ramp has change points too, since its level changes everywhere:
        `ramp_points` says how many, so that points alone show no abrupt change (`abruptness`
        does). Persistent noise wanders, and is hard to tell from changes: points in it are found
        only where they are large. Steps count as evenly spaced, whatever lies between them.

    Raises:
        BadInput: fewer than 30 steps, fewer than 40 surrogates, steps that do not rise, or values
            that are not finite.
    """
    x, y = checked(steps, values, least=_FEWEST_STEPS, purpose="finding change points")
    check_whole("n_surrogates", n_surrogates)
    check_whole("seed", seed, least=0)
    if n_surrogates < 40:
        raise BadInput(
            f"{n_surrogates} surrogates are too few for a 5 % point; ask for at least 40"
        )
    if np.ptp(y) <= 1e-12 * max(float(abs(y).max()), 1e-300):
        return ChangePoints((), 1.0, 0.0, 0.0, 0, 0)
    rng = np.random.default_rng(seed)
    phi, doubt = _persistence(y)
    phis = np.clip(phi + doubt * rng.standard_normal(n_surrogates), 0, _MOST_PERSISTENT)
    noise = _autoregressive(phis, len(y), rng)
    shares = [_least_penalty(one) / _squares(one) for one in noise]
    penalty = float(np.quantile(shares, 0.95, method="higher"))
    found = _points(y, penalty * _squares(y))
    counts = [len(_points(one, penalty * _squares(y))) for one in _ramps(y, n_surrogates, rng)]
    low, middle, high = np.percentile(counts, [2.5, 50, 97.5], method="nearest")
    return ChangePoints(
        tuple(int(x[at]) for at in found), penalty, phi, float(middle), int(low), int(high)
    )


def _persistence(y: np.ndarray) -> tuple[float, float]:
    """Lag-1 autocorrelation of the noise, and the spread to allow for it.

    Of the series less a straight line: precise (least squares makes it small by about
    (2 + 4 phi) / n), but a few changes of level look like persistence too. Of the differences:
    coarse, but changes hardly touch it. So the second counts only where the two are further apart
    than noise alone would have them.
    """
    count = len(y)
    index = np.arange(count)
    rest = y - np.polyval(np.polyfit(index, y, 1), index)
    power = float(rest[:-1] @ rest[:-1])
    of_line = float(rest[1:] @ rest[:-1]) / power if power > 0 else 0.0
    of_line = _possible(of_line + (2 + 4 * max(of_line, 0.0)) / count)
    of_moves = _persistence_of_moves(_moves(y))
    if of_line - of_moves > _DISAGREEMENT / np.sqrt(count):
        return of_moves, 2 / np.sqrt(count)
    return of_line, float(_DOUBT * np.sqrt((1 - of_line**2) / count + 4 / count**2))


def _moves(y: np.ndarray) -> Float[np.ndarray, "move"]:
    """Differences, which a rise or a few changes hardly touch: the largest are cut."""
    moves = np.diff(y)
    moves = moves - np.median(moves)
    most = 3 * 1.4826 * float(np.median(abs(moves)))
    return np.asarray(np.clip(moves, -most, most))


def _persistence_of_moves(moves: np.ndarray) -> float:
    """A first-order autoregression's, since its differences correlate by -(1 - phi) / 2."""
    power = float(moves @ moves)
    return _possible(1 + 2 * float(moves[1:] @ moves[:-1]) / power) if power > 0 else 0.0


def _possible(phi: float) -> float:
    return float(np.clip(phi, 0, _MOST_PERSISTENT))


def _autoregressive(
    phi: Float[np.ndarray, "surrogate"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "surrogate step"]:
    """Stationary noise of variance 1."""
    shocks = rng.standard_normal((len(phi), count))
    noise = shocks.copy()
    for at in range(1, count):
        noise[:, at] = phi * noise[:, at - 1] + np.sqrt(1 - phi**2) * shocks[:, at]
    return noise


def _ramps(y: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Straight rises from the series' first to its last tenth, with its noise."""
    tenth = max(2, len(y) // 10)
    line = np.linspace(y[:tenth].mean(), y[-tenth:].mean(), len(y))
    moves = _moves(y)
    phi = _persistence_of_moves(moves)
    size = np.sqrt(np.square(moves).mean() / (2 * (1 - phi)))
    return np.asarray(line + size * _autoregressive(np.full(number, phi), len(y), rng))


def _squares(y: np.ndarray) -> float:
    return float(np.square(y - y.mean()).sum())


def _points(y: np.ndarray, penalty: float) -> list[int]:
    return [int(at) for at in _detector(y).predict(pen=penalty)[:-1]]


def _detector(y: np.ndarray) -> Any:
    """PELT on squared error: ruptures' linear kernel, which is compiled, is just that."""
    from ruptures import KernelCPD

    return KernelCPD(kernel="linear", min_size=_SHORTEST).fit(np.ascontiguousarray(y - y.mean()))


def _least_penalty(y: np.ndarray) -> float:
    """The smallest penalty at which a series shows no change point.

    The largest gain per point over all partitions. Starts at the best single point and asks PELT
    for a partition with a larger gain, until there is none.
    """
    y = y - y.mean()
    count = len(y)
    sums, split = np.concatenate([[0.0], np.cumsum(y)]), np.arange(_SHORTEST, count - _SHORTEST + 1)
    penalty = float((sums[split] ** 2 / split + sums[split] ** 2 / (count - split)).max())
    detector = _detector(y)
    for _ in range(count):
        ends = detector.predict(pen=penalty * (1 + 1e-9) + 1e-300)
        if len(ends) == 1:
            return penalty
        edges = np.array([0, *ends])
        gain = float((np.diff(sums[edges]) ** 2 / np.diff(edges)).sum()) / (len(ends) - 1)
        if gain <= penalty * (1 + 1e-7):
            return penalty
        penalty = gain
    return penalty
