"""Decoding from nearest neighbors; folds and control labels for all decoders."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, centered, shaped
from nucleate.metrics._labels import class_codes, groups_or_rows, paired_codes

_BATCH = 2**24


def knn_decodability(
    x: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    n_neighbors: int = 10,
) -> np.ndarray | float:
    """Share of rows whose nearest neighbors vote for the row's own class.

    The `n_neighbors` nearest rows by Euclidean distance, those of the row's own instruction string
    left out, have one vote each; the class with most votes wins (task decodability, Han et al.
    2025). Where several classes have most votes, each has its share of the credit.

    Args:
        x: states, standardized as a rule, for distances are those of the largest dimensions.
        labels: classes `[*labeling row]`, integers or texts. Neighbors are found once, so many
            labelings (permutations) cost little beside one.
        groups: instruction string of each row `[row]`; each row alone if None.
        n_neighbors: how many have a vote, at least 1. A row that has fewer outside its string
            (a small data set) is judged by those there are.

    Returns:
        `[*place *labeling]`, 0 to 1. Chance is about one over the number of classes where those
        are balanced, and a little below it, since the row's own string is missing among the
        voters of its class: compare with labels permuted over strings. States that do not vary
        have exactly one over the number of classes; NaN for states that are not finite. A class
        whose rows are all of one string can never win for them.

    Raises:
        BadInput: labels or groups that do not fit the rows, one class or one string only, or no
            neighbor asked for.

    Notes:
        Distances are dominated by the largest variance: where the input varies more than the task,
        the nearest rows share the input, and the value is low even where a linear probe decodes the
        task without error.
    """
    states, finite = centered(x)
    codes = class_codes(labels, states)
    rows = states.shape[1]
    strings = groups_or_rows(groups, states)
    check_whole("n_neighbors", n_neighbors)
    if n_neighbors < 1 or int(strings.max()) == 0:
        raise BadInput(
            f"{n_neighbors} neighbors among {int(strings.max()) + 1} instruction strings leave "
            "no voters; ask for at least one neighbor and give rows of at least two strings"
        )
    classes = int(codes.max()) + 1
    result = states.new_empty(len(states), len(codes), dtype=torch.float64)
    for index, points in enumerate(states):
        if bool((points == 0).all()):
            present = torch.nn.functional.one_hot(codes, classes).amax(1).sum(1)
            result[index] = 1 / present
        else:
            near, voting = _neighbors(points, strings, min(n_neighbors, rows - 1))
            result[index] = _votes(near, voting, codes)
    return shaped(result.where(finite[:, None], torch.nan), x, labels)


def _neighbors(
    points: Float[Tensor, "row width"], strings: Int[Tensor, "row"], count: int
) -> tuple[Int[Tensor, "row near"], Bool[Tensor, "row near"]]:
    """The nearest rows of other strings, and whether each is one of them."""
    length = points.square().sum(1)
    near, voting = [], []
    step = max(1, _BATCH // len(points))
    for part in torch.split(torch.arange(len(points), device=points.device), step):
        square = torch.addmm(length[None], points[part], points.T, alpha=-2)
        square.masked_fill_(strings[part, None] == strings[None], torch.inf)
        found = square.topk(count, 1, largest=False, sorted=False)
        near.append(found.indices)
        voting.append(found.values < torch.inf)
    return torch.cat(near), torch.cat(voting)


def _votes(
    near: Int[Tensor, "row near"],
    voting: Bool[Tensor, "row near"],
    codes: Int[Tensor, "labeling row"],
) -> Float[Tensor, "labeling"]:
    """Mean credit of each labeling.

    Votes for the class of each neighbor are counted, not those for each class: there are fewer,
    and small numbers of one byte are compared many at a time.
    """
    narrow = torch.uint8 if int(codes.max()) < 256 and near.shape[1] < 256 else torch.int32
    credit = []
    for part in torch.split(codes, max(1, _BATCH // near.numel())):
        by_row = part.T.to(narrow).contiguous()
        classes = [by_row[of_rows] for of_rows in near.T]
        votes = [mask[:, None].to(narrow).expand_as(by_row).clone() for mask in voting.T]
        own = torch.zeros_like(by_row)
        for i, (of_one, may) in enumerate(zip(classes, voting.T, strict=True)):
            own += (of_one == by_row) & may[:, None]
            for j in range(i):
                agree = (of_one == classes[j]) & (may & voting[:, j])[:, None]
                votes[i] += agree
                votes[j] += agree
        most = torch.stack(votes).amax(0)
        # Every voter for a class with most votes is counted here: ties x most.
        winners = torch.zeros_like(by_row)
        for count in votes:
            winners += (count == most) & (count > 0)
        won = (own == most) & (own > 0)
        credit.append((most / winners.clamp(min=1)).where(won, 0).double().mean(0))
    return torch.cat(credit)


def grouped_folds(
    labels: ArrayLike, groups: ArrayLike, n_splits: int, seed: int = 0
) -> Int[np.ndarray, "row"]:
    """Spread instruction strings over folds, evenly within each class.

    Args:
        labels: class of each row `[row]`. A string whose rows differ in it (input, output) is
            spread by the class of its first row.
        groups: instruction string of each row `[row]`.
        n_splits: number of folds, at least 2.
        seed: of the order within classes.

    Returns:
        The fold of each row, from 0; all rows of a string share one. The folds of a class differ
        by at most one string; a class with fewer strings than `n_splits` is missing in some folds.

    Raises:
        BadInput: lengths that differ, fewer than two folds, or fewer strings than folds.
    """
    codes, strings = paired_codes(labels, groups)
    first = np.unique(strings, return_index=True)[1]
    check_whole("n_splits", n_splits)
    check_whole("seed", seed, least=0)
    if not 2 <= n_splits <= len(first):
        raise BadInput(
            f"{len(first)} instruction strings cannot be spread over {n_splits} folds; ask for at "
            "least 2 folds and at most one per string"
        )
    rng = np.random.default_rng(seed)
    of_string = codes[first]
    # Strings in random order, class by class, are assigned to folds in turn.
    order = np.lexsort((rng.random(len(first)), of_string))
    folds = np.empty(len(first), dtype=np.int64)
    folds[order] = np.arange(len(first)) % n_splits
    return np.asarray(folds[strings])


def control_labels(labels: ArrayLike, groups: ArrayLike, seed: int = 0) -> Int[np.ndarray, "row"]:
    """Give every instruction string a random class, in the sizes of the classes that there are.

    A classifier that predicts these has memorized the strings: they mean nothing (the control task
    of Hewitt and Liang 2019).

    Args:
        labels: class of each row `[row]`.
        groups: instruction string of each row `[row]`.
        seed: of the draw.

    Returns:
        The class of each row, as a number from 0 in the sorted order of the labels; one for all
        rows of a string. Sizes are those of `labels` where strings have equally many rows and one
        label each, else as near as whole strings come.

    Raises:
        BadInput: lengths that differ.
    """
    check_whole("seed", seed, least=0)
    codes, strings = paired_codes(labels, groups)
    sizes = np.bincount(strings)
    order = np.random.default_rng(seed).permutation(len(sizes))
    # Shuffled strings are laid along the sorted labels; each takes the one under its middle.
    middle = np.cumsum(sizes[order]) - (sizes[order] + 1) // 2
    of_string = np.empty(len(sizes), dtype=np.int64)
    of_string[order] = np.sort(codes)[middle]
    return np.asarray(of_string[strings])


def ranks_within(labels: ArrayLike, conditions: ArrayLike) -> Int[np.ndarray, "row"]:
    """Renumber conditions within each class, so that nested ones become crossed.

    Where every task has families of its own (t.1, t.2, t.3), no family holds two tasks. The first,
    second and third family of all tasks do; `ccgp` takes these.

    Args:
        labels: class of each row `[row]`.
        conditions: condition of each row `[row]`, such as its family.

    Returns:
        The rank of each row's condition among those of its class, in sorted order, from 0.

    Raises:
        BadInput: lengths that differ.
    """
    codes, inside = paired_codes(labels, conditions, "conditions")
    ranks = np.zeros_like(codes)
    for code in range(int(codes.max()) + 1):
        members = codes == code
        ranks[members] = np.unique(inside[members], return_inverse=True)[1]
    return ranks
