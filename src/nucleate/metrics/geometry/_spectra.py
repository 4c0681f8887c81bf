"""The shape of a cloud of states: its axes, its dimension, its neighbors."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nucleate._core.arguments import check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_states, centered, lead_of, shape_of, shaped
from nucleate.metrics._labels import groups_or_rows

_ROUNDING = 1e-5
"""Distances below this share of the spread, and spreads of this share of the mean, are none."""


def squared_distances(points: Float[Tensor, "row width"]) -> Float[Tensor, "row row"]:
    """Squared Euclidean distances between centered rows."""
    distances = torch.addmm(torch.zeros((), dtype=points.dtype, device=points.device),
                            points, points.T, alpha=-2)  # fmt: skip
    length = distances.diagonal().mul(-0.5)
    distances += length[:, None]
    distances += length
    return distances.clamp_(min=0)


@dataclass(frozen=True)
class Spectrum:
    """Variances of states along their principal axes, and what follows from them.

    Attributes:
        variances: along each principal axis, the largest first; NaN where states are not finite.
    """

    variances: Float[np.ndarray, "*place axis"]

    @property
    def rankme(self) -> np.ndarray | float:
        """Effective number of axes: exp of the entropy of the shares of the singular values.

        RankMe (Garrido et al. 2023), here of centered rows, so that a large mean does not count
        as an axis. 1 to the width; 0 for states that do not vary. Faint axes count for much: it
        weighs standard deviations, where `participation_ratio` weighs variances.
        """
        from scipy.special import entr

        deviations = np.sqrt(self.variances)
        total = deviations.sum(-1, keepdims=True)
        entropy = entr(deviations / np.where(total > 0, total, 1)).sum(-1)
        return _plain(np.where(total[..., 0] == 0, 0.0, np.exp(entropy)))

    @property
    def participation_ratio(self) -> np.ndarray | float:
        """Effective number of axes: squared sum of the variances over the sum of their squares.

        1 to the width; 0 for states that do not vary (Gao et al. 2017). With few rows it is too
        small: isotropic noise in d dimensions gives about d / (1 + d / rows).
        """
        squares = np.square(self.variances).sum(-1)
        total = self.variances.sum(-1)
        return _plain(np.square(total) / np.where(squares > 0, squares, 1))

    def top_share(self, n_components: int = 1) -> np.ndarray | float:
        """Share of the variance that the leading axes hold, 0 to 1; 0 for constant states."""
        check_whole("n_components", n_components, least=1)
        total = self.variances.sum(-1)
        leading = self.variances[..., :n_components].sum(-1)
        return _plain(leading / np.where(total > 0, total, 1))


def spectrum(x: ArrayLike) -> Spectrum:
    """Find the variances along the principal axes, once for all numbers that need them.

    Args:
        x: states `[*place row width]`.

    Returns:
        As many variances as there are dimensions, or rows if those are fewer.

    Raises:
        BadInput: fewer than two rows.
    """
    points, finite = centered(x, double=True)
    _, rows, width = points.shape
    product = points.mT @ points if width <= rows else points @ points.mT
    values = torch.linalg.eigvalsh(product).flip(-1) / (rows - 1)
    # What rounding leaves of axes that do not exist would count in RankMe, which takes roots.
    values = values.where(values > 1e-14 * values[:, :1], 0)
    values = values.where(finite[:, None], torch.nan)
    return Spectrum(values.cpu().numpy().reshape(*lead_of(x), -1))


def rankme(x: ArrayLike) -> np.ndarray | float:
    """Effective number of axes, `Spectrum.rankme`. It says nothing about tasks."""
    return spectrum(x).rankme


def participation_ratio(x: ArrayLike) -> np.ndarray | float:
    """Effective number of axes, `Spectrum.participation_ratio`. It says nothing about tasks."""
    return spectrum(x).participation_ratio


def top_share(x: ArrayLike, n_components: int = 1) -> np.ndarray | float:
    """Share of the variance that the leading principal n_components hold, `Spectrum.top_share`."""
    return spectrum(x).top_share(n_components)


def mean_norm(x: ArrayLike) -> np.ndarray | float:
    """Mean length of the states as they are: not centered, not standardized.

    Args:
        x: states `[*place row width]`.

    Returns:
        From 0. A residual stream grows from block to block, whatever the tasks.

    Raises:
        BadInput: fewer than two rows.
    """
    return shaped(as_states(x).double().norm(dim=2).mean(1), x)


def norm_spread(x: ArrayLike) -> np.ndarray | float:
    """Standard deviation of the lengths of the states, over their mean.

    Args:
        x: states `[*place row width]`.

    Returns:
        From 0, which constant states have. A few tokens of enormous length (attention sinks) show
        here.

    Raises:
        BadInput: fewer than two rows.
    """
    lengths = as_states(x).double().norm(dim=2)
    mean = lengths.mean(1)
    spread = lengths.std(1, correction=0) / mean.where(mean != 0, 1)
    return shaped(spread.where(~(spread <= _ROUNDING), 0), x)


def two_nn(x: ArrayLike, *, discard: float = 0.1) -> np.ndarray | float:
    """Intrinsic dimension from the ratio of each row's two nearest distances (Facco et al. 2017).

    Args:
        x: states `[*place row width]`.
        discard: the share of largest ratios that is left out of the fit, 0 to below 1.

    Returns:
        The dimension. 0 for constant states, NaN where fewer than three rows differ. Rows that
        equal an earlier one, up to rounding, are left out. It is the dimension at the scale of
        the nearest neighbors: within a cluster, not of the arrangement of the clusters, and
        too small in many dimensions (isotropic noise in 96 of them and 600 rows: about 45). All
        distances of a place are held at once.

    Raises:
        BadInput: fewer than two rows, or a share out of range.
    """
    check_number("discard", discard)
    if not 0 <= discard < 1:
        raise BadInput(f"discard is {discard}; give a share of 0 to below 1")
    points, finite = centered(x, double=True)
    values = torch.tensor([_two_nn(place, discard) for place in points])
    return shaped(values.where(finite.cpu(), torch.nan), x)


def _two_nn(points: Tensor, discard: float) -> float:
    distances = squared_distances(points)
    scale = float(points.square().sum(1).mean())
    if scale == 0:
        return 0.0
    equal = distances <= _ROUNDING**2 * scale
    if int(equal.sum()) > len(points):
        first = equal.to(torch.uint8).argmax(1)
        kept = first == torch.arange(len(points), device=points.device)
        distances = distances[kept][:, kept]
    count = len(distances)
    kept_ratios = min(int(count * (1 - discard)), count - 1)
    if kept_ratios < 2:
        return float("nan")
    nearest, second = _two_smallest(distances.fill_diagonal_(torch.inf))
    ratio = (second / nearest).log().div(2).sort().values[:kept_ratios]
    beyond = 1 - torch.arange(1, kept_ratios + 1, device=ratio.device).double() / count
    square = float(ratio @ ratio)
    return float(ratio @ -beyond.log()) / square if square > 0 else float("nan")


def _two_smallest(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Two minima cost less than `topk`; overwrites `distances`."""
    smallest, at = distances.min(1)
    distances.scatter_(1, at[:, None], torch.inf)
    return smallest, distances.amin(1)


def neighborhood_overlap(
    x: ArrayLike,
    other: ArrayLike,
    *,
    n_neighbors: int = 10,
    groups: ArrayLike | None = None,
) -> np.ndarray | float:
    """Share of each row's nearest neighbors that it keeps, between two readings of the same rows.

    Args:
        x: states `[*place row width]`, of one layer or step.
        other: the same places and rows at another layer or step, `[*place row any]`.
        n_neighbors: how many of each row count.
        groups: `[row]`, such as instruction strings; neighbors of the same group never count.
            Without them rows of one string, always near each other, lift every value.

    Returns:
        0 to 1; n_neighbors / (rows - 1) on average by chance (Doimo et al. 2020). 0 where either
        is constant.

    Raises:
        BadInput: other places or rows, or some row has too few others to be its neighbors.
    """
    a, b, finite = paired(x, other)
    rows = a.shape[1]
    own = groups_or_rows(groups, a)
    check_whole("n_neighbors", n_neighbors)
    most = int(torch.bincount(own).max())
    if not 1 <= n_neighbors <= rows - most:
        raise BadInput(
            f"{n_neighbors} neighbors cannot be found among {rows} rows of which up to {most} are "
            f"left out; ask for 1 to {rows - most}, or give more rows"
        )
    same = own[:, None] == own
    values = [
        (_near(p, same, n_neighbors) & _near(q, same, n_neighbors)).double().sum()
        / rows
        / n_neighbors
        if bool(p.any()) and bool(q.any())
        else p.new_zeros(())
        for p, q in zip(a, b, strict=True)
    ]
    return shaped(torch.stack(values).where(finite, torch.nan), x)


def _near(points: Tensor, same: Tensor, neighbors: int) -> Bool[Tensor, "row row"]:
    # The choice of the nearest needs no float64, and takes half the time without.
    distances = squared_distances(points).float().masked_fill_(same, torch.inf)
    nearest = distances.topk(neighbors, largest=False, sorted=False).indices
    return torch.zeros_like(same).scatter_(1, nearest, True)


def paired(x: ArrayLike, other: ArrayLike) -> tuple[Tensor, Tensor, Bool[Tensor, "place"]]:
    """Center two readings of the same rows, and say where both are finite."""
    if shape_of(x)[:-1] != shape_of(other)[:-1]:
        raise BadInput(
            f"states of shapes {list(shape_of(x))} and {list(shape_of(other))} cannot be compared; "
            "give the same places and rows, in the same order"
        )
    (a, first), (b, second) = centered(x, double=True), centered(other, double=True)
    return a, b.to(a.device), first & second.to(a.device)


def gaussian_twin(
    x: ArrayLike, n_draws: int = 1, *, seed: int = 0
) -> Float[Tensor, "draw *place row width"]:
    """Draw states without any clusters: from one Gaussian with the mean and covariance of x.

    The null N3, "any clusters at all?". A covariance of low rank stays of that rank.

    Args:
        x: states `[*place row width]`.
        n_draws: how many.
        seed: of the draws.

    Returns:
        In the dtype of x, at least float32. NaN for places that are not finite. It keeps what the
        covariance holds, and clusters that are elongated in one direction are still cut in two by
        any k-means.

    Raises:
        BadInput: fewer than two rows.
    """
    check_whole("n_draws", n_draws, least=1)
    check_whole("seed", seed, least=0)
    states = as_states(x)
    points, finite = centered(x, double=True)
    places, rows, _ = points.shape
    _, scale, axes = torch.linalg.svd(points, full_matrices=False)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(
        n_draws, places, rows, scale.shape[1], generator=generator, dtype=torch.float64
    )
    drawn = noise.to(points.device) @ (scale[..., None] * axes / (rows - 1) ** 0.5)
    drawn += states.double().mean(1, keepdim=True)
    drawn = drawn.where(finite[:, None, None], torch.nan)
    result: Tensor = drawn.to(states.dtype).reshape(n_draws, *shape_of(x))
    return result


def _plain(values: np.ndarray | np.float64) -> np.ndarray | float:
    return values if isinstance(values, np.ndarray) and values.ndim else float(values)
