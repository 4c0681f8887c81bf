"""Streams: the places along a model's depth where hidden states are, by name."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from nucleate.activations._anatomy import anatomy_of
from nucleate.activations._hooks import See, unwrapped
from nucleate.activations._tap import tap


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a decoder, in the order in which they run; one that runs again comes again.

    Raises:
        BadInput: the model is no decoder-only language model, or its blocks cannot be found.
    """
    root = unwrapped(model)
    return [root.get_submodule(place.module) for place in anatomy_of(model).blocks]


def stream_names(model: nn.Module) -> tuple[str, ...]:
    """The names of all places along the depth, bottom first."""
    return anatomy_of(model).streams


@contextmanager
def tapped(model: nn.Module, see: See) -> Iterator[None]:
    """Call `see` with every stream's states as they pass; what it returns replaces them.

    Args:
        model: a decoder from transformers, wrapped or not.
        see: gets the stream's index (0 is `embed`, the last is `final_norm`) and its states;
            returns None to leave them unchanged.
    """
    with tap(unwrapped(model), anatomy_of(model), see):
        yield
