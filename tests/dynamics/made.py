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
