"""Where an intervention acts: streams by name, and tokens counted within their own row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import index as as_index
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations import check_readable, stream_names
from nucleate.intervene._passes import Pass
from nucleate.runs import index_of

_NAMED = {"first": 0, "last": -1}


@dataclass(frozen=True)
class Onwards:
    """A place and all later ones: streams if it is a name, tokens if it is a number or numbers.

    `Onwards("block.3")` ends with `final_norm`; `Onwards(-1)` is the last token of the prompt and
    every token that is generated after it.

    Attributes:
        start: a stream's name; or a token, or one token a row, counted as for `shift`.
    """

    start: SupportsIndex | str | Tensor | np.ndarray


Stream = str | Sequence[str] | Onwards
TokenPosition = SupportsIndex | str | Sequence[int] | Tensor | np.ndarray | Onwards


def streams_at(model: nn.Module, stream: Stream) -> frozenset[int]:
    """The indices of the streams that are named.

    Raises:
        BadInput: no such stream, or none at all.
    """
    check_readable(model)
    names = stream_names(model)
    if isinstance(stream, Onwards):
        first = index_of(str(stream.start), names, "stream")
        return frozenset(range(first, len(names)))
    given: Any = [stream] if isinstance(stream, str) or not isinstance(stream, Iterable) else stream
    wanted = list(given)
    if not wanted:
        raise BadInput(f"no stream is named; choose of {', '.join(names)}")
    return frozenset(index_of(str(name), names, "stream") for name in wanted)


@dataclass(frozen=True)
class Selected:
    """The columns of one pass that an intervention acts on, and where in the given values each is.

    Attributes:
        row: of the batch.
        column: of the pass.
        slot: which of the row's chosen tokens it is.
    """

    row: Int[Tensor, "edit"]
    column: Int[Tensor, "edit"]
    slot: Int[Tensor, "edit"]

    def to(self, device: torch.device) -> "Selected":
        """The same on another device."""
        return Selected(self.row.to(device), self.column.to(device), self.slot.to(device))


class Tokens:
    """Chosen tokens of every row, counted in the row: padding on either side is not counted.

    Args:
        position: as for `shift`.

    Raises:
        BadInput: what is no position.
    """

    def __init__(self, position: TokenPosition) -> None:
        if isinstance(position, str) and position == "all":
            position = Onwards(0)
        self._onwards = isinstance(position, Onwards)
        start: Any = position.start if isinstance(position, Onwards) else position
        self._everything = self._onwards and isinstance(start, int) and start == 0
        self._a_row = isinstance(start, Tensor | np.ndarray) and start.ndim > 0
        self._tokens = _as_tokens(start)
        self._last: tuple[Pass, Selected] | None = None
        if self._onwards and self._tokens.shape[1] != 1:
            raise BadInput(
                f"Onwards begins at {self._tokens.shape[1]} tokens of a row; give it one token, or "
                "one a row"
            )

    def marked(self, now: Pass, columns: int) -> Bool[Tensor, "row column many"]:
        """Which of the pass's last columns is which of the chosen tokens.

        From here on: which columns are in it, as the only one of many.
        """
        tokens = now.tokens[:, -columns:, None]
        if self._everything:
            return tokens >= 0
        wanted = self._wanted(now)[:, None, :]
        return (tokens >= wanted) if self._onwards else (tokens == wanted)

    def selected(self, now: Pass) -> Selected:
        """The columns that run in this pass and are chosen; the same for all its streams."""
        if self._last is not None and self._last[0] is now:
            return self._last[1]
        row, column, slot = self.marked(now, now.new).nonzero(as_tuple=True)
        if self._onwards:
            first = 0 if self._everything else self._wanted(now)[row, 0]
            slot = now.tokens[:, -now.new :][row, column] - first
        found = Selected(row, column, slot)
        self._last = now, found
        return found

    def _wanted(self, now: Pass) -> Int[Tensor, "row many"]:
        """The chosen tokens, counted from 0."""
        if now.unknown:
            raise BadInput(now.unknown)
        tokens = self._tokens.to(now.tokens.device)
        tokens = now.of_rows(tokens, "the position") if self._a_row else tokens
        wanted = torch.where(tokens < 0, tokens + now.prompt[:, None], tokens)
        outside = (wanted < 0) | (wanted >= now.prompt[:, None] + self._onwards)
        if outside.any():
            row, place = outside.nonzero()[0].tolist()
            token = int(tokens.expand_as(wanted)[row, place])
            raise BadInput(
                f"position {token} is beyond row {row}, which has {int(now.prompt[row])} tokens; "
                "choose tokens that every row has"
            )
        return wanted


def name_of(position: TokenPosition) -> str | None:
    """What a prompt set calls a position; None for an array, which may be any."""
    if isinstance(position, Onwards):
        return "all" if isinstance(position.start, int) and position.start == 0 else "several"
    if isinstance(position, str):
        return position
    if isinstance(position, Tensor | np.ndarray):
        return None
    if isinstance(position, Sequence):
        return name_of(position[0]) if len(position) == 1 else "several"
    names = {number: name for name, number in _NAMED.items()}
    return names.get(as_index(position), str(as_index(position)))


def _as_tokens(start: Any) -> Int[Tensor, "row many"]:
    """Token numbers as given: of every row if they are arrays, of all rows alike if not."""
    if isinstance(start, str):
        if start not in _NAMED:
            raise BadInput(
                f"{start!r} is no position of a forward pass; choose 'first', 'last', 'all', or "
                f"numbers: those of a prompt set are prompts.positions[{start!r}]"
            )
        start = _NAMED[start]
    if isinstance(start, Tensor | np.ndarray) and start.ndim > 0:
        tokens = torch.as_tensor(start)
        if tokens.is_floating_point() or tokens.dtype == torch.bool or tokens.ndim > 2:
            raise BadInput(
                f"the position is an array of {tokens.dtype} of shape {tuple(tokens.shape)}; give "
                "whole numbers of shape [row] or [row, many]"
            )
        return tokens.long() if tokens.ndim == 2 else tokens.long()[:, None]
    try:
        numbers = [as_index(t) for t in (start if isinstance(start, Sequence) else [start])]
    except TypeError:
        raise BadInput(
            f"{start!r} is no position; choose 'first', 'last', 'all', a number, several, one a "
            "row as an array, or Onwards(...)"
        ) from None
    return torch.tensor([numbers], dtype=torch.long)
