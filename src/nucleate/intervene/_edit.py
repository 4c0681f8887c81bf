"""Edits of hidden states at one place, while a model runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nucleate._errors import BadInput
from nucleate.recording import stream_names, tapped
from nucleate.runs import index_of


@contextmanager
def edit(
    model: nn.Module,
    *,
    stream: str,
    token: int | Int[Tensor, "row"],
    change: Callable[[Float[Tensor, "row width"]], Float[Tensor, "row width"]],
) -> Iterator[None]:
    """Replace the states at one place by a function of them, while the context lasts.

    Args:
        model: a causal LM from transformers.
        stream: where along the depth, by name.
        token: which token; one index for all rows (negative counts from the end), or one a row.
        change: gets the states of all rows of the batch there, returns what replaces them.

    Raises:
        BadInput: no such stream.
    """
    wanted = index_of(stream, stream_names(model), "stream")

    def see(index: int, hidden: Tensor) -> Tensor | None:
        if index != wanted:
            return None
        rows = torch.arange(len(hidden), device=hidden.device)
        changed = hidden.clone()
        changed[rows, token] = change(hidden[rows, token]).to(hidden.dtype)
        return changed

    with tapped(model, see):
        yield


@contextmanager
def shift(
    model: nn.Module,
    *,
    stream: str,
    token: int | Int[Tensor, "row"],
    by: Float[Tensor, "*row width"],
) -> Iterator[None]:
    """Add a vector to the states at one place, such as mu_B - mu_A.

    Args:
        model: a causal LM from transformers.
        stream: where along the depth, by name.
        token: which token, as for `edit`.
        by: one vector for all rows, or one a row.

    Raises:
        BadInput: no such stream, or vectors that are not as wide as the states.
    """

    def change(states: Tensor) -> Tensor:
        if by.shape[-1] != states.shape[-1]:
            raise BadInput(
                f"the shift is {by.shape[-1]} wide, the states of {stream} are "
                f"{states.shape[-1]}; pass vectors of that width"
            )
        return states + by

    with edit(model, stream=stream, token=token, change=change):
        yield


@contextmanager
def erase(
    model: nn.Module,
    *,
    stream: str,
    token: int | Int[Tensor, "row"],
    basis: Float[Tensor, "*row rank width"],
    mean: Float[Tensor, "*row width"],
) -> Iterator[None]:
    """Remove a subspace from the states at one place: what lies in it becomes the mean's part.

    Args:
        model: a causal LM from transformers.
        stream: where along the depth, by name.
        token: which token, as for `edit`.
        basis: orthonormal rows that span the subspace; one for all rows, or one a row.
        mean: what the states are centred by; so the mean itself stays where it is.

    Raises:
        BadInput: no such stream.
    """

    def change(states: Tensor) -> Tensor:
        inside = torch.einsum("...kd,...d->...k", basis, states - mean)
        return states - torch.einsum("...k,...kd->...d", inside, basis)

    with edit(model, stream=stream, token=token, change=change):
        yield
