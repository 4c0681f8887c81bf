"""Running rows on from an edited place: what the edit cannot change is not computed again.

An edit at one token of one stream leaves alone every token before it (the model is causal) and
every stream below it. So the keys and values of the tokens before are cached once, the states
below are kept once, and the model itself runs on the rest: on the tokens from the edited one on,
with blocks below the edited stream that hand through what they are given. The model makes its own
masks and rotary angles, as when it generates text with a cache.

Not every model can do that (state-space models keep no keys). Three ways are tried on a few rows
in turn, and the first that agrees with a plain pass is taken:

- `tail`: tokens from the edited one on, blocks from the edited stream on;
- `rows`: all tokens, blocks from the edited stream on;
- `plain`: everything, under a hook.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nucleate.activations import (
    anatomy_of,
    blocks_of,
    device_of,
    evaluating,
    head_reads,
    stream_names,
    tapped,
    text_config,
    unwrapped,
    weights_dtype,
)

# Gets a stream's index and its states at the edited token; returns what replaces them, or None.
Change = Callable[
    [int, Float[Tensor, "row variant width"]], Float[Tensor, "row variant width"] | None
]

# States of one forward pass and layer, in numbers: they should stay in a core's cache.
_NUMBERS_A_PASS = {"cpu": 2**18}
_NUMBERS_ELSEWHERE = 2**24


class Way(NamedTuple):
    """How rows are run on: with the tokens before cached or not, with blocks below left out."""

    cached: bool
    skips: bool


WAYS = {"tail": Way(True, True), "rows": Way(False, True), "plain": Way(False, False)}


@dataclass(frozen=True)
class Text:
    """Rows of tokens, and where in them predictions are wanted.

    Attributes:
        ids: right padded with 0.
        lengths: tokens of each row that are run.
        reads: tokens whose logits are wanted, counted in the row.
    """

    ids: Int[np.ndarray, "row token"]
    lengths: Int[np.ndarray, "row"]
    reads: Int[np.ndarray, "row kept"]


def tails(
    model: nn.Module, text: Text, token: Int[np.ndarray, "row"], *, way: Way, variants: int
) -> Iterator["Tail"]:
    """Cut rows into batches, each ready to be run on from the edited token at any stream.

    Use it inside `evaluating(model)`.

    Args:
        model: a decoder from transformers.
        text: the rows.
        token: the one that is edited in each row; no wanted logits stand before it.
        way: how to run them; `way_of` finds one that is right.
        variants: how many edits of the same row run side by side.
    """
    start = token if way.cached else np.zeros_like(token)
    rest = text.lengths - start
    order = np.lexsort((rest, start))
    width = _width(model)
    numbers = _NUMBERS_A_PASS.get(device_of(model).type, _NUMBERS_ELSEWHERE)
    begin = 0
    while begin < len(order):
        end = begin + 1
        # Rows of one batch begin at the same token, so that their cache needs no padding.
        while (
            end < len(order)
            and start[order[end]] == start[order[begin]]
            and (end + 1 - begin) * variants * rest[order[end]] * width <= numbers
        ):
            end += 1
        yield Tail(model, text, token, order[begin:end], way, variants)
        begin = end


class Tail:
    """A batch of rows from the edited token on.

    Attributes:
        rows: which rows of the text these are.
        clean: their logits without any edit, at the tokens that are wanted.
        tokens: how many tokens are run, those of padding left out.
        columns: the tokens that are run, as a range within the row; those before are cached.
    """

    def __init__(
        self,
        model: nn.Module,
        text: Text,
        token: Int[np.ndarray, "all"],
        rows: Int[np.ndarray, "row"],
        way: Way,
        variants: int,
    ) -> None:
        self.rows = rows
        self._model, self._way, self._variants = model, way, variants
        device = device_of(model)
        start = int(token[rows[0]]) if way.cached else 0
        stop = int(text.lengths[rows].max())
        ids = torch.as_tensor(text.ids[rows, :stop].astype(np.int64), device=device)
        self._ids = ids[:, start:]
        self.columns = range(start, stop)
        self.tokens = int((text.lengths[rows] - start).sum())
        self._reads = torch.as_tensor(text.reads[rows] - start, device=device)
        self._at = torch.as_tensor(token[rows] - start, device=device)
        self._cache = _cache_of(model, ids[:, :start]) if start else None
        self._states: dict[int, Tensor] = {}
        self._forms: dict[int, int] = {}
        self.clean: Float[Tensor, "row kept vocabulary"] = self._read_clean()
        if self._cache is not None:
            self._cache = _copied(self._cache)
            self._cache.batch_repeat_interleave(variants)
        self._ids = self._ids.repeat_interleave(variants, 0)
        self._reads = self._reads.repeat_interleave(variants, 0)

    def run(self, stream: int, change: Change) -> Float[Tensor, "row variant kept vocabulary"]:
        """The logits of every variant of every row, edited at a stream and, if wanted, above.

        Args:
            stream: by number along the depth, 0 for `embed`; the lowest that is edited.
            change: is asked at this stream and at each above it.
        """
        count = len(self.rows)
        each = torch.arange(len(self._ids), device=self._ids.device)
        at = self._at.repeat_interleave(self._variants)

        def see(index: int, hidden: Tensor) -> Tensor | None:
            if index < stream:
                return None
            below = index == stream and self._way.skips
            if below:
                hidden = self._states[index].to(hidden.device).repeat_interleave(self._variants, 0)
            where = each.to(hidden.device), at.to(hidden.device)  # blocks may be on several devices
            states = hidden[where].view(count, self._variants, -1)
            changed = change(index, states)
            if changed is None:
                return hidden if below else None
            hidden = hidden if below else hidden.clone()
            hidden[where] = changed.flatten(0, 1).to(hidden)
            return hidden

        skipped = range(min(stream, len(blocks_of(self._model)))) if self._way.skips else ()
        with _handing_through(self._model, skipped, self._forms):
            logits = self._forward(see)
        return logits.view(count, self._variants, *logits.shape[1:])

    def _read_clean(self) -> Tensor:
        """The logits without an edit; keeps the states of all streams on the way."""
        forms = {
            k: block.register_forward_hook(
                lambda _, __, out, k=k: self._forms.update({k: _parts(out)})
            )
            for k, block in enumerate(blocks_of(self._model))
        }

        def see(index: int, hidden: Tensor) -> None:
            if self._way.skips:
                self._states[index] = hidden

        try:
            return self._forward(see)
        finally:
            for handle in forms.values():
                handle.remove()

    def _forward(self, see: Callable[[int, Tensor], Tensor | None]) -> Tensor:
        settings: dict[str, Any] = {"use_cache": False}
        if self._cache is not None:
            settings = _with_cache(self._model, _copied(self._cache))
        root = unwrapped(self._model)
        with tapped(self._model, see), head_reads(self._model, self._reads):
            logits: Tensor = root(input_ids=self._ids, **settings).logits
        return logits.float()


def way_of(model: nn.Module, text: Text, token: Int[np.ndarray, "row"]) -> str:
    """The fastest way that gives what a plain pass gives: tried on a few rows, not asked.

    Args:
        model: a decoder from transformers.
        text: the rows that are going to be run.
        token: the one that is edited in each row.

    Returns:
        A key of `WAYS`.
    """
    if not anatomy_of(model).runs_once:
        return "plain"
    few = np.unique([text.lengths.argmin(), text.lengths.argmax(), token.argmax()])
    some = Text(text.ids[few], text.lengths[few], text.reads[few])
    with evaluating(model):
        wanted = _trial(model, some, token[few], WAYS["plain"])
        for name in ("tail", "rows"):
            try:
                found = _trial(model, some, token[few], WAYS[name])
            except (TypeError, ValueError, IndexError, RuntimeError, AttributeError):
                continue  # a model that cannot be run so is run another way
            if _agree(found, wanted, weights_dtype(model)):
                return name
    return "plain"


def _trial(
    model: nn.Module, text: Text, token: Int[np.ndarray, "row"], way: Way
) -> Float[Tensor, "row stream variant kept vocabulary"]:
    """Logits under an edit and beside it, at a low, a middle and a high stream."""

    def turned(_: int, states: Tensor) -> Tensor:
        return torch.stack([states[:, 0], states[:, 1].flip(-1)], 1)

    streams = sorted({0, len(stream_names(model)) // 2, len(stream_names(model)) - 2})
    found: dict[int, Tensor] = {}
    for tail in tails(model, text, token, way=way, variants=2):
        logits = torch.stack([tail.run(stream, turned) for stream in streams], 1)
        found |= dict(zip(tail.rows.tolist(), logits, strict=True))
    return torch.stack([found[row] for row in range(len(token))])


def _agree(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    error = (found - wanted).norm(dim=-1) / wanted.norm(dim=-1).clamp_min(1e-12)
    return bool(error.max() <= (1e-4 if dtype in (torch.float32, torch.float64) else 3e-2))


@contextmanager
def _handing_through(
    model: nn.Module, skipped: Sequence[int], forms: dict[int, int]
) -> Iterator[None]:
    """Let some blocks return what they are given, in the form in which they return states."""
    blocks = [(block, forms[k]) for k, block in enumerate(blocks_of(model)) if k in skipped]
    before = [(block, block.__dict__.get("forward")) for block, _ in blocks]
    for block, parts in blocks:
        block.forward = _identity(parts)
    try:
        yield
    finally:
        for block, forward in before:
            del block.forward
            if forward is not None:  # what other libraries have put there
                block.forward = forward


def _identity(parts: int) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        return (hidden, *[None] * (parts - 1)) if parts else hidden

    return forward


def _parts(output: Any) -> int:
    """How many things a block returns beside each other; 0 for a bare tensor."""
    return len(output) if isinstance(output, tuple | list) else 0


def _cache_of(model: nn.Module, ids: Int[Tensor, "row token"]) -> Any:
    """The keys and values of some tokens."""
    from transformers import DynamicCache

    root = unwrapped(model)
    cache = DynamicCache(config=root.config)
    with head_reads(model, ids.new_zeros(len(ids), 0)):
        root(input_ids=ids, **_with_cache(model, cache))
    return cache


def _with_cache(model: nn.Module, cache: Any) -> dict[str, Any]:
    """The settings of a pass that goes on from a cache; its name changed in transformers 5.24."""
    known = inspect.signature(type(unwrapped(model)).forward).parameters
    return {"use_cache": True, "cache" if "cache" in known else "past_key_values": cache}


def _copied(cache: Any) -> Any:
    """A cache that can grow while the first stays: growing binds new tensors, it writes none."""
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    if any(getattr(layer, "keys", None) is None for layer in copied.layers):
        raise TypeError("the cache holds more than keys and values")
    return copied


def _width(model: nn.Module) -> int:
    return int(getattr(text_config(model), "hidden_size", None) or 1024)
