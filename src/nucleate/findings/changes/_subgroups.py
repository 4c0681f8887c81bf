"""Whether a cluster is one cloud or several, and whether that is another in another version."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from nucleate.findings.changes._string_means import StringMeans
from nucleate.metrics import choose_k, gaussian_twin, kmeans, principal_axes

FEWEST_FOR_GROUPS = 16
"""Strings that a cluster needs in both versions before it is asked whether it is several."""
_DRAWS = 199
_MOST_GROUPS = 6


@dataclass(frozen=True)
class GroupChange:
    """A cluster that is several in one version and one cloud in the other.

    Attributes:
        cluster: its number.
        share_before, share_after: of the variance along the axis of the best cut in two, what that
            takes away.
        null_before, null_after: the most that a Gaussian of the same covariance reaches, over all
            clusters asked.
        groups: sub-clusters, in the version that has them.
    """

    cluster: int
    share_before: float
    share_after: float
    null_before: float
    null_after: float
    groups: int

    @property
    def split(self) -> bool:
        """One cloud before, several after; else the other way about."""
        return self.share_after > self.null_after


def group_changes(
    before: StringMeans, after: StringMeans, asked: list[int], level: float, seed: int
) -> list[GroupChange]:
    """Clusters that are one cloud in one version and several in the other.

    Several: the best cut in two takes away more of the variance along its axis than in a Gaussian
    of the same covariance. And the other version must have less of a gap than halves of the strings
    of that one show, or it would only have been missed there. Both hold over all clusters at once
    (max-T).
    """
    if not asked:
        return []
    sides = [[_cloud(side, cluster) for cluster in asked] for side in (before, after)]
    shares = np.array([[_cut_share(cloud[None])[0] for cloud in side] for side in sides])
    limits = np.array([_gaussian_limits(side, level, seed + k) for k, side in enumerate(sides)])
    several = shares > limits
    differ = np.flatnonzero(several[0] != several[1])
    if not len(differ):
        return []
    lumpy = several[1, differ].astype(int)
    clouds = [sides[which][index] for which, index in zip(lumpy, differ, strict=True)]
    halves = np.array([_half_shares(cloud, seed + k) for k, cloud in enumerate(clouds)])
    middle, scale = halves.mean(1), halves.std(1) + 1e-12
    lowest = ((halves - middle[:, None]) / scale[:, None]).min(0)
    unlike = shares[1 - lumpy, differ] < middle + scale * np.quantile(lowest, level)
    found = []
    for index, which in zip(differ[unlike].tolist(), lumpy[unlike], strict=True):
        one, other = shares[:, index].tolist()
        null_one, null_other = limits[:, index].tolist()
        groups = _groups(sides[which][index], seed)
        found.append(GroupChange(asked[index], one, other, null_one, null_other, groups))
    return found


def _cloud(side: StringMeans, cluster: int) -> torch.Tensor:
    """A cluster's strings about their mean, in their own axes: as few dimensions as it has."""
    rows = torch.from_numpy(side.deviations[side.member(cluster)])
    rotated, _ = principal_axes(rows)
    return rotated[:, : len(rows) - 1].float()


def _cut_share(clouds: torch.Tensor) -> Float[np.ndarray, "problem"]:
    """Share of the variance along the axis of the best cut in two that the cut takes away.

    About .64 where a Gaussian is cut, and near 1 where there is a gap; directions without a gap do
    not dilute it.
    """
    side = kmeans(clouds, 2).labels.to(clouds)[..., None]
    ones, others = side.sum(1), (1 - side).sum(1)
    first = (clouds * side).sum(1) / ones.clamp(min=1)
    second = (clouds * (1 - side)).sum(1) / others.clamp(min=1)
    along = torch.einsum("prw,pw->pr", clouds, first - second)
    means = torch.einsum("pw,psw->ps", first - second, torch.stack([second, first], 1))
    within = (along - means.gather(1, side[..., 0].long())).square().sum(1)
    total = (along - along.mean(1, keepdim=True)).square().sum(1)
    return np.asarray((1 - within / total.clamp(min=1e-30)).double())


def _gaussian_limits(
    clouds: list[torch.Tensor], level: float, seed: int
) -> Float[np.ndarray, "cluster"]:
    twins = np.array(
        [
            _cut_share(gaussian_twin(cloud, _DRAWS, seed=seed * 1000 + k).float())
            for k, cloud in enumerate(clouds)
        ]
    )
    middle, scale = twins.mean(1), twins.std(1) + 1e-12
    highest = ((twins - middle[:, None]) / scale[:, None]).max(0)
    return np.asarray(middle + scale * np.quantile(highest, 1 - level))


def _half_shares(cloud: torch.Tensor, seed: int) -> Float[np.ndarray, "draw"]:
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(len(cloud))[: len(cloud) // 2] for _ in range(_DRAWS)])
    half = cloud[torch.from_numpy(orders)]
    return _cut_share(half - half.mean(1, keepdim=True))


def _groups(cloud: torch.Tensor, seed: int) -> int:
    """How many, by stability (`choose_k`); two where no number stands out."""
    most = min(_MOST_GROUPS, len(cloud) // 4)
    return choose_k(cloud, range(2, most + 1), seed=seed).k or 2
