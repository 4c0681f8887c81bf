"""Hooks that see a model's streams as they pass, and may change them."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from nucleate._core.errors import BadInput
from nucleate.activations._hooks import See
from nucleate.activations._layout import Layout, Path, at, replaced


@dataclass(frozen=True)
class Place:
    """Where states pass: in what a module is given or returns, in one of its runs.

    Attributes:
        module: its name inside the unwrapped model; "" is the model itself.
        run: which of its runs in a forward pass, from 0.
        path: where the tensor is in what it is given, (0, number) or (1, name), or in what it
            returns.
        layout: how the tensor holds states.
        first: the number of the first of its streams, along the depth.
        copies: whether its residual streams are copies of one, which is seen once.
    """

    module: str
    run: int
    path: Path
    layout: Layout
    first: int
    copies: bool = False


@dataclass(frozen=True)
class Anatomy:
    """Where a model's states are.

    Attributes:
        embed: what goes into the first block.
        blocks: what comes out of each block, in the order in which they run.
        final: the states after the final norm.
        before_head: whether `final` is what the vocabulary head is given, for want of a module
            that returns it.
        streams: the names of all streams.
        checked: whether the states found were compared with those that the model reports.
        causal: whether all states were finite, so that causality could be tried in every block.
    """

    embed: Place
    blocks: tuple[Place, ...]
    final: Place
    before_head: bool
    streams: tuple[str, ...]
    checked: bool = False
    causal: bool = True

    @property
    def body(self) -> str:
        """The part of the model that gets token ids and runs all blocks."""
        return "" if self.before_head else self.final.module

    @property
    def runs_once(self) -> bool:
        """Whether each block runs once and hands on one residual stream."""
        modules = {place.module for place in self.blocks}
        return len(modules) + 2 == len(self.blocks) + 2 == len(self.streams)


@contextmanager
def tap(root: nn.Module, anatomy: Anatomy, see: See) -> Iterator[None]:
    """Call `see` with every stream's states as they pass; what it returns replaces them.

    Args:
        root: the model, unwrapped.
        anatomy: where its states are.
        see: gets a stream's number along the depth and its states; None leaves them unchanged.

    Raises:
        BadInput: within a pass: the blocks run otherwise than they did when they were found.
    """
    with _Tap(root, anatomy, see).hooks():
        yield


class _Tap:
    def __init__(self, root: nn.Module, anatomy: Anatomy, see: See) -> None:
        self._root, self._anatomy, self._see = root, anatomy, see
        self._expected = Counter(place.module for place in anatomy.blocks)
        self._runs: Counter[str] = Counter()

    @contextmanager
    def hooks(self) -> Iterator[None]:
        anatomy, get = self._anatomy, self._root.get_submodule
        body = get(anatomy.body)
        handles = [body.register_forward_pre_hook(lambda *_: self._runs.clear())]
        first = get(anatomy.embed.module)
        handles.append(first.register_forward_pre_hook(self._into_first, with_kwargs=True))
        for name in self._expected:
            handles.append(get(name).register_forward_hook(self._after(name)))
        final = get(anatomy.final.module)
        if anatomy.before_head:
            handles.append(final.register_forward_pre_hook(self._into_head, with_kwargs=True))
        else:
            handles.append(final.register_forward_hook(self._after_body))
        handles.append(body.register_forward_hook(lambda *_: self._check()))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _into_first(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._runs[self._anatomy.embed.module]:
            return None
        return self._changed((args, kwargs), self._anatomy.embed)

    def _into_head(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._changed((args, kwargs), self._anatomy.final)

    def _after(self, name: str) -> Callable[..., Any]:
        places = [place for place in self._anatomy.blocks if place.module == name]

        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            run = self._runs[name]
            self._runs[name] += 1
            if len(places) == 1:  # also when a checkpointed block runs again for its gradient
                return self._changed(output, places[0])
            if run >= len(places):
                self._check()
            return self._changed(output, places[run])

        return hook

    def _after_body(self, _: nn.Module, __: Any, output: Any) -> Any:
        return self._changed(output, self._anatomy.final)

    def _changed(self, given: Any, place: Place) -> Any:
        """Show the streams at a place; None if nothing is to be changed."""
        try:
            hidden = at(given, place.path)
        except (LookupError, TypeError) as error:
            raise BadInput(
                f"{place.module or type(self._root).__name__} hands states on in another way than "
                f"when its model was first read ({error}); read the model anew after changing it"
            ) from error
        streams = place.layout.streams(hidden)
        shown = streams[:1] if place.copies else streams
        changed = [self._see(place.first + k, stream) for k, stream in enumerate(shown)]
        if all(new is None for new in changed):
            return None
        if place.copies:
            changed *= len(streams)
        kept = [old if new is None else new for new, old in zip(changed, streams, strict=True)]
        return replaced(given, place.path, place.layout.joined(kept))

    def _check(self) -> None:
        runs, expected = self._runs, self._expected
        if runs == expected:
            return
        wrong = next(name for name in runs | expected if runs[name] != expected[name])
        raise BadInput(
            f"{wrong} of {type(self._root).__name__} ran {runs[wrong]} times in a forward pass, "
            f"and {expected[wrong]} times when the model was first read; blocks must run equally "
            "often for all texts: fix the number of passes in the model's config"
        )
