"""Clusters by other algorithms than k-means, and the silhouette of clusters."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_codes, as_values, centered, shape_of, shaped
from nucleate.metrics._labels import groups_or_rows, several
from nucleate.metrics.geometry._spectra import squared_distances


def ward(x: ArrayLike, k: int) -> Int[np.ndarray, "*place row"]:
    """Cluster rows by merging, each time the two clusters whose merger adds least variance.

    Ward (1963), by scikit-learn. There is nothing random in it, so no seed and no restarts; a
    merger is never undone, so its inertia is above that of k-means.

    Args:
        x: states `[*place row width]`; standardize them first.
        k: number of clusters.

    Returns:
        Clusters from 0. One cluster for constant states; -1 for all rows of states that are not
        finite. It finds k clusters in anything: compare with `gaussian_twin` and permuted labels.

    Raises:
        BadInput: k is below 1 or above the number of rows.
    """
    from sklearn.cluster import AgglomerativeClustering

    points, finite = centered(x, double=True)
    check_whole("k", k)
    if not 1 <= k <= points.shape[1]:
        raise BadInput(
            f"{k} clusters of {points.shape[1]} rows cannot be found; "
            f"ask for 1 to {points.shape[1]} clusters, or give more rows"
        )
    model = AgglomerativeClustering(k, linkage="ward")
    found = _each(points, finite, model.fit_predict, constant=0)
    return found.reshape(shape_of(x)[:-1])


def hdbscan(
    x: ArrayLike, *, n_components: int = 30, min_cluster_size: int | None = None
) -> Int[np.ndarray, "*place row"]:
    """Cluster rows by density; the number of clusters is found, and some rows are noise.

    Campello, Moulavi and Sander (2013), by scikit-learn, on the leading principal axes: in many
    dimensions all rows are about equally far apart, and everything becomes noise.

    Args:
        x: states `[*place row width]`; standardize them first.
        n_components: how many principal axes to keep, at most.
        min_cluster_size: fewest rows of a cluster, from 2; about half the rows of the smallest
            class that should be found. None: 10, or a quarter of the rows if those are fewer.

    Returns:
        Clusters from 0, noise as -1; all rows are noise in constant states and in states that are
        not finite. Score noise as clusters of one row each (`singletons`): left out, a clustering
        that finds only the easiest rows looks perfect.

    Raises:
        BadInput: no axis, or a cluster size below 2 or above the number of rows.
    """
    from sklearn.cluster import HDBSCAN

    points, finite = centered(x, double=True)
    rows = points.shape[1]
    check_whole("n_components", n_components)
    if n_components < 1:
        raise BadInput(f"{n_components} principal axes hold no states; keep at least 1")
    if min_cluster_size is None:
        min_cluster_size = max(2, min(10, rows // 4))
    check_whole("min_cluster_size", min_cluster_size)
    if not 2 <= min_cluster_size <= rows:
        raise BadInput(
            f"clusters of at least {min_cluster_size} of {rows} rows cannot be found; "
            f"ask for 2 to {rows}"
        )
    turned = (
        points @ torch.linalg.eigh(points.mT @ points).eigenvectors.flip(-1)[..., :n_components]
    )
    model = HDBSCAN(min_cluster_size=min_cluster_size, copy=True)
    found = _each(turned, finite, model.fit_predict, constant=-1)
    return found.reshape(shape_of(x)[:-1])


def _each(
    points: Tensor,
    finite: Tensor,
    cluster: Callable[[np.ndarray], np.ndarray],
    constant: int,
) -> Int[np.ndarray, "place row"]:
    """Cluster the places that vary; the others get one number for all rows."""
    found = np.full(points.shape[:2], -1, dtype=np.int64)
    for place, rows in enumerate(points.cpu().numpy()):
        if not rows.any():
            found[place] = constant if bool(finite[place]) else -1
        else:
            found[place] = cluster(rows)
    return found


def singletons(clusters: ArrayLike) -> Int[np.ndarray, "*place row"]:
    """Give each row of noise (-1) a cluster of its own, so that scores count it as not found.

    Args:
        clusters: `[*place row]`, whole numbers; negative ones are noise.

    Raises:
        BadInput: clusters that are not whole numbers.
    """
    found = as_values(clusters)
    if found.dtype.kind not in "iu" or not found.size or not found.ndim:
        raise BadInput(
            f"clusters of shape {list(found.shape)} and dtype {found.dtype} are not clusters; give "
            "a whole number per row"
        )
    alone = int(found.max()) + 1 + np.arange(found.shape[-1])
    return np.where(found < 0, alone, found)


def silhouette(
    x: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None
) -> np.ndarray | float:
    """Mean over rows of (b - a) / max(a, b), with distances a to the own and b to the next class.

    Rousseeuw (1987), with Euclidean distances: a is the mean distance to the other rows of the
    class, b the least mean distance to another class.

    Args:
        x: states `[*place row width]`.
        labels: `[*labeling row]`, classes or clusters.
        groups: `[row]`, such as instruction strings; distances within a group do not count.

    Returns:
        `[*place *labeling]`, -1 to 1, about 0 or a little below by chance. A row counts as 0 if
        its class has no other row (of another group), or no other class has one. 0 for
        constant states. In many dimensions it is small for classes that are
        perfectly separated (0.08 to 0.14 in a simulation), and clusters that k-means found score
        above 0 in noise: compare with permuted labels, and clusters with `gaussian_twin`. All
        distances of a place are held at once.

    Raises:
        BadInput: labels or groups of another length, or one class only (of states that vary).
    """
    points, finite = centered(x, double=True)
    rows = points.shape[1]
    codes = as_codes(labels, rows)
    if bool(points.any()):
        for labeling in codes:
            several(labeling, "label", "give labels of at least two classes")
    own = groups_or_rows(groups, points)
    members = _Members(codes.to(points.device), own, grouped=groups is not None)
    values = torch.stack(
        [
            members.silhouette(place) if bool(place.any()) else place.new_zeros(len(codes))
            for place in points
        ]
    )
    return shaped(values.where(finite[:, None], torch.nan), x, labels)


class _Members:
    """Who is in which class, for several labelings of the same rows.

    Rows that share their class in every labeling, such as those of one instruction string, are
    summed first: permutations then cost strings x rows each, not rows x rows.
    """

    def __init__(self, codes: Tensor, own: Tensor, *, grouped: bool) -> None:
        labelings, rows = codes.shape
        self._codes = codes
        columns, unit = torch.unique(codes, dim=1, return_inverse=True)
        self._unit = torch.zeros(columns.shape[1], rows, device=codes.device)
        self._unit.scatter_(0, unit[None], 1)
        shape = (labelings, int(codes.max()) + 1, columns.shape[1])
        self._member = torch.zeros(shape, device=codes.device)
        self._member.scatter_(1, columns[:, None], 1)
        self._same = own[:, None] == own if grouped else None
        sizes = (self._member @ self._unit.sum(1))[..., None]
        if self._same is None:
            self._counts = sizes.repeat(1, 1, rows)
            self._counts.scatter_add_(1, codes[:, None], -torch.ones_like(self._counts[:, :1]))
        else:
            self._counts = sizes - self._sums(self._same.float())

    def _sums(self, values: Float[Tensor, "row row"]) -> Float[Tensor, "labeling class row"]:
        """Sum over the rows of each class."""
        of_unit = self._unit @ values
        return (self._member.flatten(0, 1) @ of_unit).view(*self._member.shape[:2], -1)

    def silhouette(self, points: Float[Tensor, "row width"]) -> Float[Tensor, "labeling"]:
        distances = squared_distances(points).float().sqrt_()
        distances.fill_diagonal_(0)
        if self._same is not None:
            distances.masked_fill_(self._same, 0)
        # A class without another row divides by 0: where it is the next class it is infinitely
        # far, and where it is the own one the row does not count.
        mean = self._sums(distances).div_(self._counts).nan_to_num_(nan=torch.inf)
        own = self._codes[:, None]
        a = mean.gather(1, own).squeeze(1)
        b = mean.scatter_(1, own, torch.inf).amin(1)
        largest = torch.maximum(a, b)
        defined = torch.isfinite(largest) & (largest > 0)
        return ((b - a) / largest).where(defined, 0).double().mean(1)
