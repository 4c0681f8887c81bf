"""Calls of `generate`: which tokens are the prompt, told by the call itself.

A pass alone does not tell. The first one of a call may hold a part of the prompt (chunks) or
candidates behind it (prompt lookup, assistants), and without a cache every pass holds everything.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput

# What models call the keys, values or states of the tokens before, in various versions.
CACHES = ("cache", "past_key_values", "cache_params", "state")

_EXPAND = "_expand_inputs_for_generation"


@dataclass(frozen=True)
class Prompt:
    """The prompt of a call of `generate`, one row for each sequence that is generated.

    Attributes:
        real: which of its columns are no padding; those that a given cache holds come first.
        ids: the tokens of its last columns; None if embeddings were given.
        copies: how many sequences are generated for each row of the call.
    """

    real: Bool[Tensor, "row column"]
    ids: Int[Tensor, "row last"] | None
    copies: int

    def same(self, ids: Int[Tensor, "row new"] | None, past: int) -> bool:
        """Whether a pass that reads `ids` behind `past` columns reads this prompt."""
        if ids is None or self.ids is None or len(ids) != len(self.ids):
            return True
        own = self.ids.shape[1]
        start = past - (self.real.shape[1] - own)  # counted in the columns whose tokens are known
        if not 0 <= start < own:
            return True
        count = min(ids.shape[1], own - start)
        return torch.equal(ids[:, :count], self.ids[:, start : start + count].to(ids.device))


@dataclass
class Call:
    """A call of `generate` that is running.

    Attributes:
        prompt: None where the call does not tell; then its first pass is the prompt.
        seen: how many columns its passes have read so far.
    """

    prompt: Prompt | None
    _frame: FrameType = field(repr=False)
    seen: int = 0

    def calls(self, frame: FrameType | None) -> bool:
        """Whether what runs in a frame was called by this call."""
        while frame is not None:
            if frame is self._frame:
                return True
            frame = frame.f_back
        return False


@contextmanager
def noticing(root: nn.Module, begin: Callable[[Call], None]) -> Iterator[None]:
    """Tell of every call of a model's `generate` before its first pass.

    A method that was bound earlier (`g = model.generate`) does not pass through the model's own
    attribute, but looks its helpers up there; the one that is replaced here gets the prompt when
    padding, copies and masks are settled. Models with a `generate` of their own kind may not call
    it; for them the call itself is noticed.

    Args:
        root: the model; it is left as it was.
        begin: gets each call, in the thread that made it.
    """
    helper, generate = getattr(root, _EXPAND, None), getattr(root, "generate", None)

    def expanded(*args: Any, **kwargs: Any) -> Any:
        assert helper is not None
        ids, settled = helper(*args, **kwargs)
        frame = _generate_of(sys._getframe(1))
        if frame is not None:
            copies = int(kwargs.get("expand_size", args[0] if args else 1))
            begin(Call(_prompt(ids, settled, copies, frame.f_locals.get("kwargs")), frame))
        return ids, settled

    def called(*args: Any, **kwargs: Any) -> Any:
        assert generate is not None
        begin(Call(None, sys._getframe()))
        return generate(*args, **kwargs)

    def refused(*_: Any, **__: Any) -> Any:
        raise BadInput(
            "continuous batching packs the tokens of many requests into one row, so that an edit "
            "cannot tell whose they are; call model.generate on a padded batch"
        )

    replaced = {_EXPAND: (helper, expanded), "generate": (generate, called)}
    batching = "init_continuous_batching"
    replaced[batching] = (getattr(root, batching, None), refused)
    before = {name: root.__dict__.get(name) for name in replaced}
    for name, (own, other) in replaced.items():
        if own is not None:
            root.__dict__[name] = other
    try:
        yield
    finally:
        for name, (_, other) in replaced.items():
            if root.__dict__.get(name) is other:
                del root.__dict__[name]
                if before[name] is not None:
                    root.__dict__[name] = before[name]


def _generate_of(frame: FrameType | None) -> FrameType | None:
    """The innermost `generate` that runs, by its name: type checkers put frames of their own in."""
    while frame is not None and frame.f_code.co_name != "generate":
        frame = frame.f_back
    return frame


def _prompt(ids: Tensor, settled: dict[str, Any], copies: int, given: Any) -> Prompt | None:
    """The prompt of a call whose inputs are settled.

    Args:
        ids: [row, column]; without columns where embeddings are given.
        settled: what the passes will be given.
        copies: how many sequences are generated for each row.
        given: the call's own keywords. A mask without padding has been dropped by now, and with it
            how many tokens a given cache is said to hold.
    """
    embeds = settled.get("inputs_embeds")
    text = ids if embeds is None else embeds
    mask = settled.get("attention_mask")
    if isinstance(mask, Tensor) and mask.ndim == 2:
        return Prompt(mask.bool(), ids if embeds is None else None, copies)
    if mask is not None:
        return None
    dropped = given.get("attention_mask") if isinstance(given, dict) else None
    columns = text.shape[1]
    if isinstance(dropped, Tensor) and dropped.ndim == 2:
        columns = dropped.shape[1]
    real = torch.ones(len(text), columns, dtype=torch.bool, device=text.device)
    return Prompt(real, ids if embeds is None else None, copies)
