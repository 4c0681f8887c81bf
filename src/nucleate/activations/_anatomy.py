"""A model's blocks: found by watching a forward pass, checked against the model's own output."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._hooks import evaluating, unwrapped
from nucleate.activations._layout import ROWS, TOKENS
from nucleate.activations._model import reported_by, run, takes, vocabulary
from nucleate.activations._placement import device_of
from nucleate.activations._places import LANGUAGE_MODELS, describe, hand_on_several
from nucleate.activations._search import Watch, find_groups, named_groups
from nucleate.activations._tap import Anatomy, Place, tap

Blocks = nn.Module | str | Sequence[nn.Module | str]
"""A model's blocks, or their dotted names inside the unwrapped model: a list of modules, several
lists, or modules one by one."""

# What models raise that cannot run on token ids alone.
_CANNOT_RUN = (
    TypeError, ValueError, AttributeError, LookupError, RuntimeError, AssertionError, ImportError,
)  # fmt: skip
# By name, since modules held here would keep their model alive forever.
_known: WeakKeyDictionary[nn.Module, Anatomy] = WeakKeyDictionary()
_named: WeakKeyDictionary[nn.Module, list[str]] = WeakKeyDictionary()


def anatomy_of(model: nn.Module, *, blocks: Blocks | None = None) -> Anatomy:
    """Find a decoder's blocks, once per model.

    They are the modules, in a list or numbered alike, through which one forward pass hands states
    of every token, and that are inside no other such module. Their classes may differ, there may
    be several lists, and they may run again and again.

    Args:
        model: any decoder-only causal LM.
        blocks: the blocks where the search fails or finds others: a list of modules, several
            lists, or the modules one by one, each as itself or by its dotted name. Remembered for
            the model, so that everything that reads it later, such as a recorder, finds them.

    Raises:
        BadInput: the model is no decoder-only language model, or its blocks cannot be found.
    """
    root = unwrapped(model)
    names = _named.get(root) if blocks is None else _names_of(root, blocks)
    if root not in _known or names != _named.get(root):
        _known[root] = _find(root, names)
        if names is not None:
            _named[root] = names
    return _known[root]


def forget(model: nn.Module) -> None:
    """Let the model be tried anew, since its weights may be others now; named blocks stay so."""
    _known.pop(unwrapped(model), None)


def _find(root: nn.Module, names: list[str] | None) -> Anatomy:
    if getattr(getattr(root, "config", None), "is_encoder_decoder", False):
        raise BadInput(
            f"{type(root).__name__} is an encoder-decoder model; nucleate reads decoder-only "
            "language models"
        )
    with evaluating(root), _as_before(root):
        watch = Watch(root, lambda: _forward(root, output_hidden_states=True))
        groups = find_groups(watch) if names is None else named_groups(root, names)
        anatomy = describe(watch, groups, named=names is not None)
        seen = _trial(root, anatomy)
        causal = _check_causal(root, anatomy, seen)
    checked = _check_reported(root, anatomy, seen)
    if not checked and hand_on_several(watch, anatomy):
        raise BadInput(
            f"the blocks of {type(root).__name__} hand several tensors of states to the next, and "
            "the model reports no hidden_states that would tell which is the stream; let its "
            "forward pass return them"
        )
    return replace(anatomy, checked=checked, causal=causal)


def _names_of(root: nn.Module, blocks: Blocks) -> list[str]:
    """The dotted names of the modules that the user gives."""
    kind = type(root).__name__
    known = {module: name for name, module in root.named_modules()}
    names = []
    for each in blocks if isinstance(blocks, list | tuple) else [blocks]:
        try:
            module = root.get_submodule(each) if isinstance(each, str) else each
            names.append(known[module])
        except (AttributeError, KeyError, TypeError) as error:
            given = f"blocks={each!r}" if isinstance(each, str) else "blocks="
            raise BadInput(
                f"{given} is no module of {kind}; give one of model.named_modules(), such as "
                "model.layers, or a list of them"
            ) from error
    if not names:
        raise BadInput(f"blocks= names nothing; give the list of modules that {kind} runs")
    return names


@dataclass(frozen=True)
class _Seen:
    streams: dict[int, Tensor]
    reported: tuple[Tensor, ...]


def _trial(root: nn.Module, anatomy: Anatomy, rows: slice = slice(None)) -> _Seen:
    """The trial sequences' states by hooks, and as the model itself reports them."""
    streams: dict[int, Tensor] = {}

    def see(stream: int, hidden: Tensor) -> None:
        streams[stream] = hidden

    with tap(root, anatomy, see):
        output = _forward(root, rows, output_hidden_states=True)
    return _Seen(streams, reported_by(output))


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


def _forward(root: nn.Module, chosen: slice = slice(None), **settings: Any) -> Any:
    """Run the trial: the first two rows differ in their last token."""
    known = vocabulary(root)
    if not known:
        raise BadInput(
            f"nucleate finds no table of tokens in {type(root).__name__}; {LANGUAGE_MODELS}"
        )
    device = device_of(root)
    rows = torch.arange(ROWS, device=device)[:, None]
    ids = torch.arange(1, TOKENS + 1, device=device) + 2 * rows * (rows > 1)
    ids[1, -1] += 1
    if not takes(root, *settings):
        settings = {}
    try:
        return run(root, ids[chosen] % known, **settings)
    except (BadInput, torch.OutOfMemoryError):
        raise
    except _CANNOT_RUN as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise BadInput(
            f"{type(root).__name__} does not run on token ids alone ({type(error).__name__}: "
            f"{reason}); {LANGUAGE_MODELS}"
        ) from error


def _check_causal(root: nn.Module, anatomy: Anatomy, seen: _Seen) -> bool:
    """A token's states must not know what follows: padding would reach into them.

    Returns whether all states are finite, so that the question could be asked of every block.
    """
    change, finite = _change(seen.streams)
    exact = all(h.dtype in (torch.float32, torch.float64) for h in seen.streams.values())
    limit = 1e-4 if exact else 2e-2
    if change > limit:  # rows of one batch may decide on each other: each by itself, then
        one, other = (_trial(root, anatomy, slice(k, k + 1)).streams for k in range(2))
        change, _ = _change({k: torch.cat([one[k], other[k]]) for k in one})
    if change > limit:
        raise BadInput(
            f"{type(root).__name__} is no decoder: its states change by {change:.1%} with a later "
            "token; nucleate reads decoder-only language models (is_decoder=True for a model that "
            "can be both)"
        )
    return finite


def _change(streams: dict[int, Tensor]) -> tuple[float, bool]:
    """By how much a later token changes finite states at most, and whether all are finite."""
    changes = [0.0]
    before = [hidden[:2, :-1].float() for hidden in streams.values()]
    finite = [pair for pair in before if bool(pair.isfinite().all())]
    for one, other in finite:
        changes.append(float((one - other).norm() / one.norm().clamp_min(1e-12)))
    return max(changes), len(finite) == len(before)


def _check_reported(root: nn.Module, anatomy: Anatomy, seen: _Seen) -> bool:
    """Each stream must be among the model's own `hidden_states`, in order, bit for bit.

    Most models have the final norm's output in the place of the last block's, and some leave out
    the embedding. Remote code may report nothing: then there is nothing to check.
    """
    if not seen.reported:
        return False

    def held(place: Place) -> Tensor:
        streams = [seen.streams[place.first + k] for k in range(place.layout.count)]
        return place.layout.joined(streams)

    waiting = iter(seen.reported)
    whole = _same(held(anatomy.blocks[-1]), seen.reported[-1])
    for place in [*anatomy.blocks[:-1], anatomy.blocks[-1] if whole else anatomy.final]:
        if not any(_same(held(place), own) for own in waiting):
            lists = dict.fromkeys(block.module.rpartition(".")[0] for block in anatomy.blocks)
            raise BadInput(
                f"the states found at {anatomy.streams[place.first]} ({place.module}) of "
                f"{type(root).__name__} are not among the hidden_states that it reports; it runs "
                f"{', '.join(lists)}: name the list that is wanted with blocks="
            )
    return True


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two states are equal bit for bit, places that are NaN in both included."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    other = other.to(one.device)
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
