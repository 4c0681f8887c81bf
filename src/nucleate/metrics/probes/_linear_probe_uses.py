"""Uses of a linear probe: selectivity, generalization over conditions, description length."""

from dataclasses import dataclass
from itertools import pairwise
from math import log

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_states, lead_of, shaped
from nucleate.metrics._labels import groups_or_rows, one, one_labeling
from nucleate.metrics.probes._decoding import control_labels
from nucleate.metrics.probes._linear_probe import (
    PENALTY,
    TOL,
    features,
    held_out,
    splits_of,
)

_PORTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


@dataclass(frozen=True)
class Selectivity:
    """Accuracy on the classes beside accuracy on classes assigned to strings at random.

    Attributes:
        task: accuracy on held-out rows of strings that the probe has seen.
        control: the same for control labels, mean over draws.
        draws: the same of each draw; a null of the accuracy (what memorizing alone gives).
    """

    task: Float[np.ndarray, "*place"] | float
    control: Float[np.ndarray, "*place"] | float
    draws: Float[np.ndarray, "*place draw"]

    @property
    def selectivity(self) -> Float[np.ndarray, "*place"] | float:
        """Task less control accuracy, -1 to 1: near 0 where the probe memorizes."""
        return self.task - self.control


def selectivity(
    x: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    folds: ArrayLike | None = None,
    *,
    n_draws: int = 5,
    penalty: float = PENALTY,
    tol: float = TOL,
    seed: int = 0,
) -> Selectivity:
    """How much of a linear probe's accuracy is more than memorizing instruction strings.

    The probe learns the classes, and control labels that are assigned to each string at random
    (Hewitt and Liang 2019). Both are tested on held-out rows of strings whose other rows the probe
    has seen: a control label says nothing about a string that was not seen. So `task` is not the
    accuracy on new strings, which `linear_probe` gives with folds by string.

    Args:
        x: states, two rows or more.
        labels: class of each row `[row]`.
        groups: instruction string of each row `[row]`.
        folds: fold of each row `[row]`, that splits strings; by default the rows of each string
            are spread at random over 3 folds. Rows of a string that has one fold only are learned
            from, and not tested.
        n_draws: of control labels, at least 1.
        penalty, tol: as for `linear_probe`.
        seed: of folds and draws.

    Returns:
        The accuracies; 0 to 1, chance one over the number of classes where those are balanced, for
        states that do not vary too. All NaN where every string is a single row (at the end of the
        instruction, where all inputs of a string share one state), and for states that are not
        finite.

    Raises:
        BadInput: labels, groups or folds that do not fit the rows, one class only, no draw, or a
            penalty or tolerance that is not above 0.

    Notes:
        It measures how easily strings are memorized, which grows with the width and falls with the
        penalty and the number of strings: compare only where all of these are the same.
    """
    states = as_states(x)
    codes = one_labeling(labels, states)
    strings = groups_or_rows(groups, states)
    check_whole("n_draws", n_draws)
    check_whole("seed", seed, least=0)
    if n_draws < 1:
        raise BadInput(f"{n_draws} draws of control labels say nothing; ask for at least 1")
    fold = _folds_inside(strings, folds, seed)
    lead = lead_of(x)
    if int(fold.max()) < 1:
        nothing = np.full((*lead, n_draws), np.nan)
        single = nothing[..., 0] if lead else float("nan")
        return Selectivity(single, single, nothing)
    controls = [
        torch.from_numpy(control_labels(codes[0].cpu(), strings.cpu(), seed + draw)).to(codes)
        for draw in range(n_draws)
    ]
    found = held_out(
        features(states), torch.stack([codes[0], *controls]), splits_of(fold), penalty, tol
    )
    accuracy = found.credit.nanmean(2)
    return Selectivity(
        task=shaped(accuracy[:, 0], x),
        control=shaped(accuracy[:, 1:].mean(1), x),
        draws=accuracy[:, 1:].cpu().numpy().reshape(*lead, n_draws),
    )


def _folds_inside(
    strings: Int[Tensor, "row"], folds: ArrayLike | None, seed: int
) -> Int[Tensor, "row"]:
    """Folds that split strings; -1 for rows of a string that is in one fold only."""
    rows = len(strings)
    if folds is None:
        order = np.lexsort((np.random.default_rng(seed).random(rows), strings.cpu().numpy()))
        dealt = np.empty(rows, dtype=np.int64)
        dealt[order] = np.arange(rows) % 3
        fold = torch.from_numpy(dealt).to(strings)
    else:
        fold = one(folds, rows, name="folds").to(strings)
    count = int(strings.max()) + 1, int(fold.max()) + 1
    held = torch.zeros(count, dtype=torch.bool, device=strings.device)
    held[strings, fold] = True
    fold = fold.masked_fill((held.sum(1) < 2)[strings], -1)
    # A fold that no string shares any more would hold nothing out.
    kept = torch.unique(fold[fold >= 0])
    return torch.where(fold >= 0, torch.searchsorted(kept, fold), -1)


def ccgp(
    x: ArrayLike,
    labels: ArrayLike,
    conditions: ArrayLike,
    *,
    n_splits: int = 5,
    penalty: float = PENALTY,
    tol: float = TOL,
) -> np.ndarray | float:
    """Accuracy of a linear read-out under conditions that it was not trained on.

    Cross-condition generalization performance (Bernardi et al. 2020): high where the direction of
    a class is the same under all conditions. Conditions are, for example, inputs, or the families
    of the instructions. Families are nested where each task has its own: give
    `ranks_within(labels, families)` then, and the first, second, ... families of all tasks make a
    condition each.

    Args:
        x: states, two rows or more.
        labels: class of each row `[row]`.
        conditions: condition of each row `[row]`; two or more.
        n_splits: number of folds, at most; where there are more conditions, they are dealt out to
            the folds in sorted order.
        penalty, tol: as for `linear_probe`.

    Returns:
        `[*place]`, 0 to 1: the mean over conditions of the accuracy under each when it is held out.
        Chance is one over the number of classes where those are balanced, for states that do not
        vary too. NaN where a condition lacks a class, and for states that are not finite.

    Raises:
        BadInput: labels or conditions that do not fit the rows; one class or one condition only;
            fewer than two folds; a penalty or tolerance that is not above 0.

    Notes:
        Where conditions are inputs, the same instruction strings are trained on and tested: it says
        nothing about new strings. Bernardi et al. average over all ways to split conditions; here
        one fold at a time is held out.
    """
    states = as_states(x)
    codes = one_labeling(labels, states)
    condition = one(conditions, states.shape[1], name="conditions").to(states.device)
    count = int(condition.max()) + 1
    check_whole("n_splits", n_splits)
    if count < 2 or n_splits < 2:
        raise BadInput(
            f"{count} conditions in at most {n_splits} folds leave nothing to generalize to; give "
            "at least two of both"
        )
    table = torch.zeros(count, int(codes.max()) + 1, dtype=torch.bool, device=states.device)
    table[condition, codes[0]] = True
    if not table.all():
        return shaped(torch.full((len(states),), torch.nan), x)
    found = held_out(features(states), codes, splits_of(condition % n_splits), penalty, tol)
    total = torch.zeros(len(states), count, dtype=torch.float64, device=states.device)
    total.index_add_(1, condition, found.credit[:, 0])
    return shaped((total / torch.bincount(condition, minlength=count)).mean(1), x)


@dataclass(frozen=True)
class MdlProbe:
    """How short a linear probe makes the description of the classes.

    Attributes:
        bits: code length, bits per row.
        compression: code length of uniform guesses over that, 1 where nothing is learned; below 1
            where the probe is confident and wrong.
    """

    bits: Float[np.ndarray, "*place"] | float
    compression: Float[np.ndarray, "*place"] | float


def mdl_probe(
    x: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    penalty: float = PENALTY,
    tol: float = TOL,
    seed: int = 0,
) -> MdlProbe:
    """Online code length of the classes given the states (Voita and Titov 2020).

    Instruction strings in random order are cut at 1/16, 1/8, 1/4, 1/2 and all. The first portion
    is sent by uniform code; each next one by the code of a linear probe that was fitted to all
    before it. Classes that no portion before had keep one over `classes` of the probability each.

    Args:
        x: states, two rows or more.
        labels: class of each row `[row]`.
        groups: instruction string of each row `[row]`, whose rows are sent together; each row
            alone if None.
        penalty, tol: as for `linear_probe`.
        seed: of the order.

    Returns:
        Bits per row, from 0 to log2(classes) and above, and compression. States that do not vary
        have about log2(classes) bits, and a compression of about 1. NaN for states that are not
        finite.

    Raises:
        BadInput: labels or groups that do not fit the rows; one class or one string only; a
            penalty or tolerance that is not above 0.

    Notes:
        It measures how soon a probe learns, so it depends on the number of rows; compare only with
        the same rows and order.
    """
    states = as_states(x)
    codes = one_labeling(labels, states)
    check_whole("seed", seed, least=0)
    rows = states.shape[1]
    strings = groups_or_rows(groups, states)
    count = int(strings.max()) + 1
    if count < 2:
        raise BadInput(
            f"all {rows} rows are of one instruction string, so that no other is left to learn "
            "from; give rows of at least two"
        )
    place_of = torch.from_numpy(np.random.default_rng(seed).permutation(count)).to(strings)
    turn = place_of[strings]
    ends = sorted({max(1, round(share * count)) for share in _PORTIONS})
    uniform = log(int(codes.max()) + 1)
    nats = states.new_full((len(states),), uniform * int((turn < ends[0]).sum())).double()
    points = features(states)
    for start, end in pairwise(ends):
        before = torch.nonzero(turn < start)[:, 0]
        sent = torch.nonzero((turn >= start) & (turn < end))[:, 0]
        nats += held_out(points, codes, [(before, sent)], penalty, tol).nll[:, 0, sent].sum(1)
    a_row = nats / rows
    return MdlProbe(shaped(a_row / log(2), x), shaped(uniform / a_row, x))
