"""K-means of many problems at once.

Two things make it fast. All problems and starts advance together, by products of matrices, and
problems that are done leave the batch. And few starts do: a start finds twice as many clusters as
are asked for and merges them, which avoids the local optima in which two clusters share a centroid
and a third has two. One such start ends lower, on average, than the best of scikit-learn's twenty
(`benchmarks/measure`).
"""

from dataclasses import fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike
from nucleate.metrics.clusters._kmeans_moves import Clustering as Clustering
from nucleate.metrics.clusters._kmeans_moves import Partition, settled
from nucleate.metrics.clusters._kmeans_seeds import over_seeded
from nucleate.metrics.clusters._kmeans_space import Space as Space

NEAR = 0.005
"""Clusterings whose inertia exceeds the least one by at most this share are as good."""
_ROUNDS = 4
"""Rounds between two halvings of the starts."""
_ROUNDS_AT_MOST = 300
_COMPACT = 0.7
"""Finished problems leave the batch when only this share goes on: that copies rows."""
_CHUNK = {"cpu": 1_500_000, "cuda": 100_000_000}
"""Distances held at once: on a CPU, more leave the cache."""


def kmeans(
    x: Space | ArrayLike,
    k: int,
    *,
    n_init: int = 20,
    seed: int = 0,
    warm: Float[Tensor, "problem cluster width"] | None = None,
    solutions: int = 1,
) -> Clustering:
    """Cluster the rows of every problem into k groups of least squared distance.

    The result of a problem does not depend on the problems beside it: every problem gets the same
    random draws.

    Args:
        x: the problems, of one shape; any device; computed in float32. Give a `Space` to cluster
            the same rows with several k.
        k: number of clusters, 1 to the number of rows.
        n_init: how hard to try: at least as well, on average over problems, as scikit-learn's
            `n_init` of this number. See `fresh_starts`.
        seed: decides the seeds; the global generator of torch is neither read nor moved.
        warm: centroids to start from as well, in the coordinates of `x`, such as those of the
            step before.
        solutions: how many clusterings to keep in `Clustering.near`; at least as many starts are
            made.

    Returns:
        The clustering of least inertia. A local optimum, as with every k-means: where clusters
        overlap, another seed gives other labels at nearly the same inertia. No cluster is empty
        where a problem has k distinct rows (rows closer to each other than a millionth of the
        spread are not distinct); else some stay empty. Rows that are all equal: labels 0,
        inertia 0. A problem with NaN or infinity: labels 0, inertia and centroids NaN.

    Raises:
        BadInput: k is below 1 or above the number of rows; no restarts or solutions; warm
            centroids of another shape.

    Examples:
        >>> import torch
        >>> from nucleate.metrics import kmeans
        >>> x = torch.tensor([[[0.0], [1], [10], [11]]])  # one problem of four rows
        >>> found = kmeans(x, 2)
        >>> bool(found.labels[0, 0] == found.labels[0, 1] != found.labels[0, 2])
        True
        >>> found.inertia.tolist()
        [1.0]
    """
    space = x if isinstance(x, Space) else Space.of(x)
    _check(space, k, n_init, warm)
    check_whole("seed", seed, least=0)
    check_whole("solutions", solutions)
    if solutions < 1:
        raise BadInput(f"k-means cannot keep {solutions} solutions; ask for at least 1")
    # The warm start is one of the solutions.
    starts = max(fresh_starts(n_init, warm=warm is not None), solutions - (warm is not None))
    room = _CHUNK.get(space.rows.device.type, _CHUNK["cuda"])
    each = max(1, room // (space.count * 2 * k * starts))
    parts = []
    for at in range(0, space.problems, each):
        inside = slice(at, at + each)
        parts.append(_cluster(space.at(inside), k, starts, seed, _slice(warm, inside), solutions))
    return Clustering(
        *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Clustering))
    )


def fresh_starts(n_init: int, *, warm: bool) -> int:
    """How many over-seeded starts are as good as so many of scikit-learn's.

    Measured by `benchmarks/measure`: one is better than twenty where the rows have clusters, be
    they clear or barely there; where they have none, all optima lie within .3 % of each other.
    Ten is asked of one as a margin; twenty where the clusters of a step before compete.
    """
    return -(-n_init // (20 if warm else 10))


def _check(space: Space, k: int, n_init: int, warm: Tensor | None) -> None:
    check_whole("k", k)
    check_whole("n_init", n_init)
    if not 1 <= k <= space.count:
        raise BadInput(
            f"{k} clusters of {space.count} rows cannot be found; ask for 1 to {space.count} "
            "clusters, or give more rows"
        )
    if n_init < 1:
        raise BadInput(f"k-means with n_init {n_init} finds nothing; give at least 1")
    expected = (space.problems, k, space.width)
    if warm is not None and tuple(warm.shape) != expected:
        raise BadInput(
            f"warm centroids of shape {list(warm.shape)} do not fit; give [problem, cluster, "
            f"width] = {list(expected)}"
        )


def _slice(x: Tensor | None, inside: slice) -> Tensor | None:
    return None if x is None else x[inside]


def _cluster(
    space: Space, k: int, starts: int, seed: int, warm: Tensor | None, solutions: int
) -> Clustering:
    labels = over_seeded(space, k, starts=starts, seed=seed)
    if warm is not None:
        # Zeros where the step before was not finite: a start like any other.
        inside = (warm.float() - space.mean).nan_to_num(0.0, 0.0, 0.0)
        labels = torch.cat([space.nearest(inside[:, None]), labels], 1)
    state = Partition.of(space, labels, k)
    others: Partition | None = None
    while state.starts > 1:
        for _ in range(_ROUNDS):
            state = state.improved(space)
        if others is None:
            others = state.best(min(solutions, state.starts))
        state = state.best(-(-state.starts // 2))
    found = settled(space, _finished(space, state), k)
    if others is None or solutions == 1:
        return found
    return replace(found, near=_near(space, found, others, solutions))


def _near(
    space: Space, best: Clustering, others: Partition, solutions: int
) -> Int[Tensor, "problem solution row"]:
    """The best clustering and those starts that come near it, over and over until there are enough.

    The starts have had `_ROUNDS` rounds, which brings them within .2 % of their own optimum.
    """
    spread = space.rows[..., -1].sum(1, dtype=torch.float64)
    near = others.inertia + spread[:, None] <= (1 + NEAR) * best.inertia[:, None]
    # The start of least inertia became the best clustering, unless another overtook it later.
    near[:, 0] = True
    labels = torch.cat([best.labels[:, None], others.labels[:, 1:]], 1)
    # Near ones first, in the order of their inertia.
    order = (~near).int().argsort(dim=1, stable=True)
    turn = torch.arange(solutions, device=near.device) % near.sum(1, keepdim=True)
    chosen = order.gather(1, turn)
    return labels.gather(1, chosen[..., None].expand(-1, -1, labels.shape[2]))


def _finished(space: Space, state: Partition) -> Int[Tensor, "problem row"]:
    """Improve the one start of each problem until nothing gains."""
    result = state.labels[:, 0].clone()
    active = torch.arange(space.problems, device=result.device)
    for _ in range(_ROUNDS_AT_MOST):
        going = state.going.any(1)
        count = int(going.sum())
        if not count:
            break
        if count <= _COMPACT * len(active):
            result[active] = state.labels[:, 0]
            active, space, state = active[going], space.at(going), state.at(going)
        state = state.improved(space)
    result[active] = state.labels[:, 0]
    return result
