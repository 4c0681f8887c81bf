"""Which detector is worth its price: states, the words alone, or both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

DRAWS = 1000
NOTHING = 0.01
"""A gain that is surely below this is called nothing."""
_FEWEST = 30
"""Rows inside and outside below which nothing is decided."""


@dataclass(frozen=True)
class Trial:
    """Rows scored by every detector, some of which belong to no cluster that it knows.

    Attributes:
        scores: of each detector, higher is more unusual.
        outside: which rows belong to no known cluster.
    """

    scores: Mapping[str, Float[np.ndarray, "row"]]
    outside: Bool[np.ndarray, "row"]


def auroc_draws(
    trials: list[Trial], weights: Float[np.ndarray, "draw row"]
) -> dict[str, Float[np.ndarray, "draw"]]:
    """Area under the ROC curve of each detector, a mean over trials, for each weighting of rows.

    Args:
        trials: over the same rows.
        weights: how often each row is drawn.
    """
    found: dict[str, np.ndarray] = {}
    for name in trials[0].scores:
        areas = []
        for trial in trials:
            inside, outside = trial.scores[name][~trial.outside], trial.scores[name][trial.outside]
            wins = (outside[:, None] > inside) + 0.5 * (outside[:, None] == inside)
            w_in, w_out = weights[:, ~trial.outside], weights[:, trial.outside]
            pairs = np.maximum(w_in.sum(1) * w_out.sum(1), 1e-12)
            areas.append(np.einsum("do,oi,di->d", w_out, wins, w_in, optimize=True) / pairs)
        found[name] = np.mean(areas, axis=0)
    return found


def judge_detectors(
    trials: list[Trial],
    right: Mapping[str, Bool[np.ndarray, "row"]],
    *,
    seed: int,
    unseen: bool = True,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Compare detectors, and say which one to use.

    Args:
        trials: over the same rows, with the detectors `states`, `surface`, `both` and perhaps more.
        right: for `states` and `surface`, which rows of known clusters they put into their own
            cluster.
        seed: of the bootstrap over rows.
        unseen: whether the rows outside are new to the model. States tell clusters that it has
            learnt from each other better than it will tell new ones, so that those are no reason to
            leave the words out.
        draws: of the bootstrap.

    Returns:
        `auroc`: of each detector with its 95 % interval; `gain`: paired differences, likewise;
        `inside`, `outside`: rows; `in_use`, `state` (`states add`, `states add nothing`,
        `surface takes away`, `undecided`, `too few`) and `why`, a sentence.
    """
    rows = len(trials[0].outside)
    rng = np.random.default_rng(seed)
    weights = np.concatenate(
        [np.ones((1, rows)), rng.multinomial(rows, np.full(rows, 1 / rows), draws)]
    )
    areas = auroc_draws(trials, weights)
    gain = {
        f"{one} - {other}": _interval(areas[one] - areas[other])
        for one, other in (("both", "surface"), ("both", "states"), ("states", "surface"))
    }
    known = weights[:, : len(right["states"])]
    differ = right["states"].astype(float) - right["surface"]
    gain["cluster accuracy, states - surface"] = _interval(
        known @ differ / np.maximum(known.sum(1), 1)
    )
    outside = int(sum(trial.outside.sum() for trial in trials))
    inside = rows - outside if len(trials) == 1 else rows
    in_use, state, why = _decided(gain, min(inside, outside) >= _FEWEST, unseen)
    return {
        "auroc": {name: _interval(values) for name, values in areas.items()},
        "gain": gain,
        "accuracy": {name: float(values.mean()) for name, values in right.items()},
        "inside": inside,
        "outside": outside,
        "in_use": in_use,
        "state": state,
        "why": why,
    }


def _decided(gain: Mapping[str, list[float]], enough: bool, unseen: bool) -> tuple[str, str, str]:
    """What to use, the state that the comparison is in, and why."""
    over_surface, over_states = gain["both - surface"], gain["both - states"]
    accuracy = gain["cluster accuracy, states - surface"]
    told = f"both less surface {_told(over_surface)}"
    if not enough:
        return "both", "too few", f"fewer than {_FEWEST} rows inside or outside: both are used"
    if over_states[2] < 0 and unseen:
        loss = f"both less states {_told(over_states)}"
        why = f"the words make it worse: {loss}; states alone are used"
        return "states", "surface takes away", why
    if over_surface[1] > 0 or accuracy[1] > NOTHING:
        found = f"cluster accuracy, states less surface {_told(accuracy)}"
        return "both", "states add", f"states add to the words: {told}; {found}"
    if over_surface[2] < 0:
        why = f"states make it worse: {told}; the words alone are used, which need no model"
        return "surface", "states take away", why
    if over_surface[2] < NOTHING and accuracy[2] < NOTHING:
        why = f"states add nothing to the words, at most {NOTHING:g}: {told}; the words alone are "
        return "surface", "states add nothing", why + "used, which need no model"
    why = f"whether states add to the words is undecided: {told}; both are used"
    return "both", "undecided", why


def _told(value: list[float]) -> str:
    return f"{value[0]:+.3f} [{value[1]:+.3f}, {value[2]:+.3f}]"


def _interval(draws: Float[np.ndarray, "draw"]) -> list[float]:
    """The value itself, which comes first, and its 95 % percentile interval."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return [float(draws[0]), float(low), float(high)]
