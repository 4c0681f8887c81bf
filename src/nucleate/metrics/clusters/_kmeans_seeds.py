"""Where k-means starts from."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate.metrics.clusters._kmeans_moves import Partition
from nucleate.metrics.clusters._kmeans_space import Space

_OVER = 2
"""So many times as many clusters are sought and then merged."""
_TRIES = 2
"""Candidates for each seed: bad ones are repaired by merging."""
_ROUNDS = 3
"""Rounds of moves before they are merged."""


def greedy_seeds(
    x: Space | Float[Tensor, "problem row width"],
    k: int,
    *,
    starts: int = 1,
    seed: int = 0,
    tries: int | None = None,
) -> Int[Tensor, "problem start seed"]:
    """Choose k rows a start by greedy k-means++ (Arthur and Vassilvitskii 2007, section 6).

    Each next row is the best of a few candidates, drawn with odds of their squared distance to
    the rows that are already chosen. Cost: rows x width x k log k a start.

    Args:
        x: the problems; all get the same random draws.
        k: rows to choose, 1 to the number of rows; they repeat where fewer are distinct.
        starts: how many choices are made of each problem.
        seed: decides the draws; the global generator of torch is neither read nor moved.
        tries: candidates for each next row; None for 2 + log(k).
    """
    space = x if isinstance(x, Space) else Space.of(x)
    generator = torch.Generator().manual_seed(seed)
    device, last = space.rows.device, space.count - 1
    tries = 2 + int(math.log(k)) if tries is None else tries

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).to(device)

    chosen = (draw(starts) * space.count).long().clamp_(max=last).expand(space.problems, -1)
    seeds = [chosen]
    # [problem start candidate row] from here on, with one candidate that was chosen.
    closest = space.distances(space.take(chosen[..., None])).clamp_(min=0)
    for _ in range(k - 1):
        odds = closest[:, :, 0].double().cumsum(-1)
        candidates = torch.searchsorted(odds, draw(starts, tries) * odds[..., -1:])
        candidates.clamp_(max=last)
        reached = space.distances(space.take(candidates)).clamp_(min=0)
        torch.minimum(reached, closest, out=reached)
        best = reached.sum(-1).argmin(-1, keepdim=True)
        seeds.append(candidates.gather(2, best).squeeze(2))
        closest = reached.gather(2, best[..., None].expand(-1, -1, 1, space.count))
    return torch.stack(seeds, -1)


def over_seeded(
    space: Space, k: int, *, starts: int, seed: int
) -> Int[Tensor, "problem start row"]:
    """Labels to start from: more clusters than k, merged by Ward's criterion.

    Two seeds in one true cluster then cost nothing: their halves merge. From k seeds alone, one of
    them would be missing elsewhere, and moving rows never brings it there.
    """
    many = min(_OVER * k, space.count)
    seeds = greedy_seeds(space, many, starts=starts, seed=seed, tries=_TRIES)
    state = Partition.of(space, space.nearest(space.take(seeds)), many)
    for _ in range(_ROUNDS):
        state = state.improved(space)
    return merged(state.sums, k).gather(2, state.labels)


def merged(
    sums: Float[Tensor, "problem start cluster appended"], k: int
) -> Int[Tensor, "problem start cluster"]:
    """Which of k groups each cluster falls into when the cheapest pair is merged again and again.

    The cost of a pair is what it adds to the inertia (Ward 1963), kept up to date by the formula
    of Lance and Williams (1967). Empty clusters cost nothing and go first.
    """
    flat = sums.flatten(0, 1)
    count, many, _ = flat.shape
    size = flat[..., -2].clone()
    means = flat[..., :-2] / size.clamp(min=1)[..., None]
    weight = size[:, :, None] * size[:, None] / (size[:, :, None] + size[:, None]).clamp(min=1)
    cost = torch.cdist(means, means).square() * weight
    cost.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    each, own = (torch.arange(n, device=sums.device) for n in (count, many))
    group = own.expand(count, many)
    for _ in range(many - k):
        pair = cost.flatten(1).argmin(1)
        a, b = pair // many, pair % many
        both = (size[each, a] + size[each, b])[:, None]
        joined = (
            (size[each, a, None] + size) * cost[each, a]
            + (size[each, b, None] + size) * cost[each, b]
            - size * cost[each, a, b, None]
        ) / (both + size).clamp(min=1)
        # Those merged before stay infinitely far: 0 x infinity would make NaN of them.
        joined = joined.where(torch.isfinite(cost[each, a]), torch.inf)
        joined[each, b] = torch.inf
        cost[each, b] = cost[each, :, b] = torch.inf
        cost[each, a] = cost[each, :, a] = joined
        size[each, a], size[each, b] = both[:, 0], 0
        group = torch.where(group == b[:, None], a[:, None], group)
    used = torch.zeros_like(group).scatter_(1, group, 1)
    return (used.cumsum(1) - 1).gather(1, group).view(sums.shape[:3])
