"""One streaming pass over the weights of a whole series: hashes, norms, distances.

Tensor by tensor, and within a tensor checkpoint by checkpoint: every byte is read once, and no
more than one tensor and small samples of it are in memory.
"""

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.checkpoints._series import Series
from nucleate.checkpoints._weights import Weights, open_weights, weights_in

# Places of a tensor that distances are estimated from; smaller tensors are compared whole.
SAMPLED = 1 << 13
# Values that are squared at a time: few enough for a core's own cache, which is 8 times as fast.
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Scan:
    """What a pass over a series found.

    Attributes:
        hashes: for each checkpoint, tensor name -> SHA-256 of its dtype, shape and bytes.
        shapes: tensor name -> its shape.
        absent: for each checkpoint, files and tensors that should be there and are not.
        not_finite: for each checkpoint, tensors with a NaN or an infinite value.
        norms: Euclidean norm of all floating-point weights; NaN where one is not finite.
        sizes: bytes of each checkpoint's tensors.
        distances: Euclidean distances between the floating-point weights of any two checkpoints;
            NaN where one of them lacks tensors or holds values that are not finite.
    """

    hashes: tuple[dict[str, str], ...]
    shapes: dict[str, tuple[int, ...]]
    absent: tuple[tuple[str, ...], ...]
    not_finite: tuple[tuple[str, ...], ...]
    norms: Float[np.ndarray, "checkpoint"]
    sizes: tuple[int, ...]
    distances: Float[np.ndarray, "checkpoint checkpoint"]


def scan(series: Series, progress: Callable[[int, int], None]) -> Scan:
    """Read every weight of a series once.

    Args:
        series: of one model.
        progress: told the bytes read and the bytes in all.

    Raises:
        BadInput: a file is damaged or pickled, or the checkpoints are of different models.
    """
    opened = cache(open_weights)
    found = [weights_in(c.path, allow_pickle=c.allow_pickle, opened=opened) for c in series]
    names = _usual_names(found)
    walk = _Walk(series, found, names)
    total = sum(path.stat().st_size for weights in found for path in set(weights.home.values()))
    done = 0
    for name in dict.fromkeys(name for weights in found for name in weights.home):
        samples: dict[int, Tensor] = {}
        for index, weights in enumerate(found):
            if name not in weights.home:
                continue
            tensor = opened(weights.home[name]).read(name)
            sample = walk.see(index, name, tensor)
            if sample is not None and name in names:
                samples[index] = sample
            done += tensor.nbytes
            progress(min(done, total), total)
        walk.compare(name, samples)
    progress(total, total)
    return walk.result(names)


class _Walk:
    """Collects hash, norm and distances of each tensor of each checkpoint."""

    def __init__(self, series: Series, found: list[Weights], names: set[str]) -> None:
        count = len(series)
        self._checkpoints = series.checkpoints
        self._found = found
        self._hashes: list[dict[str, str]] = [{} for _ in found]
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._first: dict[str, int] = {}
        self._bad: list[list[str]] = [[] for _ in found]
        self._squares = np.zeros(count)
        self._sizes = [0] * count
        self._distances = np.zeros((count, count))
        self._names = names

    def see(self, index: int, name: str, tensor: Tensor) -> Tensor | None:
        """Hash and measure one tensor; a sample of its values comes back where it has reals."""
        shape = tuple(tensor.shape)
        first = self._first.setdefault(name, index)
        if self._shapes.setdefault(name, shape) != shape:
            raise BadInput(
                f"{name} is {list(self._shapes[name])} in {self._checkpoints[first]} and "
                f"{list(shape)} in {self._checkpoints[index]}; give checkpoints of one model"
            )
        self._hashes[index][name] = _hash(tensor)
        self._sizes[index] += tensor.nbytes
        if not tensor.is_floating_point() or not tensor.numel():
            return None
        flat = tensor.reshape(-1)
        square = 0.0
        for at in range(0, flat.numel(), _CHUNK):
            chunk = flat[at : at + _CHUNK].double()
            square += float(chunk.dot(chunk))
        self._squares[index] += square
        # A sum of squares in float64 is finite exactly if every float32 or half value is.
        if not np.isfinite(square):
            self._bad[index].append(name)
        return flat[_places(name, flat.numel())].double()

    def compare(self, name: str, samples: dict[int, Tensor]) -> None:
        """Add one tensor's part to the squared distances of all pairs that have it."""
        sound = [index for index in samples if name not in self._bad[index]]
        if not sound:
            return
        values = torch.stack([samples[index] for index in sound])
        # Differences from a middle one first: the products below lose fewer digits.
        values = values - values[len(values) // 2].clone()
        size = int(np.prod(self._shapes[name]))
        products = values @ values.T
        lengths = products.diagonal()
        squares = (lengths[:, None] + lengths[None, :] - 2 * products).clamp_min(0)
        self._distances[np.ix_(sound, sound)] += squares.numpy() * (size / values.shape[1])

    def result(self, names: set[str]) -> Scan:
        absent = []
        for weights in self._found:
            lost = sorted(names - weights.home.keys()) if not weights.absent else []
            absent.append((*weights.absent, *lost))
        distances = np.sqrt(self._distances)
        for index, files in enumerate(absent):
            if files or self._bad[index]:
                distances[index, :] = distances[:, index] = np.nan
        return Scan(
            hashes=tuple(self._hashes),
            shapes=self._shapes,
            absent=tuple(absent),
            not_finite=tuple(map(tuple, self._bad)),
            norms=np.where([bool(bad) for bad in self._bad], np.nan, np.sqrt(self._squares)),
            sizes=tuple(self._sizes),
            distances=distances,
        )


def _usual_names(found: list[Weights]) -> set[str]:
    """The tensors that most checkpoints have; what only a few have on top is not asked of all."""
    sets = Counter(frozenset(weights.home) for weights in found if not weights.absent)
    if not sets:
        sets = Counter(frozenset(weights.home) for weights in found)
    (usual, _), *_ = sets.most_common(1)
    return set(usual)


def _hash(tensor: Tensor) -> str:
    digest = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _places(name: str, size: int) -> Tensor:
    """The places at which a tensor is sampled: the same for every checkpoint."""
    if size <= SAMPLED:
        return torch.arange(size)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randint(size, (SAMPLED,), generator=generator)
