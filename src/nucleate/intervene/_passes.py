"""Forward passes: which token of its row each column is, and where its prompt ends."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.intervene._generation import CACHES, Call, Prompt

_HIDDEN_PADDING = (
    "the attention mask has more than two dimensions, so that nobody can tell which tokens are "
    "padding; pass one of [row, token], or choose position 'all'"
)
_ANOTHER_TEXT = (
    "generate reads another text beside the prompt that it was given, as guidance_scale and "
    "token_healing make it do, so that nobody can tell which of its tokens is meant; leave these "
    "out, or choose position 'all'"
)

# Which rows of the values that are given one a row a pass reads; None: all, in order.
_rows_read: ContextVar[Tensor | None] = ContextVar("rows_read", default=None)


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
        copies: how many rows beside each other are sequences of the same row of the user's.
        unknown: why the prompt of each row is not known, a sentence; empty where it is.
    """

    tokens: Int[Tensor, "row column"]
    new: int
    prompt: Int[Tensor, "row"]
    rows: Int[Tensor, "row"] | None = None
    copies: int = 1
    unknown: str = ""

    def of_rows(self, values: Tensor, what: str) -> Tensor:
        """What is given one a row, for the rows of this pass."""
        if self.rows is not None:
            return values[self.rows.to(values.device)]
        if len(values) * self.copies != len(self.tokens):
            raise BadInput(
                f"{what} is given for {len(values)} rows, the model reads "
                f"{len(self.tokens) // self.copies}; give one for each row of the batch, or one "
                "for all"
            )
        return values if self.copies == 1 else values.repeat_interleave(self.copies, 0)


@dataclass(frozen=True)
class _Text:
    """What a cache holds, or the pass before has read."""

    real: Bool[Tensor, "row column"]
    prompt: Int[Tensor, "row"]


class _Here(threading.local):
    """What the passes of one thread have read: texts may be written in a thread of their own."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.given: dict[str, Any] = {}
        self.now: Pass | None = None
        self.before: _Text | None = None
        self.before_in: Call | None = None
        self.cached: WeakKeyDictionary[Any, _Text] = WeakKeyDictionary()


class Passes:
    """Knows, while a model runs, which token of its row each column is.

    Within `generate` the call tells its prompt. Outside, a pass without a cache, or with an empty
    one, begins a prompt, and one with a filled cache goes on with what that cache holds.
    """

    def __init__(self) -> None:
        self._here = _Here()

    @property
    def now(self) -> Pass:
        """The pass that is running in this thread."""
        assert self._here.now is not None
        return self._here.now

    def begin(self, call: Call) -> None:
        """A call of `generate` begins; one within another, such as a draft's, tells nothing."""
        running = self._running()
        if running is None or running.prompt is None:
            self._here.calls.append(call)

    def outside(self, root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A pass begins; some models tell their body no mask."""
        self._here.given = _named(root, args, kwargs)

    def inside(self, body: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The body begins to run, and with it the states that are edited."""
        here = self._here
        given, here.given = here.given | _named(body, args, kwargs), {}
        ids = given.get("input_ids")
        text = ids if ids is not None else given.get("inputs_embeds")
        if not isinstance(text, Tensor):
            raise BadInput(
                f"{type(body).__name__} is given neither input_ids nor inputs_embeds, so that an "
                "edit cannot tell its tokens; call the model with one of them"
            )
        mask = given.get("attention_mask")
        plain = mask if isinstance(mask, Tensor) and mask.ndim == 2 else None
        cache = next((given[name] for name in CACHES if name in given), None)
        call = self._running()
        past = self._past(cache, text.shape[1], plain)
        if call is not None and call.prompt is not None:
            now = _continued(call, call.prompt, text, ids, past)
            read = _Text(now.tokens >= 0, now.prompt)
        else:
            read = self._follow(call, text, past, plain, cache)
            unknown = "" if plain is not None or mask is None else _HIDDEN_PADDING
            now = _pass(read, text.shape[1], rows=_rows_read.get(), unknown=unknown)
        here.now, here.before, here.before_in = now, read, call
        if hasattr(cache, "__weakref__"):
            here.cached[cache] = read

    def _running(self) -> Call | None:
        """The innermost call of `generate` that this thread is in."""
        here, frame = self._here, sys._getframe(1)
        here.calls = [call for call in here.calls if call.calls(frame)]
        return here.calls[-1] if here.calls else None

    def _follow(
        self, call: Call | None, text: Tensor, past: int, mask: Tensor | None, cache: Any
    ) -> _Text:
        """What a pass has read when it is over, where no call tells the prompt."""
        before = self._before(call, len(text), past, cache)
        real = _are_real(text, past, mask, before)
        return _Text(real, real.sum(1) if before is None else before.prompt)

    def _before(self, call: Call | None, rows: int, past: int, cache: Any) -> _Text | None:
        """The text that a pass goes on with; None where it begins one."""
        here = self._here
        if past:
            known = here.cached.get(cache) if hasattr(cache, "__weakref__") else None
            last = here.before
            if known is None and last is not None and last.real.shape[1] == past:
                known = last
        else:  # without a cache nothing in a pass tells a longer prompt from one that has grown
            known = here.before if call is not None and here.before_in is call else None
        return known if known is not None and len(known.real) == rows else None

    def _past(self, cache: Any, new: int, mask: Tensor | None) -> int:
        """How many columns were read before."""
        if cache is None:
            return 0 if mask is None else max(0, mask.shape[1] - new)
        try:
            return int(cache.get_seq_length())
        except (AttributeError, ValueError):  # a state-space model's knows no length
            filled = getattr(cache, "has_previous_state", True)
            if not (filled() if callable(filled) else filled):
                return 0
            known = self._here.cached.get(cache, self._here.before)
            if known is None:
                raise BadInput(
                    "the cache does not say how many tokens it holds; fill it within the "
                    "intervention, from the first token on"
                ) from None
            return known.real.shape[1]


def _continued(call: Call, prompt: Prompt, text: Tensor, ids: Tensor | None, past: int) -> Pass:
    """A pass within a call of `generate` that tells its prompt."""
    columns, length = past + text.shape[1], prompt.real.shape[1]
    several, apart = divmod(len(text), len(prompt.real))  # some ways of searching run more rows
    other = bool(apart) or (call.seen >= length > columns) or not prompt.same(ids, past)
    call.seen = max(call.seen, columns)
    real = prompt.real.to(text.device)
    real = real[:1].expand(len(text), -1) if apart else real.repeat_interleave(several, 0)
    grown = nn.functional.pad(real, (0, max(0, columns - length)), value=True)[:, :columns]
    return _pass(
        _Text(grown, real.sum(1)),
        text.shape[1],
        copies=1 if apart else prompt.copies * several,
        unknown=_ANOTHER_TEXT if other else "",
    )


def _pass(
    read: _Text, new: int, *, rows: Tensor | None = None, copies: int = 1, unknown: str = ""
) -> Pass:
    tokens = torch.where(read.real, read.real.cumsum(1) - 1, -1)
    return Pass(tokens, new, read.prompt, rows, copies, unknown)


def _are_real(
    text: Tensor, past: int, mask: Tensor | None, before: _Text | None
) -> Bool[Tensor, "row column"]:
    """Which columns, those in the cache first, are no padding."""
    columns = past + text.shape[1]
    if mask is not None and mask.shape[1] >= columns:
        return mask[:, :columns].bool()
    real = torch.ones(len(text), columns, dtype=torch.bool, device=text.device)
    if past and before is not None and before.real.shape[1] >= past:
        real[:, :past] = before.real[:, :past]
    return real


def _named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a forward pass by name, without those that are None."""
    # Of the class: other libraries put functions of any form in the place of a module's own.
    names = list(signature(type(module).forward).parameters)[1:]
    given = dict(zip(names, args, strict=False)) | kwargs
    return {name: value for name, value in given.items() if value is not None}
