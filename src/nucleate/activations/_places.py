"""From what ran in a forward pass to the places where states are, with their names."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._layout import ROWS, TOKENS, Layout, Path, tensors_in
from nucleate.activations._model import head_of, reported_by, vocabulary
from nucleate.activations._search import Call, Group, Watch
from nucleate.activations._tap import Anatomy, Place

LANGUAGE_MODELS = "nucleate reads decoder-only language models from transformers"


def describe(watch: Watch, groups: Sequence[Group], *, named: bool) -> Anatomy:
    """The places of all streams.

    Args:
        watch: what ran.
        groups: the blocks.
        named: whether the user named them.

    Raises:
        BadInput: no states pass there, or their axes cannot be told apart.
    """
    members = {group: _blocks_in(group, watch) for group in groups}
    modules = {name: group for group, names in members.items() for name in names}
    calls = [call for call in watch.calls if call.module in modules]
    if not calls or not all(call.transforms for call in calls):
        raise BadInput(_nothing_found(watch, groups, named))
    if named and not watch.mixing(set(modules)) and watch.mixes():
        raise BadInput(
            f"{_listed(groups)} of {type(watch.root).__name__}, named as its blocks, let no token "
            "reach another; name the modules that hold its attention or recurrence"
        )
    module, path, last, before_head = _final(watch, calls)
    layouts = _layouts(watch, calls, last.shape[-1])
    into, copies = layouts[0].streams(_tensor(calls[0].before)), False
    if len(into) > 1:
        copies = all(torch.equal(each, into[0]) for each in into)
    names = ["embed", *(f"embed.residual.{k}" for k in range(1, 1 if copies else len(into)))]
    assert calls[0].into is not None
    embed = Place(calls[0].module, 0, calls[0].into, layouts[0], 0, copies)
    blocks = []
    for call, name, layout in zip(calls, _names(calls, members), layouts, strict=True):
        assert call.out is not None
        blocks.append(Place(call.module, call.run, call.out, layout, len(names)))
        several = (f"{name}.residual.{k}" for k in range(layout.count))
        names += [name] if layout.count == 1 else several
    final = Place(module, 0, path, Layout.of(last, last.shape[-1]) or Layout(), len(names))
    return Anatomy(embed, tuple(blocks), final, before_head, (*names, "final_norm"))


def hand_on_several(watch: Watch, anatomy: Anatomy) -> bool:
    """Whether a block gives the next more than one tensor of states: which is the stream?"""
    modules = {place.module for place in anatomy.blocks}
    calls = [call for call in watch.calls if call.module in modules]
    for one, following in pairwise(calls):
        given = {id(tensor) for _, tensor in tensors_in(following.given)}
        shape = _tensor(one.after).shape
        went = [t for _, t in tensors_in(one.output) if t.shape == shape and id(t) in given]
        if len(went) > 1:
            return True
    return False


def _tensor(found: Tensor | None) -> Tensor:
    assert found is not None
    return found


def _blocks_in(group: Group, watch: Watch) -> list[str]:
    """A group's members that are blocks, and those that never ran; not layers beside blocks."""
    inner = {name: bool(list(watch.root.get_submodule(name).children())) for name in group.members}
    ran = {name for name in group.members if watch.of(name)}
    deep = {name for name in ran if inner[name] and watch.of(name)[0].transforms}
    listed = isinstance(_module(watch.root, group.name), nn.ModuleList | nn.ModuleDict)
    if listed or not deep:
        return [name for name in group.members if name not in ran or watch.of(name)[0].transforms]
    return [name for name in group.members if name not in ran or name in deep]


def _module(root: nn.Module, name: str) -> nn.Module | None:
    try:
        return root.get_submodule(name)
    except AttributeError:
        return None


def _names(calls: Sequence[Call], members: dict[Group, list[str]]) -> list[str]:
    """The name of every run of a block: its list where there are several, its number, its pass."""
    ran = {call.module for call in calls}
    used = [group for group, names in members.items() if ran & set(names)]
    prefixes = dict(zip(used, _told_apart([group.name for group in used]), strict=True))
    known = {
        name: f"{prefixes[group]}block.{number}"
        for group in used
        for number, name in enumerate(members[group])
    }
    times = Counter(call.module for call in calls)
    return [
        known[call.module] + (f".pass.{call.run}" if times[call.module] > 1 else "")
        for call in calls
    ]


def _told_apart(names: Sequence[str]) -> list[str]:
    """What distinguishes dotted names, each with a dot behind it; nothing for a single one."""
    parts = [name.split(".") for name in names]
    while all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while all(len(p) > 1 for p in parts) and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    return [""] if len(names) == 1 else [f"{'.'.join(p)}." for p in parts]


def _layouts(watch: Watch, calls: Sequence[Call], width: int) -> list[Layout]:
    """How each run's states are laid out.

    A last axis that is a multiple of the width holds several residual streams only where the first
    block is given copies of one; else the states are of another width.
    """
    kind = type(watch.root).__name__
    layouts = []
    first = _tensor(calls[0].before)
    copies = [c for c in torch.split(first, width, -1) if c.shape == first[..., :width].shape]
    folded = first.shape[-1] % width == 0 and all(torch.equal(c, copies[0]) for c in copies)
    for call in calls:
        hidden = _tensor(call.after)
        widths = {width, hidden.shape[-1]}
        if len(widths) > 1 and not (folded and hidden.shape == first.shape):
            raise BadInput(
                f"the states of {kind} are {sorted(widths)} wide at different depths; nucleate "
                "reads models of one width"
            )
        layout = Layout.of(hidden, width)
        if layout is None:
            raise BadInput(
                f"{call.module} of {kind} hands on a tensor of shape {list(hidden.shape)} for "
                f"{ROWS} rows of {TOKENS} tokens and states {width} wide, whose axes nucleate "
                "cannot tell apart"
            )
        layouts.append(layout)
    return layouts


def _final(watch: Watch, calls: Sequence[Call]) -> tuple[str, Path, Tensor, bool]:
    """Where the states after the final norm are: a module, a path, the states, before the head.

    The body is the outermost part around the blocks that runs and does not hold the head: some
    models have an outer one that they never call. Where there is none, or where the norm comes
    after it, the head is given these states.
    """
    head = _head(watch)
    given = None if head is None else head.before
    for part in _around(calls):
        runs = watch.of(part)
        holds_head = head is not None and (not part or head.module.startswith(f"{part}."))
        if len(runs) != 1 or holds_head:
            continue
        found = _states_out(runs[0].output)
        if found is None:
            continue
        path, states = found
        unnormed = not reported_by(watch.output) and torch.equal(states, _tensor(calls[-1].after))
        if unnormed and given is not None and not torch.equal(states, given):
            break
        return part, path, states, False
    if head is None or head.into is None or given is None:
        raise BadInput(
            f"{type(watch.root).__name__} has no module around {calls[0].module} whose output is "
            f"the states after the final norm; {LANGUAGE_MODELS}"
        )
    return head.module, head.into, given, True


def _states_out(output: Any) -> tuple[Path, Tensor] | None:
    """The states in what a body returns."""
    if isinstance(output, dict) and "last_hidden_state" in output:
        output = {"last_hidden_state": output["last_hidden_state"]}
    for path, tensor in tensors_in(output):
        if tensor.ndim == 3 and sorted(tensor.shape[:2]) == sorted((ROWS, TOKENS)):
            return path, tensor
    return None


def _head(watch: Watch) -> Call | None:
    """The run of the vocabulary head: the one that the model names, or what made its logits."""
    named = head_of(watch.root)
    for name, module in watch.root.named_modules():
        if module is named and watch.of(name):
            return watch.of(name)[-1]
    output = watch.output
    if named is not None or (isinstance(output, dict) and "last_hidden_state" in output):
        return None
    known = vocabulary(watch.root)
    logits = [t for _, t in tensors_in(output) if t.ndim == 3 and t.shape[-1] == known]
    made = (call for call in reversed(watch.calls) if call.module and call.output is not None)
    alike = [c for c in made if any(c.output is logit for logit in logits)]
    return alike[0] if alike else None


def _around(calls: Sequence[Call]) -> list[str]:
    """The names of the modules around all blocks, outermost first; "" is the model itself."""
    parents = [call.module.split(".")[:-1] for call in calls]
    shared = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return [".".join(shared[:k]) for k in range(len(shared) + 1)]


def _nothing_found(watch: Watch, groups: Sequence[Group], named: bool) -> str:
    kind = type(watch.root).__name__
    if named:
        return (
            f"{_listed(groups)} of {kind}, named as its blocks, turn no states into states in a "
            "forward pass; name other modules"
        )
    return (
        f"no blocks found in {kind}: a forward pass runs no modules in a list, or numbered alike, "
        f"that mix tokens and turn states of {ROWS} rows of {TOKENS} tokens into such states"
        f"{_seen(watch)}; name "
        "the blocks with blocks= (nucleate.capture, nucleate.activations.anatomy_of)"
    )


def _listed(groups: Sequence[Group]) -> str:
    return ", ".join(group.name for group in groups)


def _seen(watch: Watch) -> str:
    """What modules in lists handed on instead."""
    lists = [
        name for name, m in watch.root.named_modules() if isinstance(m, nn.ModuleList) and len(m)
    ]
    for name in lists:
        for call in watch.of(f"{name}.0"):
            shapes = [list(tensor.shape) for _, tensor in tensors_in(call.output)]
            if shapes:
                return f" ({name} hand on {shapes[0]})"
    return ""
