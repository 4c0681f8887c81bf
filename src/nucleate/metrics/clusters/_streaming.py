"""K-means of more rows than fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.arguments import check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_tensor, rounding_of
from nucleate.metrics.clusters._kmeans import kmeans

_SAMPLE_A_CLUSTER = 200
_SAMPLE_AT_LEAST = 20_000
_SAME = 1e-12


@runtime_checkable
class Rows(Protocol):
    """Anything with a shape [row width] that gives some rows for a slice: arrays, memory maps."""

    @property
    def shape(self) -> Any:
        """Rows and width."""

    def __getitem__(self, index: slice, /) -> Any:
        """Rows as a tensor or array."""


@dataclass(frozen=True)
class Streamed:
    """A clustering of rows that were read in chunks.

    Attributes:
        labels: int32, the nearest centroid of each row.
        inertia: the sum of squared distances of the rows to their centroids, in the coordinates
            that were clustered (z-scores where they were asked for).
        centroids: in these coordinates; the means of their rows but for what a last pass, which
            gained less than the tolerance, would still have moved them.
        mean: what was subtracted from rows to come to these coordinates; zeros without z-scores.
        scale: what they were then divided by; ones without z-scores.
        passes: how often all rows were assigned before the last, exact time.
        converged: the last pass gained less than the tolerance, and no cluster was empty.
    """

    labels: Int[Tensor, "row"]
    inertia: float
    centroids: Float[Tensor, "cluster width"]
    mean: Float[Tensor, "width"]
    scale: Float[Tensor, "width"]
    passes: int
    converged: bool


def kmeans_streaming(
    source: Rows | str | Path | Sequence[str | Path] | ArrayLike,
    k: int,
    *,
    tensor: str = "",
    standardized: bool = False,
    chunk_rows: int = 16_384,
    max_iter: int = 50,
    tol: float = 1e-4,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Streamed:
    """Cluster rows that stay on disk, with a few chunks of them in memory at a time.

    One pass takes means, deviations and a random sample. `kmeans` of the sample gives the first
    centroids. Passes of Lloyd's algorithm over all rows follow until one lowers the inertia by
    less than `tol` of itself and leaves no cluster empty; clusters that lose all rows are
    put on the rows that are farthest from their centroids. A last pass assigns exactly.

    Memory: the chunk twice in float32, `chunk_rows` x k distances twice, 4 bytes per row for
    labels, and the sample (200 rows per cluster, at least 20,000).

    Args:
        source: one or more safetensors files whose rows follow one another, or anything of shape
            [row width] that can be sliced; any float type.
        k: number of clusters, 1 to the number of rows.
        tensor: the name of the tensor in the files, of shape [row width].
        standardized: cluster z-scores; dimensions that do not vary beyond rounding become 0.
        chunk_rows: rows read at a time; changes the result by rounding only.
        max_iter: the most passes, not counting the first and the last.
        tol: a share of the inertia.
        seed: decides the sample and the seeds.
        device: where distances are computed.

    Raises:
        BadInput: no such file or tensor; other shapes; k out of range; NaN or infinity in a row.
    """
    check_whole("k", k)
    check_whole("chunk_rows", chunk_rows)
    check_whole("max_iter", max_iter)
    check_whole("seed", seed, least=0)
    check_number("tol", tol)
    rows = _rows_of(source, tensor)
    count, width = _shape(rows)
    _check(k, count, chunk_rows, max_iter)
    sample = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    sample = sample[: max(_SAMPLE_AT_LEAST, _SAMPLE_A_CLUSTER * k)].sort().values
    stream = _Stream(rows, count, width, chunk_rows, torch.device(device))
    chosen = stream.look(sample, standardized)
    centroids = kmeans(chosen[None], k, n_init=10, seed=seed).centroids[0]
    previous, done, converged = float("inf"), 0, False
    while done < max_iter:
        found = stream.assign(centroids)
        done += 1
        converged = found.filled and found.inertia >= (1 - tol) * previous
        if converged:
            break
        centroids, previous = found.next_centroids(), found.inertia
    last = stream.assign(centroids, exact=True)
    return Streamed(
        last.labels,
        last.inertia,
        centroids.cpu(),
        stream.mean.float().cpu(),
        stream.scale.cpu(),
        done,
        converged,
    )


@dataclass
class _Pass:
    """What one pass over all rows gives.

    Attributes:
        farthest, cost: the rows farthest from their centroids, and how far.
        threshold: squared distances below it are rounding.
    """

    labels: Int[Tensor, "row"]
    sums: Float[Tensor, "cluster width"]
    counts: Float[Tensor, "cluster"]
    inertia: float
    farthest: Float[Tensor, "many width"]
    cost: Float[Tensor, "many"]
    threshold: float

    @property
    def filled(self) -> bool:
        """No cluster is empty that could have a row."""
        return not bool(self._empty().any() and (self.cost > self.threshold).any())

    def next_centroids(self) -> Float[Tensor, "cluster width"]:
        """Means; those of empty clusters on the farthest rows."""
        means = (self.sums / self.counts.clamp(min=1)[:, None]).float()
        empty = self._empty().nonzero().flatten()[: len(self.cost)]
        usable = self.cost[: len(empty)] > self.threshold
        means[empty[usable]] = self.farthest[: len(empty)][usable]
        return means

    def _empty(self) -> Tensor:
        return self.counts == 0


class _Stream:
    """Rows in chunks, in the coordinates that are clustered."""

    def __init__(
        self, rows: Rows, count: int, width: int, chunk_rows: int, device: torch.device
    ) -> None:
        self._rows, self._count, self._width = rows, count, width
        self._chunk_rows, self._device = chunk_rows, device
        self.mean = torch.zeros(width, dtype=torch.float64, device=device)
        self.scale = torch.ones(width, device=device)
        self._spread = 0.0

    def look(self, sample: Int[Tensor, "some"], standardized: bool) -> Float[Tensor, "some width"]:
        """Take means and deviations; the sampled rows, in the new coordinates."""
        seen, kept, rounding = 0, [], 1.0
        mean = torch.zeros(self._width, dtype=torch.float64, device=self._device)
        squares, magnitude = torch.zeros_like(mean), torch.zeros_like(mean)
        for start, x in self._chunks():
            _refuse_broken(x, start)
            rounding = min(rounding, rounding_of(x))
            inside = sample[(sample >= start) & (sample < start + len(x))] - start
            kept.append(x[inside.to(x.device)])
            # Chan, Golub and LeVeque (1979): no difference of large numbers.
            own = x.mean(0, dtype=torch.float64)
            squares += (x - own.to(x)).square().sum(0, dtype=torch.float64)
            squares += (own - mean).square() * (seen * len(x) / (seen + len(x)))
            mean += (own - mean) * (len(x) / (seen + len(x)))
            magnitude = torch.maximum(magnitude, x.abs().amax(0).double())
            seen += len(x)
        deviation = (squares / seen).sqrt()
        self.mean = mean
        if standardized:
            varies = deviation > rounding * magnitude
            self.scale = deviation.where(varies, torch.inf).float()
        self._spread = float((squares / self.scale.square()).sum() / seen)
        return self._moved(torch.cat(kept))

    def assign(self, centroids: Float[Tensor, "cluster width"], *, exact: bool = False) -> _Pass:
        """Assign all rows; `exact` takes the inertia from differences, without cancellation."""
        k, width = centroids.shape
        labels = torch.empty(self._count, dtype=torch.int32)
        sums = torch.zeros(k, width, dtype=torch.float64, device=self._device)
        counts = torch.zeros(k, dtype=torch.float64, device=self._device)
        farthest, cost = centroids[:0], centroids[:0, 0]
        inertia = 0.0
        half = centroids.square().sum(1, keepdim=True) / 2
        for start, x in self._chunks():
            x = self._moved(x)
            least, nearest = torch.addmm(half, centroids, x.mT, alpha=-1).min(0)
            costs = (x.square().sum(1) + 2 * least).clamp_(min=0)
            if exact:
                costs = (x - centroids[nearest]).square().sum(1)
            else:
                member = x.new_zeros(k, len(x)).scatter_(0, nearest[None], 1.0)
                sums += member @ x
                counts += member.sum(1)
                cost, farthest = _farthest(cost, farthest, costs, x, k)
            labels[start : start + len(x)] = nearest.int().cpu()
            inertia += float(costs.sum(dtype=torch.float64))
        return _Pass(labels, sums, counts, inertia, farthest, cost, _SAME * self._spread)

    def _moved(self, x: Float[Tensor, "some width"]) -> Float[Tensor, "some width"]:
        return (x - self.mean.to(x)).float() / self.scale

    def _chunks(self) -> Iterator[tuple[int, Float[Tensor, "some width"]]]:
        for start in range(0, self._count, self._chunk_rows):
            part = self._rows[start : min(start + self._chunk_rows, self._count)]
            yield start, as_tensor(part, least_rows=1).to(self._device)


def _farthest(
    cost: Tensor, rows: Tensor, costs: Tensor, x: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """The k farthest rows of those kept and a new chunk, by distance."""
    new_cost, index = costs.topk(min(k, len(costs)))
    every = torch.cat([cost, new_cost])
    kept = every.topk(min(k, len(every))).indices
    return every[kept], torch.cat([rows, x[index]])[kept]


def _refuse_broken(x: Tensor, start: int) -> None:
    broken = ~torch.isfinite(x).all(1)
    if bool(broken.any()):
        row = start + int(broken.nonzero()[0])
        raise BadInput(f"row {row} holds NaN or infinity; leave such rows out")


class _Files:
    """Rows of a tensor in safetensors files, one after another.

    A file is opened for each chunk: the pages of an open one would count as resident memory.
    """

    def __init__(self, paths: Sequence[Path], tensor: str) -> None:
        self._tensor, self._parts = tensor, list[tuple[int, int, Path]]()
        self.shape, start = (0, 0), 0
        for path in paths:
            shape = self._shape_in(path)
            if len(shape) != 2 or (self._parts and shape[1] != self.shape[1]):
                raise BadInput(
                    f"tensor {tensor!r} of {path} has shape {shape}; give files whose tensor is "
                    "[row, width], of one width"
                )
            self._parts.append((start, start + shape[0], path))
            start += shape[0]
            self.shape = (start, shape[1])

    def __getitem__(self, index: slice) -> Tensor:
        from safetensors import safe_open

        found = []
        for first, end, path in self._parts:
            low, high = max(index.start, first), min(index.stop, end)
            if low < high:
                with safe_open(path, framework="pt") as file:
                    found.append(file.get_slice(self._tensor)[low - first : high - first].clone())
        return torch.cat(found)

    def _shape_in(self, path: Path) -> list[int]:
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            raise BadInput(f"{path} is not a file; give paths of safetensors files")
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
                if self._tensor in names:
                    return list(file.get_slice(self._tensor).get_shape())
        except SafetensorError as error:
            raise BadInput(f"{path} is not a safetensors file ({error}); convert it") from error
        raise BadInput(
            f"{path} has no tensor {self._tensor!r}; give tensor= one of {', '.join(names)}"
        )


def _rows_of(source: ArrayLike, tensor: str) -> Rows:
    if isinstance(source, str | Path):
        return _Files([Path(source)], tensor)
    if isinstance(source, Rows):
        return source
    if isinstance(source, Sequence) and not source:
        raise BadInput("no file was given; give at least one safetensors file")
    if isinstance(source, Sequence) and all(isinstance(path, str | Path) for path in source):
        return _Files([Path(path) for path in source], tensor)
    return as_tensor(source)


def _shape(rows: Rows) -> tuple[int, int]:
    shape = tuple(rows.shape)
    if len(shape) != 2:
        raise BadInput(f"rows of shape {list(shape)} cannot be streamed; give [row, width]")
    return int(shape[0]), int(shape[1])


def _check(k: int, count: int, chunk_rows: int, passes: int) -> None:
    if not 1 <= k <= count:
        raise BadInput(
            f"{k} clusters of {count} rows cannot be found; ask for 1 to {count} clusters, "
            "or give more rows"
        )
    if chunk_rows < 1 or passes < 1:
        raise BadInput(
            f"chunks of {chunk_rows} rows and {passes} passes cluster nothing; give at least 1"
        )
