"""Where an intervention acts: streams by name, and tokens counted within their own row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import signature
from operator import index as as_index
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations import anatomy_of, stream_names, unwrapped
from nucleate.runs import index_of

# What models call the keys, values or states of the tokens before, in various versions.
_CACHES = ("cache", "past_key_values", "cache_params", "state")
_NAMED = {"first": 0, "last": -1}

# Which rows of the values that are given one a row a pass reads; None: all, in order.
_rows_read: ContextVar[Tensor | None] = ContextVar("rows_read", default=None)


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
    names = stream_names(model)
    if isinstance(stream, Onwards):
        first = index_of(str(stream.start), names, "stream")
        return frozenset(range(first, len(names)))
    wanted = [stream] if isinstance(stream, str) else list(stream)
    if not wanted:
        raise BadInput(f"no stream is named; choose of {', '.join(names)}")
    return frozenset(index_of(name, names, "stream") for name in wanted)


@contextmanager
def reading_rows(rows: Int[Tensor, "row"]) -> Iterator[None]:
    """Say which rows of the values that are given one a row the passes inside read."""
    token = _rows_read.set(rows)
    try:
        yield
    finally:
        _rows_read.reset(token)


@dataclass(frozen=True)
class Pass:
    """What one forward pass reads.

    Attributes:
        tokens: which token of its row each column is, those in the cache first; -1 for padding.
        new: how many columns, the last ones, run in this pass; the others are in the cache.
        prompt: how many tokens the prompt of each row has.
        rows: which rows of values that are given one a row these are; None for all, in order.
        padded: whether it is known which columns are padding.
    """

    tokens: Int[Tensor, "row column"]
    new: int
    prompt: Int[Tensor, "row"]
    rows: Int[Tensor, "row"] | None
    padded: bool

    def of_rows(self, values: Tensor, what: str) -> Tensor:
        """What is given one a row, for the rows of this pass."""
        if self.rows is not None:
            return values[self.rows.to(values.device)]
        if len(values) != len(self.tokens):
            raise BadInput(
                f"{what} is given for {len(values)} rows, the model reads {len(self.tokens)}; give "
                "one for each row of the batch, or one for all"
            )
        return values


class Watch:
    """Knows, while a model runs, which token of its row each column is.

    Without a cache, or with an empty one, a pass begins a prompt; with a filled one it goes on with
    the rows of the pass before. Within `generate` the first pass holds the prompt, with or without
    a cache.
    """

    def __init__(self, model: nn.Module) -> None:
        self._root = unwrapped(model)
        self._body = self._root.get_submodule(anatomy_of(model).body)
        self._given: dict[str, Any] = {}
        self._real: Tensor | None = None
        self._prompt: Tensor | None = None
        self._generating = False
        self._now: Pass | None = None

    @property
    def now(self) -> Pass:
        """The pass that is running."""
        assert self._now is not None
        return self._now

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the model's passes; it is left as it was."""
        handles = [
            self._root.register_forward_pre_hook(self._outside, with_kwargs=True),
            self._body.register_forward_pre_hook(self._before, with_kwargs=True),
        ]
        try:
            with self._watching_generate():
                yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _watching_generate(self) -> Iterator[None]:
        """Without a cache nothing in a pass tells a longer prompt from one that has grown."""
        before = self._root.__dict__.get("generate")
        generate: Any = getattr(self._root, "generate", None)

        def generating(*args: Any, **kwargs: Any) -> Any:
            self._generating, self._prompt = True, None
            try:
                return generate(*args, **kwargs)
            finally:
                self._generating = False

        if generate is None:
            yield
            return
        self._root.__dict__["generate"] = generating
        try:
            yield
        finally:
            del self._root.__dict__["generate"]
            if before is not None:
                self._root.__dict__["generate"] = before

    def _outside(self, root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._given = _named(root, args, kwargs)

    def _before(self, body: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = self._given | _named(body, args, kwargs)  # some models tell their body no mask
        self._given = {}
        ids = given["input_ids"] if "input_ids" in given else given["inputs_embeds"]
        mask = given.get("attention_mask")
        cache = next((given[name] for name in _CACHES if name in given), None)
        plain = isinstance(mask, Tensor) and mask.ndim == 2
        past = self._past(cache, ids.shape[1], mask if plain else None)
        real = self._are_real(ids, past, mask if plain else None)
        begins = not (self._generating or past) or self._prompt is None
        if begins or len(self._prompt) != len(real):  # type: ignore[arg-type]
            self._prompt = real.sum(1)
        assert self._prompt is not None
        tokens = torch.where(real, real.cumsum(1) - 1, -1)
        self._real = real
        self._now = Pass(
            tokens, ids.shape[1], self._prompt, _rows_read.get(), plain or mask is None
        )

    def _past(self, cache: Any, new: int, mask: Tensor | None) -> int:
        """How many columns were read before."""
        if cache is not None:
            try:
                return int(cache.get_seq_length())
            except (AttributeError, ValueError):  # a state-space model's knows no length
                filled = getattr(cache, "has_previous_state", True)
                if not (filled() if callable(filled) else filled):
                    return 0
                if self._real is None:
                    raise BadInput(
                        "the cache does not say how many tokens it holds; fill it within the "
                        "intervention, from the first token on"
                    ) from None
                return self._real.shape[1]
        return 0 if mask is None else max(0, mask.shape[1] - new)

    def _are_real(self, ids: Tensor, past: int, mask: Tensor | None) -> Bool[Tensor, "row column"]:
        """Which columns, those in the cache first, are no padding."""
        columns = past + ids.shape[1]
        if mask is not None and mask.shape[1] >= columns:
            return mask[:, :columns].bool()
        real = torch.ones(len(ids), columns, dtype=torch.bool, device=ids.device)
        known = self._real
        if past and known is not None and len(known) == len(ids) and known.shape[1] >= past:
            real[:, :past] = known[:, :past]
        return real


def _named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a forward pass by name, without those that are None."""
    # Of the class: other libraries put functions of any form in the place of a module's own.
    names = list(signature(type(module).forward).parameters)[1:]
    given = dict(zip(names, args, strict=False)) | kwargs
    return {name: value for name, value in given.items() if value is not None}


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
        if not now.padded:
            raise BadInput(
                "the attention mask has more than two dimensions, so that nobody can tell which "
                "tokens are padding; pass one of [row, token], or choose position 'all'"
            )
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
        return tokens.long().reshape(len(tokens), -1)
    try:
        numbers = [as_index(t) for t in (start if isinstance(start, Sequence) else [start])]
    except TypeError:
        raise BadInput(
            f"{start!r} is no position; choose 'first', 'last', 'all', a number, several, one a "
            "row as an array, or Onwards(...)"
        ) from None
    return torch.tensor([numbers], dtype=torch.long)
