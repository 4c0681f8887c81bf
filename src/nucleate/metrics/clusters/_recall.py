"""Which classes have a cluster of their own."""

import numpy as np
from jaxtyping import Float, Int

from nucleate.metrics._arrays import ArrayLike, as_codes, as_values, labelings_of, rows_of
from nucleate.metrics._labels import one


def recall_by_class(clusters: ArrayLike, labels: ArrayLike) -> Float[np.ndarray, "*place class"]:
    """Share of each class's rows that lie in its cluster, where each class has one cluster.

    Classes and clusters are paired so that most rows agree (Kuhn 1955, the Hungarian method).

    Args:
        clusters: `[*place row]`; negative numbers are noise (as of `hdbscan`).
        labels: `[row]`.

    Returns:
        `[*place class]`, classes in sorted order of their labels; 0 to 1. A class that is left
        without a cluster has 0. Chance is above one over the classes, since the pairing seeks
        agreement: compare with permuted labels. Two classes in one cluster look like one class
        that is found and one that is lost; which of the two is arbitrary.

    Raises:
        BadInput: labels of another length.
    """
    matched, sizes = _matched(clusters, labels)
    return np.asarray(matched / sizes)


def matched_accuracy(clusters: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """Share of all rows that lie in the cluster of their class (see `recall_by_class`).

    Args:
        clusters: `[*place row]`; negative numbers are noise.
        labels: `[row]`.

    Returns:
        `[*place]`, 0 to 1; chance is above one over the classes, and grows with the number of
        clusters and as rows get fewer.

    Raises:
        BadInput: labels of another length.
    """
    matched, sizes = _matched(clusters, labels)
    share = matched.sum(-1) / sizes.sum()
    return share if share.ndim else float(share)


def _matched(
    clusters: ArrayLike, labels: ArrayLike
) -> tuple[Float[np.ndarray, "*place class"], Float[np.ndarray, "class"]]:
    """Rows of each class in its cluster, and rows of each class."""
    from scipy.optimize import linear_sum_assignment

    rows = rows_of(clusters)
    codes = one(labels, rows).numpy()
    sizes = np.bincount(codes)
    of_row = as_codes(clusters, rows, name="clusters").numpy()
    found = as_values(clusters)
    inside = np.ones(of_row.shape, dtype=bool)
    if found.dtype.kind in "iuf":
        inside = found.reshape(of_row.shape) >= 0
    matched = np.zeros((len(of_row), len(sizes)))
    for place, (row, kept) in enumerate(zip(of_row, inside, strict=True)):
        table = _table(codes[kept], row[kept], len(sizes))
        classes, at = linear_sum_assignment(table, maximize=True)
        matched[place, classes] = table[classes, at]
    return matched.reshape(*labelings_of(clusters), len(sizes)), sizes.astype(np.float64)


def _table(
    codes: Int[np.ndarray, "kept"], clusters: Int[np.ndarray, "kept"], classes: int
) -> Int[np.ndarray, "class cluster"]:
    names, at = np.unique(clusters, return_inverse=True)
    table = np.bincount(codes * len(names) + at, minlength=classes * len(names))
    return table.reshape(classes, len(names))
