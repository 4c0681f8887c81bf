"""A model's blocks: found by watching a forward pass, checked against the model's own output."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._hooks import evaluating, tap, unwrapped
from nucleate.activations._placement import device_of

# Two sequences that differ in their last token: earlier states must not change.
_TRIAL_TOKENS = 7


@dataclass(frozen=True)
class Anatomy:
    """Names of a model's parts inside the unwrapped model; "" is the model itself.

    Attributes:
        blocks: the blocks, in the order in which they run.
        body: the part whose output is the states after the final norm.
        checked: whether the states found were compared with those that the model reports.
        causal: whether all states were finite, so that causality could be tried in every block.
    """

    blocks: tuple[str, ...]
    body: str
    checked: bool
    causal: bool = True

    @property
    def list_name(self) -> str:
        """Name of the list that holds the blocks."""
        return self.blocks[0].rpartition(".")[0]


Blocks = nn.ModuleList | nn.Sequential | str
"""The list of a model's blocks, or its dotted name inside the unwrapped model."""

# By name, since modules held here would keep their model alive forever.
_known: WeakKeyDictionary[nn.Module, Anatomy] = WeakKeyDictionary()


def anatomy_of(model: nn.Module, *, blocks: Blocks | None = None) -> Anatomy:
    """Find a decoder's blocks, once per model.

    The blocks are the longest list of modules that one forward pass runs in order, each once, and
    that is inside no other list (the experts of a mixture are). Their classes may differ.

    Args:
        model: any decoder-only causal LM.
        blocks: the list of blocks, or its dotted name, where the search fails or finds another
            one. It is remembered for the model, so that everything that reads it later, such as a
            recorder, finds the same blocks.

    Raises:
        BadInput: the model is no decoder-only language model, or its blocks cannot be found.
    """
    root = unwrapped(model)
    named = None if blocks is None else _list_name(root, blocks)
    known = _known.get(root)
    if known is None or (named is not None and known.list_name != named):
        _known[root] = _find(root, named)
    return _known[root]


def forget(model: nn.Module) -> None:
    """Let the blocks be found and the model be tried anew, since its weights may be others now."""
    _known.pop(unwrapped(model), None)


def text_config(model: nn.Module) -> Any:
    """The configuration of the part of a model that reads text; None where a model has none."""
    config: Any = getattr(unwrapped(model), "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def accepts(model: nn.Module, *names: str) -> bool:
    """Whether the model's forward pass has parameters of these names."""
    root = unwrapped(model)
    inner = root._modules.get("_fsdp_wrapped_module") or root
    return set(names) <= inspect.signature(type(inner).forward).parameters.keys()


def run(model: nn.Module, ids: Tensor, **settings: Any) -> Any:
    """One forward pass without a cache, by the model's own `__call__`: wrappers rely on it."""
    root = unwrapped(model)
    if accepts(root, "use_cache"):
        settings["use_cache"] = False
    return root(input_ids=ids, **settings)


def _find(root: nn.Module, named: str | None) -> Anatomy:
    config = getattr(root, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        raise BadInput(
            f"{type(root).__name__} is an encoder-decoder model; nucleate reads decoder-only "
            "language models"
        )
    with evaluating(root):
        blocks, body = _run_in_order(root, named)
        seen = _trial(root, blocks, body)
        causal = _check_causal(root, seen, blocks, body)
    return Anatomy(blocks, body, _check_reported(root, seen), causal)


def has_head(model: nn.Module) -> bool:
    """Whether the model has a vocabulary head."""
    root = unwrapped(model)
    return hasattr(root, "get_output_embeddings") and root.get_output_embeddings() is not None  # type: ignore[operator]


def vocabulary(model: nn.Module) -> int:
    """How many token ids the model knows; 0 for one that embeds no tokens."""
    root = unwrapped(model)
    if not hasattr(root, "get_input_embeddings"):
        return 0
    embedding = root.get_input_embeddings()  # type: ignore[operator]
    return int(getattr(embedding, "num_embeddings", 0))


def _list_name(root: nn.Module, blocks: Blocks) -> str:
    """The dotted name of a list of blocks that the user gave."""
    kind = type(root).__name__
    if isinstance(blocks, str):
        try:
            name, found = blocks, root.get_submodule(blocks)
        except AttributeError as error:
            raise BadInput(
                f"blocks={blocks!r} is no module of {kind}; give a name of "
                "model.named_modules(), such as model.layers"
            ) from error
    else:
        names = {module: name for name, module in root.named_modules()}
        if blocks not in names:
            raise BadInput(f"blocks= is no module of {kind}; give the list that the model runs")
        name, found = names[blocks], blocks
    if not isinstance(found, nn.ModuleList | nn.Sequential) or not len(found):
        raise BadInput(
            f"blocks={name!r} of {kind} is a {type(found).__name__} and no list of modules; name "
            "the ModuleList that holds the blocks"
        )
    return name


def _candidates(root: nn.Module, named: str | None) -> dict[str, list[str]]:
    """Lists of modules that may be the blocks: the one that is named, or all outermost ones."""
    lists = {
        name: m
        for name, m in root.named_modules()
        if (isinstance(m, nn.ModuleList) if named is None else name == named)
    }
    return {
        name: [f"{name}.{key}" for key, _ in blocks.named_children()]
        for name, blocks in lists.items()
        if not any(name.startswith(f"{other}.") for other in lists)
    }


def _run_in_order(root: nn.Module, named: str | None) -> tuple[tuple[str, ...], str]:
    """Run the model once and see which list of modules is its blocks, and which part is its body.

    The body is the outermost part around the blocks that runs and is not the head's owner: some
    models have an outer one that they never call.
    """
    outer = _candidates(root, named)
    order: list[str] = []
    around = {part for name in outer for part in _ancestors(name)}
    names = [*around, *(name for blocks in outer.values() for name in blocks)]
    handles = [
        root.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: order.append(name))
        for name in names
    ]
    try:
        _forward(root)
    finally:
        for handle in handles:
            handle.remove()
    ran = [
        tuple(blocks)
        for blocks in outer.values()
        if blocks and [name for name in order if name in set(blocks)] == blocks
    ]
    kind = type(root).__name__
    if not ran and named is not None:
        raise BadInput(
            f"blocks={named!r} of {kind} are not run in order, each once, by a forward pass; name "
            "another list of modules"
        )
    if not ran:
        raise BadInput(
            f"no blocks found in {kind}: it has no list of modules that a forward pass runs in "
            "order; name the list with blocks= (nucleate.capture, nucleate.activations.anatomy_of)"
        )
    blocks = max(ran, key=len)
    around_blocks = _ancestors(blocks[0].rpartition(".")[0])
    head = _head_name(root)
    body = [
        part
        for part in around_blocks
        if part in order and (head is None or part not in _ancestors(head))
    ]
    if not body:
        raise BadInput(
            f"{kind} has no module around {blocks[0]} whose output is the states after the final "
            "norm; nucleate reads decoder-only language models from transformers"
        )
    return blocks, body[0]


def _head_name(root: nn.Module) -> str | None:
    """The name of the vocabulary head, where there is one."""
    head = root.get_output_embeddings() if has_head(root) else None  # type: ignore[operator]
    return next((name for name, module in root.named_modules() if module is head), None)


def _ancestors(name: str) -> list[str]:
    """The names of the modules around a module, outermost first; "" is the whole."""
    parts = name.split(".")
    return [".".join(parts[:k]) for k in range(len(parts))]


@dataclass(frozen=True)
class _Seen:
    streams: list[Tensor]
    reported: tuple[Tensor, ...] | None


def _trial(
    root: nn.Module, blocks: tuple[str, ...], body: str, sequences: slice = slice(None)
) -> _Seen:
    """The trial sequences' states by hooks, and as the model itself reports them."""
    streams: dict[int, Tensor] = {}

    def see(stream: int, hidden: Tensor) -> None:
        streams[stream] = hidden

    modules = [root.get_submodule(name) for name in blocks]
    with _as_before(root), tap(modules, root.get_submodule(body), see):
        output = _forward(root, sequences, output_hidden_states=True)
    widths = {hidden.shape[-1] for hidden in streams.values()}
    if len(widths) > 1:
        raise BadInput(
            f"the states of {type(root).__name__} are {sorted(widths)} wide at different depths; "
            "nucleate reads models of one width"
        )
    reported = output.get("hidden_states") if hasattr(output, "get") else None
    return _Seen([streams[k] for k in range(len(blocks) + 2)], reported)


@contextmanager
def _as_before(root: nn.Module) -> Iterator[None]:
    """Remove the hooks that transformers leaves on a model after returning hidden states."""
    mark = "_output_capturing_hooks_installed"
    before = [(m, set(m._forward_hooks), mark in m.__dict__) for m in root.modules()]
    try:
        yield
    finally:
        for module, hooks, marked in before:
            for key in set(module._forward_hooks) - hooks:
                del module._forward_hooks[key]
            if mark in module.__dict__ and not marked:
                delattr(module, mark)


def _forward(root: nn.Module, sequences: slice = slice(None), **settings: Any) -> Any:
    known = vocabulary(root)
    if not known:
        raise BadInput(
            f"{type(root).__name__} embeds no tokens; nucleate reads decoder-only language models "
            "from transformers"
        )
    device = device_of(root)
    ids = torch.arange(1, _TRIAL_TOKENS + 1, device=device).repeat(2, 1)
    ids[1, -1] += 1
    ids %= known
    try:
        return run(root, ids[sequences], **settings)
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, AttributeError, RuntimeError, LookupError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"{type(root).__name__} does not run on token ids alone "
            f"({(str(error).strip() or type(error).__name__).splitlines()[0]}); nucleate reads "
            "decoder-only language models from transformers"
        ) from error


def _check_causal(root: nn.Module, seen: _Seen, blocks: tuple[str, ...], body: str) -> bool:
    """A token's states must not know what follows: padding would reach into them.

    Asked of the last block, or of the last stream that is finite; returns whether of the former.
    """
    change, last = _change(seen.streams)
    if not last:
        return False
    exact = seen.streams[-2].dtype in (torch.float32, torch.float64)
    limit = 1e-4 if exact else 2e-2
    if change > limit:  # sequences of one batch may decide on each other: each by itself, then
        parts = [_trial(root, blocks, body, slice(k, k + 1)).streams for k in range(2)]
        change, _ = _change([torch.cat(pair) for pair in zip(*parts, strict=True)])
    if change > limit:
        raise BadInput(
            f"{type(root).__name__} is no decoder: its states change by {change:.1%} with a later "
            "token; nucleate reads decoder-only language models (is_decoder=True for a model that "
            "can be both)"
        )
    return last == len(seen.streams) - 2


def _change(streams: list[Tensor]) -> tuple[float, int]:
    """By how much a later token changes the last block, or the last stream below that is finite."""
    for place in range(len(streams) - 2, 0, -1):
        before = streams[place][:, :-1].float()
        if bool(before.isfinite().all()):
            return float((before[0] - before[1]).norm() / before[0].norm().clamp_min(1e-12)), place
    return 0.0, 0


def _check_reported(root: nn.Module, seen: _Seen) -> bool:
    """Each stream must be among the model's own `hidden_states`, in order, bit for bit.

    The last block's output is not among them (the final norm's stands in its place), and some
    models leave out the embedding. Remote code may report nothing: then there is nothing to check.
    """
    if seen.reported is None:
        return False
    waiting = iter(seen.reported)
    for place, stream in enumerate([*seen.streams[1:-2], seen.streams[-1]]):
        if not any(_same(stream, own) for own in waiting):
            name = "final_norm" if place == len(seen.streams) - 3 else f"block.{place}"
            raise BadInput(
                f"the states found at {name} of {type(root).__name__} are not among the "
                "hidden_states that the model reports; please report the model's class"
            )
    return True


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two states are equal bit for bit, places that are NaN in both included."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    other = other.to(one.device)
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
