"""Evidence of drift that may be looked at any time, without a horizon simulated beforehand."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betaln, logsumexp, xlogy

_PRIOR = 0.5


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence after the last look.

    Attributes:
        value: of all events together; alarm from 1 / rate.
        events: of each event alone.
        start: the look, from 0, after which the evidence is strongest.
    """

    value: float
    events: Float[np.ndarray, "event"]
    start: int


def evidence(
    reference: Int[np.ndarray, "event"],
    reference_rows: int,
    looks: Int[np.ndarray, "look event"],
    size: int,
    weights: Float[np.ndarray, "event"],
) -> Evidence:
    """How strongly shares of events speak against one share of reference and requests alike.

    Of one event: the likelihood of its counts if reference and requests have a share each, of which
    nothing is known (Jeffreys' prior), over the highest likelihood that any common share gives.
    For each common share that is a martingale of mean 1 at most, whatever the reference happened to
    be, so that it passes 1 / rate at any look in at most a share `rate` of cases (Ville). Means of
    such numbers are such numbers: over events, and over the looks at which requests may have begun
    to differ, the s-th with weight 1 / (s (s + 1)).

    Args:
        reference: how many of the reference's rows have each event.
        reference_rows: how many there are.
        looks: how many requests of each look have it.
        size: requests a look.
        weights: of the events, with the sum 1.
    """
    done = len(looks)
    since = np.cumsum(looks[::-1], 0)[::-1].astype(np.float64)
    n = size * np.arange(done, 0, -1, dtype=np.float64)[:, None]
    logs = log_e(reference[None].astype(np.float64), float(reference_rows), since, n)
    start = np.arange(1, done + 1)
    share = -np.log(start * (start + 1))[:, None]
    # A start that is still to come has e-value 1; their weights add up to 1 / (done + 1).
    ahead = np.full((1, len(reference)), -np.log(done + 1))
    events = logsumexp(np.concatenate([logs + share, ahead]), axis=0)
    by_start = logsumexp(logs + share, axis=1, b=weights[None])
    return Evidence(
        value=float(np.exp(min(logsumexp(events, b=weights), 700))),
        events=np.exp(np.minimum(events, 700)),
        start=int(by_start.argmax()),
    )


def log_e(
    count: Float[np.ndarray, "*#set"],
    rows: float,
    other: Float[np.ndarray, "*#set"],
    other_rows: Float[np.ndarray, "*#set"],
) -> Float[np.ndarray, "*#set"]:
    """Logarithm of the e-value of one event: a share each against one for both."""
    apart = _log_evidence(count, rows) + _log_evidence(other, other_rows)
    both, all_rows = count + other, rows + other_rows
    common = xlogy(both, both / all_rows) + xlogy(all_rows - both, 1 - both / all_rows)
    return np.asarray(apart - common)


def _log_evidence(count: np.ndarray, rows: np.ndarray | float) -> np.ndarray:
    return np.asarray(betaln(count + _PRIOR, rows - count + _PRIOR) - betaln(_PRIOR, _PRIOR))
