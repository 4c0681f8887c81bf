"""Whether two series move together beyond both of them being learning curves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.dynamics._series import checked

_FEWEST_STEPS = 20
_NEAR = 5
"""Steps over which the size of a residual is taken."""
_ROUNDING = 1e-8


@dataclass(frozen=True)
class Association:
    """How two series move together about their trends.

    Attributes:
        r: correlation of what is left of both without their trends, -1 to 1; None where nothing
            is left of one of them.
        p: share of surrogates of the second series, of the same autocorrelation, with as large a
            correlation, (1 + r) / (1 + B); 1 where r is None.
        raw: plain correlation of the values. About .9 for unrelated learning curves.
        steps: number of them.
    """

    r: float | None
    p: float
    raw: float
    steps: int


def association(
    steps: Shaped[np.ndarray, "step"],
    first: Shaped[np.ndarray, "step"],
    second: Shaped[np.ndarray, "step"],
    n_surrogates: int = 999,
    seed: int = 0,
) -> Association:
    """Correlate two series at the same steps, their trends taken out.

    From each a smoothing spline (its smoothness by cross-validation) is subtracted; the rest is
    divided by its root mean square over 5 steps, so that the few steps of fast change do not
    decide alone. The p value is from surrogates with the same spectrum and random phases (Theiler
    et al. 1992). Differences, or residuals of a polynomial, are not enough: the shape that they
    leave of a learning curve makes unrelated ones correlate (`benchmarks/dynamics.py`).

    Args:
        steps: in rising order, at least 20; the trend takes them as evenly spaced.
        first, second: values at each step.
        n_surrogates: number of them, at least 99.
        seed: decides them.

    Returns:
        The correlation and its p. An association is no cause, not of either by the other: both
        may follow the batch, the learning rate, or the rows that are read (which are the same for
        two metrics of one prompt set). Without an association the trends may still be related: this
        says nothing of them. One run is one seed.

    Raises:
        BadInput: fewer than 20 steps, fewer than 99 surrogates, steps that do not rise, or values
            that are not finite.
    """
    _, a, b = checked(steps, first, second, least=_FEWEST_STEPS, purpose="an association")
    check_whole("n_surrogates", n_surrogates)
    check_whole("seed", seed, least=0)
    if n_surrogates < 99:
        raise BadInput(f"{n_surrogates} surrogates are too few for a p value; ask for at least 99")
    raw = _correlate(a, b[None])[0] if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
    left, right = _fluctuations(a), _fluctuations(b)
    if left is None or right is None:
        return Association(None, 1.0, float(raw), len(a))
    r = float(_correlate(left, right[None])[0])
    null = abs(_correlate(left, _same_spectrum(right, n_surrogates, seed)))
    p = (1 + int((null >= abs(r) - 1e-12).sum())) / (1 + n_surrogates)
    return Association(r, p, float(raw), len(a))


def _fluctuations(y: np.ndarray) -> Float[np.ndarray, "step"] | None:
    """What is left without the trend, of even size; None if that is rounding."""
    from scipy.interpolate import make_smoothing_spline

    size = float(np.ptp(y))
    if size <= _ROUNDING * max(float(abs(y).max()), 1e-300):
        return None
    index = np.arange(len(y), dtype=float)
    scaled = (y - y.mean()) / size
    rest = scaled - make_smoothing_spline(index, scaled)(index)
    if float(np.sqrt(np.square(rest).mean())) <= _ROUNDING:
        return None
    window = np.ones(_NEAR)
    power = np.convolve(np.square(rest), window, "same") / np.convolve(y * 0 + 1, window, "same")
    even = rest / np.sqrt(power + _ROUNDING**2)
    return np.asarray(even - even.mean())


def _same_spectrum(y: np.ndarray, number: int, seed: int) -> Float[np.ndarray, "surrogate step"]:
    """Series with the amplitudes of y and random phases."""
    rng = np.random.default_rng(seed)
    size = abs(np.fft.rfft(y))
    turned = size * np.exp(1j * rng.uniform(0, 2 * np.pi, (number, len(size))))
    turned[:, 0] = 0
    if len(y) % 2 == 0:
        turned[:, -1] = size[-1] * rng.choice([-1, 1], number)
    return np.asarray(np.fft.irfft(turned, len(y)))


def _correlate(a: np.ndarray, b: Float[np.ndarray, "series step"]) -> Float[np.ndarray, "series"]:
    a, b = a - a.mean(), b - b.mean(1, keepdims=True)
    return np.asarray(b @ a / np.sqrt((a @ a) * np.square(b).sum(1) + 1e-300))
