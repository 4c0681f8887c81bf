"""The ten claims: which conditions and falsifiers each has; thresholds come from a frozen file."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest, spearmanr

from nucleate._core.errors import BadInput
from nucleate.dynamics import between_tasks
from nucleate.findings._seed_test import median_interval
from nucleate.findings.claims._verdict import (
    Arms,
    ClaimResult,
    Condition,
    Word,
    by_difference,
    by_seed,
    decide,
    numbers_of,
)

Thresholds = Mapping[str, float]


def judge_claim(name: str, says: str, thresholds: Thresholds, arms: Arms) -> ClaimResult:
    """Decide one of the ten claims.

    Args:
        name: `C1` to `C10`.
        says: the claim in a sentence.
        thresholds: of its conditions, by name.
        arms: the runs, by arm and seed: `base`, `scrambled` (a model whose instructions say
            nothing), `plain` and arms of regularizers, families and strings of a smaller model.

    Returns:
        The verdict with all conditions. Seeds that lack a run do not count.

    Raises:
        BadInput: there is no such claim, or a threshold is missing.
    """
    if name not in _CLAIMS:
        raise BadInput(f"no claim is named {name!r}; choose from {', '.join(_CLAIMS)}")
    needed, rule = _CLAIMS[name]
    present = [set(arms.get(arm, {})) for arm in needed]
    seeds = sorted(set.intersection(*present))
    if not seeds:
        return decide(name, says, (), 0)
    try:
        conditions = rule(_Arms(arms, seeds), thresholds)
    except KeyError as error:
        raise BadInput(f"claim {name} has no threshold {error}; add it to the claims") from error
    return decide(name, says, conditions, len(seeds))


class _Arms:
    """Numbers of arms at the seeds that have all runs."""

    def __init__(self, arms: Arms, seeds: Sequence[int]) -> None:
        self.arms, self.seeds = arms, seeds

    def __call__(self, arm: str, name: str) -> np.ndarray:
        return numbers_of(self.arms, arm, name, self.seeds)

    def doses(self, kind: str) -> list[tuple[float, str]]:
        """The arms `KIND WEIGHT`, by weight."""
        found = [
            (float(arm.removeprefix(f"{kind} ")), arm)
            for arm in self.arms
            if arm.startswith(f"{kind} ") and not arm.endswith("shuffled")
        ]
        return sorted(found)


def _emerge(arms: _Arms, t: Thresholds) -> list[Condition]:
    ari = arms("base", "ari")
    fold, twin = arms("base", "cdnv_fold"), arms("scrambled", "ari")
    return [
        by_seed(f"ARI >= {t['ari']:g}", ari, ari >= t["ari"], threshold=t["ari"]),
        _beyond_chance(arms),
        by_seed(f"CDNV falls {t['cdnv_fold']:g} fold", fold, fold >= t["cdnv_fold"]),
        by_seed(
            f"without task information ARI is {t['twin_share']:g} of it", twin,
            twin >= t["twin_share"] * ari, falsifies=True,
        ),
        by_seed("surface text has as high an ARI (N2)", arms("base", "n2"),
                arms("base", "n2") >= ari, falsifies=True),
    ]  # fmt: skip


def _beyond_chance(arms: _Arms) -> Condition:
    """Without clusters, nothing that is said of them can hold."""
    bar = np.fmax(arms("base", "n0"), arms("base", "n1"))
    return by_seed("ARI less the highest of N0 and N1 > 0", arms("base", "ari") - bar,
                   lambda x: x > 0)  # fmt: skip


def _deepen(arms: _Arms, t: Thresholds) -> list[Condition]:
    inside = arms("base", "depth.peak_inside") > 0
    answers = arms("base", "depth.last_ari_output") - arms("base", "depth.last_ari")
    return [
        by_seed("rank correlation of depth and ARI > 0", arms("base", "depth.ari"),
                lambda x: x > 0),
        by_seed("rank correlation of depth and separation > 0", arms("base", "depth.separation"),
                lambda x: x > 0),
        _beyond_chance(arms),
        by_seed(f"ARI of the embedding changes by less than {t['embedding']:g}",
                arms("base", "embedding_change"), lambda x: x < t["embedding"]),
        by_seed("the peak is inside, and the last block groups by answer rather than task",
                answers, inside & (answers > 0), falsifies=True),
    ]  # fmt: skip


def _abrupt(arms: _Arms, t: Thresholds) -> list[Condition]:
    found = []
    abrupt = {}
    for metric, name in (("probe_nll", "probe NLL"), ("separation", "1 / CDNV")):
        margin, width = (arms("base", f"abrupt.{metric}.{end}") for end in ("margin", "width"))
        abrupt[metric] = (margin > t["bic"]) & (width < t["width"])
        found.append(
            by_seed(
                f"{name}: logistic wins by a BIC of {t['bic']:g} and 10-90 % takes less than "
                f"{t['width']:g}, on both step axes", margin, abrupt[metric],
            )
        )  # fmt: skip
    only = (arms("base", "abrupt.ari") > 0) & ~abrupt["probe_nll"] & ~abrupt["separation"]
    return [*found, by_seed("only ARI is abrupt", arms("base", "abrupt.ari.margin"), only,
                            falsifies=True)]  # fmt: skip


def _precede(arms: _Arms, t: Thresholds) -> list[Condition]:
    found, medians = [], {}
    for arm in ("base", "plain"):
        for metric in ("ari", "separation"):
            clusters, answers = arms(arm, f"onset.{metric}"), arms(arm, "onset.accuracy.seen")
            with np.errstate(invalid="ignore"):
                ahead = answers - clusters  # two that never come have no order
            found.append(_order(f"{arm}: {metric} is {t['checkpoints']:g} records earlier",
                                ahead, t["checkpoints"]))  # fmt: skip
            medians[arm, metric] = found[-1].value
    flips = [medians[arm, "ari"] * medians[arm, "separation"] < 0 for arm in ("base", "plain")]
    held: Word = "yes" if any(flips) else "no"
    found.append(
        Condition("the order depends on the read-out", held, float(any(flips)), math.nan, math.nan,
                  len(arms.seeds), None, True)
    )  # fmt: skip
    ranks, clusters = arms("base", "onset.rankme"), arms("base", "onset.ari")
    with np.errstate(invalid="ignore"):
        lead = clusters - ranks
    found.append(by_seed("RankMe changes before the clusters form", lead, lambda x: x > 0,
                         falsifies=True))  # fmt: skip
    return found


def _order(says: str, ahead: np.ndarray, least: float) -> Condition:
    """Whether something is earlier: the median with its interval, and a sign test over seeds."""
    known = ahead[~np.isnan(ahead)]
    if not len(known):
        return Condition(says, "unsure", math.nan, math.nan, math.nan, 0)
    median = float(np.median(known))
    before, after = int((known > 0).sum()), int((known < 0).sum())
    p = binomtest(before, before + after).pvalue if before + after else 1.0
    held: Word = "unsure"
    if median >= least and p < 0.05:
        held = "yes"
    elif median <= 0:
        held = "no"
    each = tuple(ahead.tolist())
    low, high = median_interval(known)
    return Condition(says, held, median, low, high, len(known), before, False, each, least)


def _solve(arms: _Arms, t: Thresholds) -> list[Condition]:
    records = [
        # A task of one seed is another task in the next.
        {**record, "seed": seed, "task": f"{seed}:{record['task']}"}
        for seed in arms.seeds
        for record in arms.arms["base"][seed].tasks
    ]
    table = pd.DataFrame(records)
    found: list[tuple[Any, Any]] = []
    if len(table):
        # Steps of all seeds are the same: one schedule.
        for _, rows in table.groupby("step"):
            try:
                fit = between_tasks(rows, covariates=("loss",))
            except BadInput:  # all tasks are solved, or none: nothing to explain
                continue
            found.append((fit.adjusted, fit.alone))
    adjusted = sum(each.low > 0 for each, _ in found)
    alone = sum(each.low > 0 for _, each in found)
    steps = f"{t['steps']:g} steps"
    held: Word = "yes" if adjusted >= t["steps"] else "no" if adjusted <= 1 else "unsure"
    best = max((each for each, _ in found), key=lambda each: float(each.low), default=None)
    nothing = (math.nan, math.nan, math.nan)
    value, low, high = nothing if best is None else (best.value, best.low, best.high)
    vanishes: Word = "yes" if alone >= t["steps"] and adjusted <= 1 else "no"
    return [
        Condition(f"margin predicts accuracy beside loss at {steps} or more (found: {adjusted} "
                  f"of {len(found)})", held, value, low, high, len(arms.seeds)),
        Condition(f"it does alone ({alone} of {len(found)}), and no more beside loss", vanishes,
                  float(alone), math.nan, math.nan, len(arms.seeds), None, True),
    ]  # fmt: skip


def _carry(arms: _Arms, t: Thresholds) -> list[Condition]:
    found = []
    for name, label in (("ari", "ARI"), ("ncm", "nearest-centroid accuracy")):
        new, old = arms("base", f"{name}.held_out"), arms("base", f"{name}.seen")
        share = np.divide(new, old, out=np.full_like(new, math.nan), where=old > 0)
        found.append(
            by_seed(
                f"{label} on instructions held out, over that on trained ones, >= {t['share']:g}",
                share, lambda x: x >= t["share"], threshold=t["share"],
            )
        )  # fmt: skip
    margin, softmax = arms("base", "auc.margin"), arms("base", "auc.max_softmax")
    edits = arms("base", "auc.edit_distance")
    return [
        *found,
        _beyond_chance(arms),
        by_seed(f"AUC of margin for right answers >= {t['auc']:g}", margin,
                lambda x: x >= t["auc"]),
        by_seed(f"that AUC less that of max-softmax >= {t['gain']:g}", margin - softmax,
                lambda x: x >= t["gain"]),
        by_seed("edit distance to the nearest trained instruction does as well", edits - margin,
                lambda x: x >= 0, falsifies=True),
    ]  # fmt: skip


def _abstract(arms: _Arms, t: Thresholds) -> list[Condition]:
    families, strings = arms.doses("families"), arms.doses("strings")
    most, more = (found[-1][1] if found else "" for found in (families, strings))
    gains = {}
    found = []
    for name, label in (("accuracy", "accuracy"), ("ccgp", "task read off states")):
        number = f"{name}.unseen_family"
        one = arms("families 1", number)
        gains[name] = arms(most, number) - one
        rises = _trend(arms, families, number)
        found += [
            by_difference(f"{label} on an unseen family gains {t['gain']:g} from 1 to "
                          f"{most.removeprefix('families ')} families", gains[name], t["gain"]),
            by_seed(f"{label} rises with the number of families", rises, lambda x: x > 0),
        ]  # fmt: skip
        extra = arms(more, number) - one
        found.append(
            by_seed(f"{label}: as many strings of one family gain {t['share']:g} of that", extra,
                    extra >= t["share"] * gains[name], falsifies=True)
        )  # fmt: skip
    above = arms(most, "ccgp.unseen_family") - arms(most, "surface.unseen_family")
    return [
        *found,
        by_difference("read off states more than off surface text", above, 0.0),
        by_seed("a classifier of surface text does as well", above, lambda x: x <= 0,
                falsifies=True),
    ]  # fmt: skip


def _trend(arms: _Arms, doses: Sequence[tuple[float, str]], number: str) -> np.ndarray:
    """Rank correlation of a number with the dose, seed by seed; NaN with fewer than four doses."""
    if len(doses) < 4:
        return np.full(len(arms.seeds), math.nan)
    values = np.stack([arms(arm, number) for _, arm in doses])
    if np.isnan(values).any():
        return np.full(len(arms.seeds), math.nan)
    found = [
        0.0 if np.ptp(column) == 0 else float(spearmanr([d for d, _ in doses], column).statistic)
        for column in values.T
    ]
    return np.array(found)


def _necessary(arms: _Arms, t: Thresholds) -> list[Condition]:
    gap, lost = arms("base", "blind_gap"), arms("base", "erase_onward")
    random, moved = arms("base", "random_onward"), arms("base", "displaced_onward")
    knn, null = arms("base", "knn_erased"), arms("base", "knn_erased.null")
    return [
        by_seed(f"accuracy left by removal, less that of guessing without the task, <= "
                f"{t['gap']:g}", gap, lambda x: x <= t["gap"], threshold=t["gap"]),
        by_seed(f"removal costs >= {t['lost']:g}", lost, lambda x: x >= t["lost"]),
        by_seed(f"a random subspace costs <= {t['control']:g}", random,
                lambda x: x <= t["control"]),
        by_seed(f"a random displacement costs <= {t['control']:g}", moved,
                lambda x: x <= t["control"]),
        by_seed("a control costs half as much as removal", np.fmax(random, moved),
                np.fmax(random, moved) >= lost / 2, falsifies=True),
        by_seed("neighbors still find the task after removal, beyond shuffled tasks", knn - null,
                lambda x: x > 0, falsifies=True),
    ]  # fmt: skip


def _suffice(arms: _Arms, t: Thresholds) -> list[Condition]:
    shift, chance = arms("base", "shift"), arms("base", "shift.chance")
    control, beyond = arms("base", "shift.control"), arms("base", "shift.beyond")
    return [
        by_seed(f"the shift gives the other task's answer in >= {t['shift']:g}", shift,
                lambda x: x >= t["shift"], threshold=t["shift"]),
        by_seed(f"the strongest control, less chance, <= {t['control']:g}", control - chance,
                lambda x: x <= t["control"]),
        by_seed("more than half of the shifted states are longer than those that occur", beyond,
                lambda x: x > t["beyond"], falsifies=True),
    ]  # fmt: skip


def _change_learning(arms: _Arms, t: Thresholds) -> list[Condition]:
    found = [
        *_regularized(arms, "contrastive", 1, t["gain"], t["twin_share"]),
        *_regularized(arms, "scatter", -1, t["loss"], t["twin_share"]),
    ]
    for arm in ("lazy", "gelu"):
        ari, bar = arms(arm, "ari"), np.fmax(arms(arm, "n0"), arms(arm, "n1"))
        same = (arms(arm, _LEARNED) >= arms("plain", _LEARNED) - t["loss"]) & (ari <= bar)
        found.append(by_seed(f"{arm}: as accurate on unseen cells without clusters", ari, same,
                             falsifies=True))  # fmt: skip
    return found


def _regularized(arms: _Arms, kind: str, sign: int, least: float, share: float) -> list[Condition]:
    """Whether a regularizer, and not its twin of shuffled tasks, changes what is learned."""
    plain, doses = arms("plain", _LEARNED), arms.doses(kind)
    strongest, place = doses[-1][1], f"separation.{_REGULARIZED}"
    true, twin = (
        sign * np.stack([arms(f"{arm}{end}", _LEARNED) - plain for _, arm in doses])
        for end in ("", " shuffled")
    )
    moved = sign * (_bounded(arms(strongest, place)) - _bounded(arms("plain", place)))
    verb = "adds" if sign > 0 else "takes"
    return [
        by_difference(f"{kind} at its largest weight {verb} {least:g} on unseen cells", true[-1],
                      least),
        by_seed(f"{kind}: the effect grows with the weight",
                sign * _trend(arms, [(0.0, "plain"), *doses], _LEARNED), lambda x: x > 0),
        by_seed(f"{kind}: clusters moved as meant", moved, lambda x: x > 0),
        by_seed(f"{kind}: shuffled tasks do {share:.2g} of that", twin[-1],
                twin[-1] >= np.fmax(share * true[-1], _ROUNDING), falsifies=True),
        by_seed(f"{kind}: they do so on average over all weights", twin.mean(0),
                twin.mean(0) >= np.fmax(share * true.mean(0), _ROUNDING), falsifies=True),
    ]  # fmt: skip


_LEARNED = "accuracy.unseen_cell"
_ROUNDING = 1e-9
_REGULARIZED = "block.1"
"""Where the claims' file puts the regularizers."""


def _bounded(separation: np.ndarray) -> np.ndarray:
    """1 / (1 + CDNV), which one near-perfect seed cannot carry away."""
    return np.asarray(separation / (1 + np.abs(separation)))


_Rule = Callable[[_Arms, Thresholds], list[Condition]]
_CLAIMS: dict[str, tuple[tuple[str, ...], _Rule]] = {
    "C1": (("base", "scrambled"), _emerge),
    "C2": (("base",), _deepen),
    "C3": (("base",), _abrupt),
    "C4": (("base", "plain"), _precede),
    "C5": (("base",), _solve),
    "C6": (("base",), _carry),
    "C7": (("families 1", "families 8", "strings 128"), _abstract),
    "C8": (("base",), _necessary),
    "C9": (("base",), _suffice),
    "C10": (("plain", "contrastive 1", "scatter 10"), _change_learning),
}
