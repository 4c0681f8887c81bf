"""Finding a model's blocks by watching one forward pass.

A *group* is modules of one kind beside each other: a list, or attributes that are numbered alike.
Its members are blocks if states go through them and they mix tokens; where nothing does yet, those
of the longest group are. A module that runs again and again is a group of its own.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from nucleate.activations._hooks import unwrapped
from nucleate.activations._layout import ROWS, TOKENS, Path, at, replaced, tensors_in

_LISTS = nn.ModuleList | nn.Sequential | nn.ModuleDict


@dataclass(frozen=True)
class Group:
    """Modules that may be blocks.

    Attributes:
        name: of the list, or what the names of its members have in common.
        members: their names, in order.
    """

    name: str
    members: tuple[str, ...]


class Call:
    """One run of a module, with the states that went in and came out.

    Attributes:
        module: its name.
        run: which of its runs in the pass, from 0.
        start, end: when it began and ended, counted in events.
        given: positional arguments and named ones.
        output: what it returned.
        into, out: where the states are in both; None if there are none.
        before, after: copies of them, since some models change states in place.
    """

    def __init__(self, module: str, run: int, start: int, given: tuple[Any, Any]) -> None:
        self.module, self.run, self.start, self.given = module, run, start, given
        self.end, self.output = -1, None
        self.into: Path | None = None
        self.out: Path | None = None
        self.before: Tensor | None = None
        self.after: Tensor | None = None
        self._came = [(path, t.clone()) for path, t in _states_in(given) if len(path) == 2]

    def ended(self, end: int, output: Any) -> None:
        """Note what the module returned; of several tensors, those of one shape belong together."""
        self.end, self.output = end, output
        came, went = self._came, [(path, t.clone()) for path, t in _states_in(output)]
        self._came = []
        pairs = [(a, b) for b in went for a in came if a[1].shape == b[1].shape]
        if pairs:
            came, went = [pairs[0][0]], [pairs[0][1]]
        if came:
            self.into, self.before = came[0]
        if went:
            self.out, self.after = went[0]

    @property
    def transforms(self) -> bool:
        """Whether states became states of the same shape."""
        before, after = self.before, self.after
        return before is not None and after is not None and before.shape == after.shape

    @property
    def source(self) -> Tensor | None:
        """The very tensor that came in."""
        return None if self.into is None else at(self.given, self.into)

    @property
    def result(self) -> Tensor | None:
        """The very tensor that went out."""
        return None if self.out is None else at(self.output, self.out)


def _states_in(given: Any) -> Iterator[tuple[Path, Tensor]]:
    """Tensors with axes for the trial's rows and tokens, and more."""
    for path, tensor in tensors_in(given):
        if tensor.ndim in (3, 4) and {ROWS, TOKENS} <= set(tensor.shape):
            yield path, tensor


class Watch:
    """What ran in one forward pass, and in which order.

    Args:
        root: the model.
        forward: runs it on the trial's rows.

    Attributes:
        calls: the runs of all modules, in the order in which they began.
        output: what the model returned.
    """

    def __init__(self, root: nn.Module, forward: Callable[[], Any]) -> None:
        self.root, self._forward = root, forward
        self.calls: list[Call] = []
        self._of: dict[str, list[Call]] = {}
        self._open: dict[str, list[Call]] = {}
        self._events = 0
        handles = []
        for name, module in root.named_modules():
            handles.append(module.register_forward_pre_hook(self._begin(name), with_kwargs=True))
            handles.append(module.register_forward_hook(self._end(name)))
        try:
            self.output = forward()
        finally:
            for handle in handles:
                handle.remove()

    def of(self, module: str) -> list[Call]:
        """The runs of a module."""
        return self._of.get(module, [])

    def _begin(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._events += 1
            runs = self._of.setdefault(name, [])
            call = Call(name, len(runs), self._events, (args, dict(kwargs)))
            runs.append(call)
            self.calls.append(call)
            self._open.setdefault(name, []).append(call)

        return hook

    def _end(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            self._events += 1
            self._open[name].pop().ended(self._events, output)

        return hook

    def mixing(self, names: set[str]) -> set[str]:
        """Those of some blocks in which a token's state reaches another token's.

        In a second pass every block gets its own input again, changed at the first token.
        """
        mixing: set[str] = set()
        handles = []
        for name in names:
            call = next((call for call in self.of(name) if call.transforms), None)
            if call is not None:
                handles += _disturb(self.root.get_submodule(name), call, mixing)
        try:
            self._forward()
        finally:
            for handle in handles:
                handle.remove()
        return mixing

    def mixes(self) -> bool:
        """Whether a token's first state reaches other tokens of the output at all.

        Attention whose output begins at zero lets it not.
        """
        call = next(call for call in self.calls if call.transforms)
        handles = _disturb(self.root.get_submodule(call.module), call, set())
        try:
            now = self._forward()
        finally:
            for handle in handles:
                handle.remove()
        pairs = zip(_states_in(now), _states_in(self.output), strict=True)
        return any(
            not torch.equal(*(each.narrow(_tokens(each), 1, TOKENS - 1) for each in (one, other)))
            for (_, one), (_, other) in pairs
        )


def _disturb(module: nn.Module, call: Call, mixing: set[str]) -> list[Any]:
    """Hooks that change the first token in one run of a module, and see whether others change."""
    run = -1

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        nonlocal run
        run += 1
        if run != call.run or call.into is None or call.before is None:
            return None
        changed = call.before.clone()
        changed.select(_tokens(changed), 0).neg_().add_(1)
        return replaced((args, dict(kwargs)), call.into, changed)

    def after(_: nn.Module, __: Any, output: Any) -> None:
        if run != call.run or call.out is None or call.after is None:
            return
        now, then = (
            t.narrow(_tokens(t), 1, TOKENS - 1) for t in (at(output, call.out), call.after)
        )
        if not torch.equal(now, then):
            mixing.add(call.module)

    return [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after),
    ]


def _tokens(hidden: Tensor) -> int:
    """The axis of tokens: the last that fits, since the width comes after it."""
    return max(axis for axis in range(hidden.ndim - 1) if hidden.shape[axis] == TOKENS)


def find_groups(watch: Watch) -> list[Group]:
    """The groups of blocks in a pass, without those inside a block."""
    ran = {call.module for call in watch.calls if call.transforms}
    ran -= {name for name in ran if _is_plain_layer(watch.root.get_submodule(name))}
    groups = [group for group in _groups(watch.root) if ran & set(group.members)]
    listed = {member for group in groups for member in group.members}
    looped = (name for name in sorted(ran - listed) if name and len(watch.of(name)) > 1)
    groups += [Group(name, (name,)) for name in looped]
    outer = [g for g in groups if not any(_is_stage(name, groups, watch) for name in g.members)]
    outer = [g for g in outer if not any(_is_inside(g, other) for other in outer)]
    mixing = watch.mixing({name for group in outer for name in group.members})
    found = [group for group in outer if mixing & set(group.members)]
    if found or not outer or watch.mixes():
        return found
    # Nothing mixes tokens anywhere yet: the longest group, then.
    return [max(outer, key=lambda group: len(ran & set(group.members)))]


def named_groups(root: nn.Module, names: Sequence[str]) -> list[Group]:
    """The groups that a user names; modules that are no lists make one group together."""
    groups, singles = [], []
    for name in names:
        module = root.get_submodule(name)
        if isinstance(module, _LISTS):
            members = (f"{name}.{key}" for key, _ in module.named_children())
            groups.append(Group(name, tuple(members)))
        else:
            singles.append(name)
    return [*groups, Group(", ".join(singles), tuple(singles))] if singles else groups


def _groups(root: nn.Module) -> Iterator[Group]:
    """Lists of modules, and attributes that are numbered alike."""
    for name, parent in root.named_modules():
        children = [f"{name}.{key}" if name else key for key, _ in parent.named_children()]
        if isinstance(parent, _LISTS):
            yield Group(name, tuple(children))
            continue
        stems: dict[str, list[str]] = {}
        for child in children:
            if numbered := re.fullmatch(r"(.*?)[._]?\d+", child):
                stems.setdefault(numbered[1], []).append(child)
        yield from (Group(stem, tuple(found)) for stem, found in stems.items() if len(found) > 1)


def _is_plain_layer(module: nn.Module) -> bool:
    """Whether a module is one of torch's own without parts, which is no block."""
    module = unwrapped(module)
    return not list(module.children()) and type(module).__module__.startswith("torch.nn.")


def _is_inside(group: Group, other: Group) -> bool:
    """Whether a group is inside a member of another, or has the same members."""
    if group is other:
        return False
    if group.members[0] in other.members:
        return len(group.members) < len(other.members)
    return any(group.members[0].startswith(f"{member}.") for member in other.members)


def _is_stage(outer: str, groups: list[Group], watch: Watch) -> bool:
    """Whether a module only hands states through blocks inside it, which are wanted instead.

    A module that runs again and again may do more to them at one end, such as a norm.
    """
    whole = watch.of(outer)
    for group in groups:
        if group.members == (outer,) or not group.members[0].startswith(f"{outer}."):
            continue
        if whole and all(_hands_on(call, group, watch, len(whole) > 1) for call in whole):
            ran = {name for name in group.members if watch.of(name)}
            return ran <= watch.mixing(ran)
    return False


def _hands_on(whole: Call, group: Group, watch: Watch, looped: bool) -> bool:
    """Whether a run is a chain of runs of a group's members."""
    parts = sorted(
        (c for name in group.members for c in watch.of(name) if whole.start < c.start < whole.end),
        key=lambda call: call.start,
    )
    if not parts or any(a.result is not b.source for a, b in pairwise(parts)):
        return False
    begins = parts[0].source is whole.source
    ends = parts[-1].result is whole.result
    return (begins or ends) if looped else (begins and ends)
