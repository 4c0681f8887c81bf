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
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.checkpoints._series import Series
from nucleate.checkpoints._weights import WeightFile, Weights, open_weights, weights_in

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
        unread: for each checkpoint, why its weights cannot be read; empty if they can.
        others: for each checkpoint, in what it differs from the model of most; empty if it does
            not.
        absent: for each checkpoint, files and tensors that should be there and are not.
        not_finite: for each checkpoint, tensors with a NaN or an infinite value.
        norms: Euclidean norm of all floating-point weights; NaN where one is not finite or
            cannot be read.
        sizes: bytes of each checkpoint's tensors.
        distances: Euclidean distances between the floating-point weights of any two checkpoints;
            NaN where one of them cannot be read, lacks tensors, is of another model or holds
            values that are not finite.
    """

    hashes: tuple[dict[str, str], ...]
    shapes: dict[str, tuple[int, ...]]
    unread: tuple[str, ...]
    others: tuple[str, ...]
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
        BadInput: no checkpoint can be read, or most are not of one model.
    """
    opened = cache(open_weights)
    found, unread = _found(series, opened)
    shapes = [_shapes(weights, opened) for weights in found]
    usual, others = _usual(series, found, shapes)
    walk = _Walk(series, found, unread, others, usual)
    total = sum(path.stat().st_size for weights in found for path in set(weights.home.values()))
    done = 0
    for name in dict.fromkeys(name for weights in found for name in weights.home):
        samples: dict[int, Tensor] = {}
        for index, weights in enumerate(found):
            if name not in weights.home or walk.unread[index]:
                continue
            try:
                tensor = opened(weights.home[name]).read(name)
            except BadInput as error:
                walk.unread[index] = str(error)
                continue
            sample = walk.see(index, name, tensor)
            if sample is not None and name in usual and not others[index]:
                samples[index] = sample
            done += tensor.nbytes
            progress(min(done, total), total)
        walk.compare(name, samples)
    progress(total, total)
    return walk.result()


def _found(series: Series, opened: Callable[[Path], WeightFile]) -> tuple[list[Weights], list[str]]:
    """The weights of every checkpoint, and why there are none; one bad one spoils no other."""
    found, unread = [], []
    for checkpoint in series:
        try:
            allow = checkpoint.allow_pickle
            found.append(weights_in(checkpoint.path, allow_pickle=allow, opened=opened))
            unread.append("")
        except BadInput as error:
            found.append(Weights({}, ()))
            unread.append(str(error))
    if all(unread):
        raise BadInput(unread[0])
    return found, unread


def _shapes(weights: Weights, opened: Callable[[Path], WeightFile]) -> dict[str, tuple[int, ...]]:
    return {name: opened(path).shapes[name] for name, path in weights.home.items()}


def _usual(
    series: Series, found: list[Weights], shapes: list[dict[str, tuple[int, ...]]]
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """The tensors that most checkpoints have, and who has one of them in another shape.

    What only a few have on top is not asked of all.
    """
    whole = [index for index, weights in enumerate(found) if weights.home and not weights.absent]
    whole = whole or [index for index, weights in enumerate(found) if weights.home]
    if not whole:
        return {}, [""] * len(found)
    groups = Counter(frozenset(shapes[index].items()) for index in whole)
    (common, count), *_ = groups.most_common(1)
    usual = dict(common)
    first = next(index for index in whole if shapes[index] == usual)
    others = []
    for checkpoint, own in zip(series, shapes, strict=True):
        differs = _differs(own, usual, str(checkpoint), str(series.checkpoints[first]))
        if differs and 2 * count <= len(whole):
            raise BadInput(f"{differs}; give checkpoints of one model")
        others.append(differs)
    return usual, others


def _differs(
    own: dict[str, tuple[int, ...]], usual: dict[str, tuple[int, ...]], name: str, first: str
) -> str:
    """In what tensors are those of another model; empty if they are not."""
    if own and usual.keys().isdisjoint(own):
        return f"{name} has none of the {len(usual)} tensors of {first}"
    odd = next((one for one, shape in own.items() if usual.get(one, shape) != shape), None)
    if odd is None:
        return ""
    return f"{odd} is {list(own[odd])} in {name} and {list(usual[odd])} in {first}"


class _Walk:
    """Collects hash, norm and distances of each tensor of each checkpoint."""

    def __init__(
        self,
        series: Series,
        found: list[Weights],
        unread: list[str],
        others: list[str],
        usual: dict[str, tuple[int, ...]],
    ) -> None:
        count = len(series)
        self.unread = unread
        self._found, self._others, self._usual = found, others, usual
        self._hashes: list[dict[str, str]] = [{} for _ in found]
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._bad: list[list[str]] = [[] for _ in found]
        self._squares = np.zeros(count)
        self._sizes = [0] * count
        self._distances = np.zeros((count, count))

    def see(self, index: int, name: str, tensor: Tensor) -> Tensor | None:
        """Hash and measure one tensor; a sample of its values comes back where it has reals."""
        self._shapes.setdefault(name, self._usual.get(name, tuple(tensor.shape)))
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

    def result(self) -> Scan:
        absent = []
        for index, weights in enumerate(self._found):
            known = weights.absent or self.unread[index] or self._others[index]
            absent.append((*weights.absent, *sorted(self._usual.keys() - weights.home.keys()))
                          if not known else weights.absent)  # fmt: skip
        hidden = np.array([bool(one) for one in self.unread])
        apart = hidden | [bool(a or b or c) for a, b, c in zip(
            self._others, absent, self._bad, strict=True)]  # fmt: skip
        distances = np.sqrt(self._distances)
        distances[apart, :] = distances[:, apart] = np.nan
        unknown = hidden | [bool(bad) for bad in self._bad]
        return Scan(
            hashes=tuple(
                {} if gone else tensors for gone, tensors in zip(hidden, self._hashes, strict=True)
            ),
            shapes=self._shapes,
            unread=tuple(self.unread),
            others=tuple(self._others),
            absent=tuple(absent),
            not_finite=tuple(map(tuple, self._bad)),
            norms=np.where(unknown, np.nan, np.sqrt(self._squares)),
            sizes=tuple(self._sizes),
            distances=distances,
        )


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
