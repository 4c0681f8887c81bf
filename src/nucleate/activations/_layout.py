"""How a block's tensor holds states: which axes are rows, tokens, residual streams and width."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

# What a trial reads; sizes that are told apart, and seldom the number of residual streams.
ROWS, TOKENS = 5, 7


@dataclass(frozen=True)
class Layout:
    """Where the axes of states are in a tensor.

    Attributes:
        row: the axis of rows.
        token: the axis of tokens.
        residual: the axis of residual streams beside each other; None if there is one stream, or
            if they are folded into the last axis.
        count: how many residual streams there are.
    """

    row: int = 0
    token: int = 1
    residual: int | None = None
    count: int = 1

    @classmethod
    def of(cls, hidden: Tensor, width: int) -> "Layout | None":
        """The layout of a trial's states of known width; None if its axes cannot be told apart."""
        shape = list(hidden.shape)
        if hidden.ndim not in (3, 4) or shape[-1] % width:
            return None
        if (shape.count(ROWS), shape.count(TOKENS)) != (1, 1) or shape[-1] in (ROWS, TOKENS):
            return cls._by_place(shape, width)
        row, token = shape.index(ROWS), shape.index(TOKENS)
        if hidden.ndim == 3:
            return cls(row, token, None, shape[-1] // width)
        if shape[-1] != width:
            return None
        (residual,) = {0, 1, 2} - {row, token}
        return cls(row, token, residual, shape[residual])

    @classmethod
    def _by_place(cls, shape: list[int], width: int) -> "Layout | None":
        """Where sizes coincide, the usual order [row, token, width] is all that is recognized."""
        if shape == [ROWS, TOKENS, width]:
            return cls()
        return None

    @property
    def plain(self) -> bool:
        """Whether a tensor is [row, token, width] of one stream."""
        return self == Layout()

    def streams(self, hidden: Tensor) -> list[Tensor]:
        """The residual streams, each [row, token, width]."""
        if self.plain:
            return [hidden]
        if self.residual is not None:
            parts = hidden.unbind(self.residual)
        else:
            parts = hidden.chunk(self.count, dim=-1)
        swapped = self.row > self.token
        return [part.transpose(0, 1) if swapped else part for part in parts]

    def joined(self, streams: list[Tensor]) -> Tensor:
        """What `streams` was made from."""
        if self.plain:
            return streams[0]
        if self.row > self.token:
            streams = [part.transpose(0, 1) for part in streams]
        if self.residual is not None:
            from torch import stack

            return stack(streams, self.residual)
        from torch import cat

        return cat(streams, -1)


Path = tuple[int | str, ...]
"""Where a tensor is in what a module is given or returns: () is the thing itself."""


def tensors_in(given: Any) -> Iterator[tuple[Path, Tensor]]:
    """The floating tensors in what a module returns, with their places, outermost first."""
    if isinstance(given, Tensor):
        if given.is_floating_point():
            yield (), given
    elif isinstance(given, dict):
        for key, value in given.items():
            yield from (((key, *path), tensor) for path, tensor in tensors_in(value))
    elif isinstance(given, tuple | list):
        for key, value in enumerate(given):
            yield from (((key, *path), tensor) for path, tensor in tensors_in(value))


def at(given: Any, path: Path) -> Tensor:
    """The tensor at a place.

    Raises:
        LookupError: there is none.
    """
    for key in path:
        given = given[key]
    if not isinstance(given, Tensor):
        raise LookupError(f"{type(given).__name__} and no tensor")
    return given


def replaced(given: Any, path: Path, tensor: Tensor) -> Any:
    """The same with another tensor at a place; a dictionary is changed itself."""
    if not path:
        return tensor
    key, *rest = path
    inner = replaced(given[key], tuple(rest), tensor)
    if isinstance(given, dict):
        given[key] = inner
        return given
    parts = [inner if k == key else part for k, part in enumerate(given)]
    if hasattr(given, "_fields"):  # a named tuple
        return type(given)(*parts)
    return type(given)(parts)
