"""Learning curves and noise with known answers."""

import numpy as np


def autoregressive(phi, count, rng, number=1):
    """Stationary noise of variance 1 `[series step]`."""
    shocks = rng.standard_normal((number, count))
    noise = shocks.copy()
    for at in range(1, count):
        noise[:, at] = phi * noise[:, at - 1] + np.sqrt(1 - phi**2) * shocks[:, at]
    return noise


def learning_curve(count, rng, noise=0.02, phi=0.5):
    """A logistic, exponential or power-law rise of random place and pace, and noise."""
    t = np.linspace(0, 1, count)
    pace = np.exp(rng.uniform(np.log(0.03), np.log(0.25)))
    rise = (
        lambda: 1 / (1 + np.exp(-(t - rng.uniform(0.1, 0.6)) / pace)),
        lambda: 1 - np.exp(-t / pace),
        lambda: 1 - (1 + t / 0.02) ** -rng.uniform(0.3, 1),
    )[rng.integers(3)]()
    return rise + noise * autoregressive(phi, count, rng)[0]


def ramp(count, begin, length):
    """0 until the index `begin`, then evenly up to 1 within `length` steps."""
    return np.clip((np.arange(count) - begin) / length, 0, 1)


def logistic(count, middle, width):
    """From 0 to 1 along steps 0 to 1, between 10 % and 90 % within `width` about `middle`."""
    scale = width / (2 * np.log(9))
    return 1 / (1 + np.exp(-(np.linspace(0, 1, count) - middle) / scale))


def resampled(truth, rng, persistent=0.5, strings=40, number=200, size=1.0):
    """The mean over strings `[step]` about a truth, and the same of resampled ones `[step draw]`.

    In units of the mean's standard error. A share `persistent` of a string's variance is its own
    in all steps.
    """
    own = rng.standard_normal((1, strings))
    at_step = rng.standard_normal((len(truth), strings))
    noise = np.sqrt(persistent) * own + np.sqrt(1 - persistent) * at_step
    of_string = truth[:, None] + size * np.sqrt(strings) * noise
    weights = rng.multinomial(strings, np.full(strings, 1 / strings), size=number) / strings
    return of_string.mean(1), of_string @ weights.T
