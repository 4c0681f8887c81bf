"""Streams: the places along a model's depth where hidden states are, by name."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from nucleate.activations._anatomy import anatomy_of
from nucleate.activations._hooks import See, tap, unwrapped


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a decoder, in the order in which they run.

    Raises:
        BadInput: the model is no decoder-only language model, or its blocks cannot be found.
    """
    root = unwrapped(model)
    return [root.get_submodule(name) for name in anatomy_of(model).blocks]


def stream_names(model: nn.Module) -> tuple[str, ...]:
    """The names of all places along the depth, bottom first."""
    return ("embed", *(f"block.{k}" for k in range(len(blocks_of(model)))), "final_norm")


@contextmanager
def tapped(model: nn.Module, see: See) -> Iterator[None]:
    """Call `see` with every stream's states as they pass; what it returns replaces them.

    Args:
        model: a decoder from transformers, wrapped or not.
        see: gets the stream's index (0 is `embed`, the last is `final_norm`) and its states;
            returns None to leave them unchanged.
    """
    body = unwrapped(model).get_submodule(anatomy_of(model).body)
    with tap(blocks_of(model), body, see):
        yield
