"""Attention cut between chosen tokens, by the masks that the blocks are given."""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations import (
    anatomy_of,
    blocks_of,
    device_of,
    evaluating,
    run,
    tapped,
    unwrapped,
    vocabulary,
)
from nucleate.intervene._generation import CACHES
from nucleate.intervene._interventions import Intervention
from nucleate.intervene._passes import Pass
from nucleate.intervene._places import Stream, TokenPosition, Tokens, streams_at
from nucleate.intervene._watch import intervening, is_paused, paused

Cut = Bool[Tensor, "row query key"]
_TRIAL_TOKENS = 6
# What was found out: model -> kind of attention -> which blocks obey a cut.
_obey: WeakKeyDictionary[nn.Module, dict[str | None, tuple[bool, ...]]] = WeakKeyDictionary()


def knock_out(
    model: nn.Module, *, stream: Stream, query: TokenPosition, key: TokenPosition
) -> Intervention:
    """Cut the attention from some tokens to others: the first no longer read from the others.

    A token goes on seeing itself, whatever is chosen, and what it learns by way of third tokens, or
    in other blocks, is not cut.

    Args:
        model: a model with attention that obeys masks ("eager" or "sdpa"), in evaluation mode.
        stream: whose attention: that of the blocks whose outputs are so named.
        query: the tokens that read; counted as for `shift`.
        key: the tokens that they no longer read from.

    Returns:
        an `Intervention`, to be used in a `with` statement.

    Raises:
        BadInput: a stream that is no block's, or whose block has no attention that a mask can cut:
            tried once a model; else as for `shift`.

    Source: Geva et al. 2023, Dissecting recall of factual associations.
    """
    check_runs_once(model)
    blocks = blocks_of(model)
    last = len(blocks) + 1
    chosen = sorted(streams_at(model, stream) - ({last} if not isinstance(stream, str) else set()))
    if 0 in chosen or last in chosen or not chosen:
        raise BadInput(
            f"'{'embed' if 0 in chosen else 'final_norm'}' is no block's output and has no "
            f"attention; choose of block.0 to block.{last - 2}"
        )
    check_obedient(model, [index - 1 for index in chosen])
    queries, keys = Tokens(query), Tokens(key)

    def cut(now: Pass) -> Cut:
        rows = queries.marked(now, now.new).any(-1)
        columns = keys.marked(now, now.tokens.shape[1]).any(-1)
        return rows[:, :, None] & columns[:, None, :]

    @contextmanager
    def opened() -> Iterator[None]:
        cuts = [blocks[k - 1] for k in chosen]
        with (
            intervening(model) as watch,
            cutting(cuts, attention_of(model), lambda: None if is_paused() else cut(watch.now)),
        ):
            yield

    return Intervention(opened)


def check_runs_once(model: nn.Module) -> None:
    """Raise BadInput for a model whose blocks run more than once in a pass."""
    if not anatomy_of(model).runs_once:
        raise BadInput(
            f"{type(unwrapped(model)).__name__} runs blocks more than once in a pass, or has "
            "several residual streams; knock_out cuts attention of blocks that run once"
        )


def check_obedient(model: nn.Module, blocks: Iterable[int]) -> None:
    """Raise BadInput if the attention of one of these blocks cannot be cut: tried once a model."""
    obedient = _obedient(model)
    for block in blocks:
        if not obedient[block]:
            raise BadInput(
                f"block.{block} of {type(unwrapped(model)).__name__} has no attention that a "
                "mask can cut; knock_out needs blocks with eager or sdpa attention"
            )


@contextmanager
def cutting(
    blocks: Sequence[nn.Module], kind: str | None, cut: Callable[[], Cut | None]
) -> Iterator[None]:
    """Give blocks masks in which some keys are cut from some queries.

    Args:
        blocks: whose attention is cut.
        kind: of `attention_of`.
        cut: asked in every pass: which key is cut from which query of which row; None for none.
    """
    with ExitStack() as hooks:
        for block in blocks:
            form = inspect.signature(unwrapped(block).forward)

            def masked(
                _: nn.Module, args: Any, kwargs: Any, form: inspect.Signature = form
            ) -> tuple[Any, Any] | None:
                wanted = cut()
                if wanted is None:
                    return None
                given = form.bind(*args, **kwargs)
                mask = given.arguments.get("attention_mask")
                if mask is None:
                    mask = _causal(given.arguments, wanted, kind)
                given.arguments["attention_mask"] = _without(mask, wanted)
                return given.args, given.kwargs

            if "attention_mask" in form.parameters:
                handle = block.register_forward_pre_hook(masked, with_kwargs=True)
                hooks.callback(handle.remove)
        yield


def _without(mask: Tensor, cut: Cut) -> Tensor:
    """The mask [row, 1, query, key] with a cut; what is masked already stays so.

    A query that sees nothing at all would be averaged over everything: so it sees itself.
    """
    queries, keys = cut.shape[-2:]
    itself = torch.ones(queries, keys, dtype=torch.bool, device=cut.device)
    cut = cut & ~itself.triu(keys - queries).tril(keys - queries)
    cut = _on_keys(cut, mask.shape[-1])[:, None].to(mask.device)
    if mask.dtype == torch.bool:
        return mask & ~cut
    return mask.masked_fill(cut, torch.finfo(mask.dtype).min)


def _causal(given: Mapping[str, Any], cut: Cut, kind: str | None) -> Tensor:
    """The mask that a block without one means, with room for all keys that its cache has."""
    rows, queries, keys = cut.shape
    cache = next((given[name] for name in CACHES if given.get(name) is not None), None)
    # A static cache's keys reach behind the text; the name changed in transformers 5.24.
    ask = getattr(cache, "get_max_length", getattr(cache, "get_max_cache_shape", lambda: None))
    room = max(keys, int(ask() or 0))
    seen = torch.ones(rows, 1, queries, room, dtype=torch.bool, device=cut.device)
    seen = seen.tril(keys - queries)
    return seen if kind == "sdpa" else _additive(seen, torch.get_default_dtype())


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill(~seen, torch.finfo(dtype).min)


def _on_keys(cut: Cut, keys: int) -> Bool[Tensor, "row query kept"]:
    """The cut for the keys that a block keeps: the last ones in a window, or with room behind."""
    known = cut.shape[-1]
    if keys <= known:
        return cut[..., known - keys :]
    return nn.functional.pad(cut, (0, keys - known))


def attention_of(model: nn.Module) -> str | None:
    """Which implementation of attention the model runs."""
    config: Any = getattr(unwrapped(model), "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    kind: str | None = getattr(text, "_attn_implementation", None)
    return kind


def _obedient(model: nn.Module) -> tuple[bool, ...]:
    """Whether later tokens stop reading from the first one when that is cut, block by block."""
    known = _obey.setdefault(unwrapped(model), {})
    kind = attention_of(model)
    if kind not in known:
        with evaluating(unwrapped(model)), paused():
            known[kind] = _try(model)
    return known[kind]


def _try(model: nn.Module) -> tuple[bool, ...]:
    """Give each block two rows that differ in their first token, with and without a cut."""
    count = len(blocks_of(model))
    whole = _leaks(model)
    left = _leaks_cut(model, range(count))
    if left is None:  # some blocks cannot take such a mask: which?
        alone = [_leaks_cut(model, [k]) for k in range(count)]
        left = [math.inf if one is None else one[k] for k, one in enumerate(alone)]
    # A block whose attention reads nothing from there obeys as well.
    return tuple(after <= 1e-3 * before for after, before in zip(left, whole, strict=True))


def _leaks_cut(model: nn.Module, chosen: Sequence[int]) -> list[float] | None:
    """The leaks where some blocks' attention to the first token is cut; None if it cannot be."""
    blocks = blocks_of(model)
    cut = torch.zeros(2, _TRIAL_TOKENS, _TRIAL_TOKENS, dtype=torch.bool)
    cut[:, 1:, 0] = True
    cut = cut.to(device_of(model))
    try:
        with cutting([blocks[k] for k in chosen], attention_of(model), lambda: cut):
            return _leaks(model)
    except (TypeError, ValueError, IndexError, RuntimeError, AttributeError):
        return None


def _leaks(model: nn.Module) -> list[float]:
    """How much of the first token reaches the others within each block, against their states."""
    random = torch.Generator().manual_seed(0)
    leaks: list[float] = []

    def see(index: int, hidden: Tensor) -> Tensor | None:
        if index:
            rest = hidden[:, 1:].cpu().double()  # some devices have no float64
            leaks.append(float((rest[0] - rest[1]).norm() / rest[0].norm()))
        if index > len(blocks_of(model)):
            return None
        both = hidden[:1].repeat(2, 1, 1)
        noise = torch.randn(hidden.shape[-1], generator=random).to(hidden)
        both[1, 0] = noise * hidden[0, 0].norm() / noise.norm()
        return both

    ids = torch.arange(1, _TRIAL_TOKENS + 1, device=device_of(model))
    with tapped(model, see):
        run(model, ids.repeat(2, 1) % vocabulary(model))
    return leaks[:-1]
