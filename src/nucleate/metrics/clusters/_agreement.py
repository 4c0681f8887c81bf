"""How well clusters agree with labels, adjusted for chance."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import gammaln, xlogy
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_codes, labelings_of, rows_of

_FEW = 2**14
"""Rows over which float32 sums are exact to six digits, and twice as fast."""
_TERMS = 2**19
"""Terms of an expected information that are held at once."""


@dataclass(frozen=True)
class Agreement:
    """ARI and AMI of clusterings against labelings: `[*problem *labeling]`, floats for one each.

    Attributes:
        ari: adjusted Rand index (Hubert and Arabie 1985); 0 on average for labels independent of
            the clusters, 1 for equal partitions.
        ami: adjusted mutual information (Vinh, Epps and Bailey 2010), arithmetic mean of the
            entropies; same scale.
    """

    ari: np.ndarray | float
    ami: np.ndarray | float


def agreement(clusters: ArrayLike, labels: ArrayLike) -> Agreement:
    """Score every clustering against every labeling of the same rows.

    The labelings are a label and permutations of it: those of unequal class sizes get the
    expected information of the first. Cost: rows x labelings, whatever the number of clusters.

    Args:
        clusters: `[*problem row]`, integers or texts.
        labels: `[*labeling row]`, integers or texts; the first labeling sets the margins of the
            expected information.

    Returns:
        The scores, 1 where both partitions are trivial and equal. A small gain in
        separation can raise both from 0.1 to 0.7.

    Raises:
        BadInput: clusters and labels of different numbers of rows.

    Examples:
        >>> import numpy as np
        >>> from nucleate.metrics import agreement
        >>> labels = np.array(["a", "a", "b", "b"])
        >>> agreement(np.array([0, 0, 1, 1]), labels).ari
        1.0
        >>> round(agreement(np.array([0, 1, 0, 1]), labels).ari, 6)
        -0.5
    """
    rows = rows_of(clusters)
    if not rows:
        raise BadInput("clusters of no rows cannot be compared with labels; give at least one row")
    problems = as_codes(clusters, rows, name="clusters", compact=False)
    ari, ami = _scores(problems, as_codes(labels, rows, compact=False))
    shape = (*labelings_of(clusters), *labelings_of(labels))
    if not shape:
        return Agreement(float(ari[0, 0]), float(ami[0, 0]))
    return Agreement(ari.reshape(shape), ami.reshape(shape))


def _scores(
    clusters: Int[Tensor, "problem row"], labels: Int[Tensor, "labeling row"]
) -> tuple[Float[np.ndarray, "problem labeling"], Float[np.ndarray, "problem labeling"]]:
    rows = labels.shape[1]
    classes = int(labels.max()) + 1
    k = int(clusters.max()) + 1
    ones = torch.ones(labels.shape)
    precision = torch.float32 if rows <= _FEW else torch.float64
    table = torch.zeros(len(labels), k * classes)
    label_sizes = torch.zeros(len(labels), classes).scatter_add_(1, labels, ones)
    label_pairs = _pairs(label_sizes.double()).sum(1)
    label_entropy = _entropy(label_sizes)
    ari, ami = [], []
    for problem in clusters:
        cell = problem * classes + labels
        table.zero_().scatter_add_(1, cell, ones)
        together = table.gather(1, cell).to(precision)
        sizes = torch.bincount(problem, minlength=k)
        both = (together.sum(1).double() - rows) / 2
        ari.append(adjusted_rand(both, _pairs(sizes.double()).sum(), label_pairs, _pairs(rows)))
        information = together.log().sum(1).double() / rows - np.log(rows)
        entropy = _entropy(sizes[None].float())
        mutual = information + entropy + label_entropy
        expected = expected_information(sizes.numpy(), label_sizes[0].long().numpy())
        ami.append(_adjust(mutual, expected, (entropy + label_entropy) / 2))
    return torch.stack(ari).numpy(), torch.stack(ami).numpy()


def adjusted_rand(both: Tensor, clusters: Tensor, labels: Tensor, total: Tensor | float) -> Tensor:
    """ARI from numbers of pairs: together in both, in the clusters, in the labels, all pairs."""
    # A single row has no pairs: both partitions are trivial.
    total = torch.as_tensor(total, dtype=torch.float64).clamp(min=1)
    return _adjust(both, clusters * labels / total, (clusters + labels) / 2)


def expected_information(a: Int[np.ndarray, "cluster"], b: Int[np.ndarray, "class"]) -> float:
    """Expected mutual information (nats) of two partitions of given sizes, rows paired at random.

    The sum of Vinh, Epps and Bailey (2010), taken once for each pair of different sizes.
    """
    total = int(a.sum())
    log_factorial = gammaln(np.arange(total + 1) + 1.0)
    a_sizes, a_times = np.unique(a[a > 0], return_counts=True)
    b_sizes, b_times = np.unique(b[b > 0], return_counts=True)
    A, B = (sizes.ravel() for sizes in np.meshgrid(a_sizes, b_sizes, indexing="ij"))
    first, times = np.maximum(1, A + B - total), np.outer(a_times, b_times).ravel()
    counts = np.minimum(A, B) - first + 1
    outer = [log_factorial[sizes] + log_factorial[total - sizes] for sizes in (A, B)]
    fixed = outer[0] + outer[1] - log_factorial[total]
    result, ends = 0.0, np.cumsum(counts)
    cuts = np.searchsorted(ends, np.arange(_TERMS, ends[-1], _TERMS))
    for some in np.split(np.arange(len(A)), np.unique(cuts)):
        # All possible numbers n of common rows, one pair of sizes after the other.
        pair = np.repeat(some, counts[some])
        start = np.cumsum(counts[some]) - counts[some]
        n = np.arange(len(pair)) - np.repeat(start - first[some], counts[some])
        a_of, b_of = A[pair], B[pair]
        log_odds = fixed[pair] - log_factorial[n] - log_factorial[a_of - n]
        log_odds -= log_factorial[b_of - n] + log_factorial[total - a_of - b_of + n]
        term = np.exp(log_odds) * n / total * np.log(total * n / (a_of * b_of))
        result += float(term @ times[pair])
    return result


def _pairs(n: Tensor | float | int) -> Tensor:
    return torch.as_tensor(n, dtype=torch.float64) * (torch.as_tensor(n) - 1) / 2


def _entropy(sizes: Tensor) -> Tensor:
    share = sizes.double().numpy() / sizes.double().sum(1, keepdim=True).numpy()
    return torch.from_numpy(-xlogy(share, share).sum(1))


def _adjust(observed: Tensor, expected: Tensor | float, largest: Tensor) -> Tensor:
    room = largest - expected
    return torch.where(room.abs() < 1e-12, 1.0, (observed - expected) / room)
