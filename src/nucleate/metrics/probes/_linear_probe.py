"""Held-out accuracy and likelihood of a linear classifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nucleate._core.arguments import check_number
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_states, lead_of, shaped
from nucleate.metrics._labels import fold_codes, group_codes, one_labeling
from nucleate.metrics._prepare import standardize
from nucleate.metrics.probes._linear_probe_solver import compact, fit

PENALTY = 10.0
"""Of the squared weights on z-scored features: scikit-learn's C = 0.1."""
TOL = 1e-8
"""Nats per row: far below what any held-out number shows."""
_BATCH = 2**21
"""Numbers in the tensors of a batch of places: more would leave the cache, and are slower."""

Split = tuple[Int[Tensor, "_"], Int[Tensor, "_"]]
"""Rows to learn from, and rows to judge."""


@dataclass(frozen=True)
class LinearProbe:
    """Scores of a linear classifier on held-out rows.

    Attributes:
        accuracy: share of the rows whose likeliest class is their own, 0 to 1.
        nll: mean negative log-likelihood of the own class, nats per row, 0 upwards; ln(classes) is
            what a uniform guess has, and an overconfident read-out has more.
        correct: the same for each row: 1 or 0, or a share where classes tie.
        row_nll: the nll of each row.
        converged: whether the search of every fold ended by its criterion.
    """

    accuracy: Float[np.ndarray, "*place"] | float
    nll: Float[np.ndarray, "*place"] | float
    correct: Float[np.ndarray, "*place row"]
    row_nll: Float[np.ndarray, "*place row"]
    converged: Bool[np.ndarray, "*place"] | bool


def linear_probe(
    x: ArrayLike,
    labels: ArrayLike,
    folds: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    penalty: float = PENALTY,
    tol: float = TOL,
) -> LinearProbe:
    """Fit multinomial logistic regression to all folds but one, and score that one.

    Features are z-scored over all rows of a place (labels play no part in it). The summed negative
    log-likelihood plus penalty / 2 times the squared weights is minimized; intercepts are free
    (scikit-learn's `LogisticRegression` with C = 1 / penalty). The search ends where a further
    step promises less than `tol` nats per row.

    Args:
        x: states, two rows or more.
        labels: class of each row `[row]`, integers or texts.
        folds: fold of each row `[row]`; all rows of an instruction string must share one, for a
            probe that has seen a string knows its class.
        groups: instruction string of each row `[row]`, checked against the folds.
        penalty: above 0; below about 0.1 the fit to few rows is slow and its nll says little.
        tol: nats per training row at which the search ends, above 0. At 1e-4 the accuracy of a
            place with 600 held-out rows moves by .002 on average, and the fit takes about half the
            time.

    Returns:
        Accuracy and nll of each place, and of each row. Chance is one over the number of classes
        where those are balanced, and ln(classes). States that do not vary give what the shares of
        classes among the training rows give: about chance. NaN for states that are not finite. A
        row of a class that the other folds lack counts as wrong, with an nll of ln(classes): such
        classes have one over `classes` of the probability each, the others share the rest.

    Raises:
        BadInput: labels, folds or groups that do not fit the rows; one class or one fold only; a
            string in two folds; a penalty or tolerance that is not above 0.

    Notes:
        Scaling a dimension changes nothing; a rotation does, for each dimension is z-scored. A
        probe can learn what the model does not use, and can memorize strings: `selectivity` tells
        how much. Random features of enough width are decodable too: compare with permuted labels
        and with an untrained model.
    """
    states = as_states(x)
    codes = one_labeling(labels, states)
    fold = fold_codes(folds, states, group_codes(groups, states))
    found = held_out(features(states), codes, splits_of(fold), penalty, tol)
    return found.labeling(0, x)


@dataclass(frozen=True)
class HeldOut:
    """Credit and nll `[place labeling row]`, NaN for rows that are in no held-out part."""

    credit: Tensor
    nll: Tensor
    converged: Bool[Tensor, "place"]

    def labeling(self, index: int, x: ArrayLike) -> LinearProbe:
        credit, nll = self.credit[:, index], self.nll[:, index]
        lead = lead_of(x)
        converged = self.converged.cpu().numpy().reshape(lead)
        return LinearProbe(
            accuracy=shaped(credit.nanmean(1), x),
            nll=shaped(nll.nanmean(1), x),
            correct=credit.cpu().numpy().reshape(*lead, -1),
            row_nll=nll.cpu().numpy().reshape(*lead, -1),
            converged=converged if converged.ndim else bool(converged),
        )


def splits_of(folds: Int[Tensor, "row"]) -> list[Split]:
    """Each fold held out once. Rows of a negative fold are learned from always, held out never."""
    return [
        (torch.nonzero(folds != fold)[:, 0], torch.nonzero(folds == fold)[:, 0])
        for fold in range(int(folds.max()) + 1)
    ]


def features(x: Float[Tensor, "place row width"]) -> Float[Tensor, "place row feature"]:
    """Z-scores in no more dimensions than rows; NaN for a place that is not finite."""
    rows, width = x.shape[1:]
    result = torch.full((len(x), rows, min(rows, width)), torch.nan, device=x.device)
    for place in torch.isfinite(x).flatten(1).all(1).nonzero()[:, 0]:
        result[place] = compact(standardize(x[place]))
    return result


def held_out(
    x: Float[Tensor, "place row feature"],
    codes: Int[Tensor, "labeling row"],
    splits: Sequence[Split],
    penalty: float,
    tol: float,
) -> HeldOut:
    """Fit and score every place, split and labeling of features, in batches of bounded memory."""
    check_number("penalty", penalty)
    check_number("tol", tol)
    if not penalty > 0:
        raise BadInput(
            f"a penalty of {penalty} does not bound the weights of a linear probe; give a number "
            "above 0, such as 1"
        )
    if not tol > 0:
        raise BadInput(
            f"no search ends at a tolerance of {tol}; give a number above 0, such as {TOL}"
        )
    places, rows, width = x.shape
    classes = int(codes.max()) + 1
    credit = x.new_full((places, len(codes), rows), torch.nan, dtype=torch.float64)
    nll = credit.clone()
    converged = torch.ones(places, dtype=torch.bool, device=x.device)
    trained, held = (_padded([split[i] for split in splits]) for i in (0, 1))
    size = len(splits) * rows * (width + len(codes) * classes)
    for part in torch.split(torch.arange(places, device=x.device), max(1, _BATCH // size)):
        whole = part[torch.isfinite(x[part, 0, 0])]
        if not len(whole):
            continue
        fitted = fit(x[whole], codes, classes, trained, held, penalty, tol)
        converged[whole] = fitted.converged.view(-1, len(splits)).all(1)
        scores = fitted.scores.double().view(-1, len(splits), *fitted.scores.shape[1:])
        for index, (_, members) in enumerate(splits):
            judged = _judged(scores[:, index, ..., : len(members)], codes[:, members], classes)
            where = (
                whole[:, None, None],
                torch.arange(len(codes), device=x.device)[:, None],
                members,
            )
            credit[where], nll[where] = judged
    return HeldOut(credit, nll, converged)


def _judged(
    scores: Float[Tensor, "place labeling class member"],
    codes: Int[Tensor, "labeling member"],
    classes: int,
) -> tuple[Float[Tensor, "place labeling member"], Float[Tensor, "place labeling member"]]:
    """Credit and nll of the own class; a class that was not learned has a uniform guess's share."""
    own = scores.gather(2, codes[None, :, None].expand(len(scores), -1, -1, -1)).squeeze(2)
    learned = own > -torch.inf
    best = scores.amax(2)
    credit = (own >= best) / (scores >= best[:, :, None]).sum(2) * learned
    known = (scores > -torch.inf).sum(2).double()
    share = (known / classes).log()
    return credit.double(), -(own + share).where(learned, -log(classes))


def _padded(members: list[Int[Tensor, "_"]]) -> Int[Tensor, "split member"]:
    return torch.nn.utils.rnn.pad_sequence(members, batch_first=True, padding_value=-1)
