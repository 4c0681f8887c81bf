"""How well clusters agree with labels, adjusted for chance."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import gammaln, xlogy
from torch import Tensor

from nucleate.metrics._arrays import Array, as_codes


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


def agreement(clusters: Array, labels: Array) -> Agreement:
    """Score every clustering against every labeling of the same rows.

    The labelings are a label and permutations of it: those of unequal class sizes get the
    expected information of the first. Cost: rows x labelings, whatever the number of clusters.

    Args:
        clusters: `[*problem row]`, integers or texts.
        labels: `[*labeling row]`, integers or texts; the first labeling sets the margins of the
            expected information.

    Returns:
        The scores, 1 where both partitions are trivial and equal. Both are thresholds of sorts: a
        small gain in separation can carry them from 0.1 to 0.7.

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
    rows = np.shape(clusters)[-1]
    problems, codes = _numbered(clusters, rows, "clusters"), _numbered(labels, rows, "labels")
    ari, ami = _scores(problems, codes)
    shape = (*np.shape(clusters)[:-1], *np.shape(labels)[:-1])
    if not shape:
        return Agreement(float(ari[0, 0]), float(ami[0, 0]))
    return Agreement(ari.reshape(shape), ami.reshape(shape))


def _numbered(values: Array, rows: int, name: str) -> Int[Tensor, "labeling row"]:
    """Integers from 0 to below the number of rows as they are, anything else in sorted order."""
    if isinstance(values, Tensor) and values.shape[-1] == rows and values.dtype == torch.int64:
        flat = values.reshape(-1, rows).cpu()
        if int(flat.min()) >= 0 and int(flat.max()) < rows:
            return flat
    return as_codes(values, rows, name=name)


def _scores(
    clusters: Int[Tensor, "problem row"], labels: Int[Tensor, "labeling row"]
) -> tuple[Float[np.ndarray, "problem labeling"], Float[np.ndarray, "problem labeling"]]:
    rows = labels.shape[1]
    classes = int(labels.max()) + 1
    k = int(clusters.max()) + 1
    ones = torch.ones(labels.shape)
    table = torch.zeros(len(labels), k * classes)
    label_sizes = torch.zeros(len(labels), classes).scatter_add_(1, labels, ones)
    label_pairs = _pairs(label_sizes.double()).sum(1)
    label_entropy = _entropy(label_sizes)
    ari, ami = [], []
    for problem in clusters:
        cell = problem * classes + labels
        table.zero_().scatter_add_(1, cell, ones)
        together = table.gather(1, cell)
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
    return _adjust(both, clusters * labels / total, (clusters + labels) / 2)


def expected_information(a: Int[np.ndarray, "cluster"], b: Int[np.ndarray, "class"]) -> float:
    """Expected mutual information (nats) of two partitions of given sizes, rows paired at random.

    The sum of Vinh, Epps and Bailey (2010), taken once for each pair of different sizes.
    """
    total = int(a.sum())
    a_sizes, a_times = np.unique(a[a > 0], return_counts=True)
    b_sizes, b_times = np.unique(b[b > 0], return_counts=True)
    A, B = a_sizes[:, None, None], b_sizes[None, :, None]
    n = np.arange(1, min(a_sizes[-1], b_sizes[-1]) + 1)[None, None, :]
    possible = (n >= A + B - total) & (n <= np.minimum(A, B))
    n = np.where(possible, n, np.maximum(1, A + B - total))
    log_odds = (
        gammaln(A + 1) + gammaln(B + 1) + gammaln(total - A + 1) + gammaln(total - B + 1)
        - gammaln(total + 1) - gammaln(n + 1) - gammaln(A - n + 1) - gammaln(B - n + 1)
        - gammaln(total - A - B + n + 1)
    )  # fmt: skip
    terms = np.exp(log_odds) * n / total * np.log(total * n / (A * B)) * possible
    return float(a_times @ terms.sum(2) @ b_times)


def _pairs(n: Tensor | float | int) -> Tensor:
    return torch.as_tensor(n, dtype=torch.float64) * (torch.as_tensor(n) - 1) / 2


def _entropy(sizes: Tensor) -> Tensor:
    share = sizes.double().numpy() / sizes.double().sum(1, keepdim=True).numpy()
    return torch.from_numpy(-xlogy(share, share).sum(1))


def _adjust(observed: Tensor, expected: Tensor | float, largest: Tensor) -> Tensor:
    room = largest - expected
    return torch.where(room.abs() < 1e-12, 1.0, (observed - expected) / room)
