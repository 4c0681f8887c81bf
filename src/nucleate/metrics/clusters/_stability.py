"""How many clusters: those that are found again in other samples, and not in one Gaussian."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate._core.threads import side_by_side
from nucleate.metrics._arrays import ArrayLike, as_states, centered, shape_of, shaped
from nucleate.metrics._labels import groups_or_rows
from nucleate.metrics.clusters._agreement import adjusted_rand
from nucleate.metrics.clusters._kmeans import kmeans
from nucleate.metrics.clusters._kmeans_space import Space
from nucleate.metrics.geometry._spectra import gaussian_twin

_RESTARTS = 8
"""With fewer, local optima of k-means make the true number less stable than one more."""

_VALUES = 20_000_000
"""Numbers of sampled rows held at once."""


@dataclass(frozen=True)
class ChosenK:
    """A number of clusters, and how stable all those that were tried are.

    Attributes:
        k: the largest that is within one standard error (of the difference) of the most stable,
            among those that are more stable than in every Gaussian twin; None if none is.
        ks: the numbers that were tried.
        stability: ARI between the clusters of two samples, mean over draws.
        error: standard error of that mean over draws.
        twin: the most that a Gaussian of the same covariance reached, over draws.
    """

    k: int | None
    ks: tuple[int, ...]
    stability: Float[np.ndarray, "k"]
    error: Float[np.ndarray, "k"]
    twin: Float[np.ndarray, "k"]


def stability(
    x: ArrayLike,
    k: int,
    *,
    n_draws: int = 20,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> np.ndarray | float:
    """Agreement between k-means clusters that two bootstrap samples of the rows lead to.

    Each sample's centroids cluster all rows (Fang and Wang 2012); the two clusterings are compared
    by ARI, so that no k is favored by chance.

    Args:
        x: states `[*place row width]`; standardize them first.
        k: number of clusters, 2 to half of the rows.
        n_draws: pairs of samples.
        seed: of the samples and of k-means.
        groups: `[row]`, such as instruction strings, which are drawn whole. Without them, rows of
            one string are a tight cluster that every sample finds.

    Returns:
        About 0 to 1; 0 for constant states. Chance is not 0: a cloud that is longer in one
        direction is cut in the same two halves each time. Compare with `gaussian_twin`, as
        `choose_k` does.

    Raises:
        BadInput: k out of range, no draw, or groups of another length.
    """
    return shaped(_agreements(x, [k], n_draws, seed, groups)[0].mean(1), x)


def choose_k(
    x: ArrayLike,
    ks: Sequence[int],
    *,
    n_draws: int = 20,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> ChosenK:
    """Choose the number of clusters that other samples find again, and one Gaussian does not show.

    Args:
        x: states `[row width]`; standardize them first.
        ks: numbers to try, each 2 to half of the rows.
        n_draws: pairs of samples, and Gaussian twins.
        seed: of all draws.
        groups: `[row]`, such as instruction strings, which are drawn whole; in the twins rows are
            independent, and drawn one by one.

    Returns:
        The choice and the whole curve. One cluster has no stability, so None stands for "one, or
        no clusters". Where clusters are nested - families within tasks - several k are stable, and
        the largest is chosen: read the curve.

    Raises:
        BadInput: no k, one out of range, fewer than two draws, or groups of another length.
    """
    check_whole("n_draws", n_draws)
    if not isinstance(ks, Iterable) or isinstance(ks, str):
        raise BadInput(f"ks is {ks!r}; give several numbers of clusters, such as range(2, 30)")
    ks = list(ks)
    for k in ks:
        check_whole("k", k)
    if not len(ks) or n_draws < 2:
        raise BadInput(
            f"{len(ks)} numbers of clusters and {n_draws} draws decide nothing; "
            "give at least one number and two draws"
        )
    if len(shape_of(x)) != 2:
        raise BadInput(f"states of shape {list(shape_of(x))} are not one place; give [row width]")
    tried = tuple(sorted(set(ks)))
    found = _agreements(x, tried, n_draws, seed, groups)[:, 0].numpy()
    twins = gaussian_twin(x, n_draws, seed=seed)
    by_twin = _agreements(twins, tried, 1, seed, None)[:, :, 0].numpy()
    mean, error = found.mean(1), found.std(1, ddof=1) / n_draws**0.5
    most = by_twin.max(1)
    stands_out = np.flatnonzero(mean > most)
    chosen = None
    if len(stands_out):
        best = stands_out[mean[stands_out].argmax()]
        within = np.hypot(error[best], error[stands_out])
        near = stands_out[mean[stands_out] >= mean[best] - within]
        chosen = tried[near.max()]
    return ChosenK(chosen, tried, mean, error, most)


def _agreements(
    x: ArrayLike, ks: Sequence[int], draws: int, seed: int, groups: ArrayLike | None
) -> Float[Tensor, "k place draw"]:
    """ARI of each pair of samples; 0 for constant states, NaN for those that are not finite."""
    rows = as_states(x).shape[1]
    for k in ks:
        check_whole("k", k)
        if not 2 <= k <= rows // 2:
            raise BadInput(
                f"the stability of {k} clusters of {rows} rows is undefined; "
                f"ask for 2 to {rows // 2} clusters, or give more rows"
            )
    check_whole("n_draws", draws, least=1)
    check_whole("seed", seed, least=0)
    points, finite = centered(x, double=True)
    own = groups_or_rows(groups, points).cpu()
    result = torch.zeros(len(ks), len(points), draws, dtype=torch.float64)
    result[:, ~finite.cpu()] = torch.nan
    samples = _samples(own.numpy(), 2 * draws, seed).to(points.device)
    varying = points.flatten(1).any(1).nonzero().flatten()
    at_once = max(1, _VALUES // (samples.numel() * points.shape[2]))
    for places in torch.split(varying, at_once) if len(varying) else ():
        sampled = _Sampled.of(points[places].float(), samples)
        found = side_by_side(partial(sampled.agreement, seed=seed), ks)
        result[:, places.cpu()] = torch.stack(found)
    return result


def _samples(groups: Int[np.ndarray, "row"], samples: int, seed: int) -> Int[Tensor, "sample row"]:
    """Draw groups with replacement, all rows of each, until a sample has as many rows as there are.

    The last group drawn is cut off, so that all samples have the same size.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(groups))[:-1])
    smallest = min(map(len, members))
    needed = -(-len(groups) // smallest)
    drawn = [
        np.concatenate([members[g] for g in rng.integers(len(members), size=needed)])
        for _ in range(samples)
    ]
    return torch.from_numpy(np.stack([rows[: len(groups)] for rows in drawn]))


@dataclass(frozen=True)
class _Sampled:
    """Some places and samples of their rows, made ready for every number of clusters."""

    points: Float[Tensor, "place row width"]
    drawn: Float[Tensor, "sampled row width"]
    space: Space

    @classmethod
    def of(
        cls, points: Float[Tensor, "place row width"], samples: Int[Tensor, "sample row"]
    ) -> "_Sampled":
        drawn = points[:, samples].flatten(0, 1)
        return cls(points, drawn, Space.of(drawn))

    def agreement(self, k: int, seed: int) -> Float[Tensor, "place draw"]:
        """ARI of the clusterings of all rows that each two samples lead to."""
        places, rows, _ = self.points.shape
        labels = self.labels(k, seed).view(-1, 2, rows).cpu()
        return _paired_ari(labels[:, 0], labels[:, 1], k).view(places, -1)

    def labels(self, k: int, seed: int) -> Int[Tensor, "sampled row"]:
        """The cluster of every row of a place by the centroids of each of its samples."""
        places, rows, width = self.points.shape
        found = kmeans(self.space, k, n_init=_RESTARTS, seed=seed).labels
        member = torch.zeros(*found.shape, k, device=found.device).scatter_(2, found[..., None], 1)
        counts = member.sum(1)
        centroids = (member.mT @ self.drawn) / counts.clamp(min=1)[..., None]
        offset = centroids.square().sum(2).div(2).masked_fill(counts == 0, torch.inf)
        of_place = centroids.view(places, -1, width)
        near = (self.points @ of_place.mT).view(places, rows, -1, k).transpose(1, 2).flatten(0, 1)
        return (near - offset[:, None]).argmax(2)


def _paired_ari(
    a: Int[Tensor, "draw row"], b: Int[Tensor, "draw row"], k: int
) -> Float[Tensor, "draw"]:
    draws, rows = a.shape
    table = torch.zeros(draws, k * k, dtype=torch.float64)
    table.scatter_add_(1, a * k + b, torch.ones(draws, rows, dtype=torch.float64))
    table = table.view(draws, k, k)
    both, first, second = (
        (sizes * (sizes - 1) / 2).sum(1) for sizes in (table.flatten(1), table.sum(2), table.sum(1))
    )
    return adjusted_rand(both, first, second, rows * (rows - 1) / 2)
