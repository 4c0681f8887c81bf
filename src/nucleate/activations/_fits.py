"""Whether a prompt set fits a model: crashes far from their cause, said before they happen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._hooks import evaluating, unwrapped
from nucleate.activations._model import run, text_config, vocabulary
from nucleate.activations._packing import read_lengths
from nucleate.activations._placement import device_of
from nucleate.prompts import PromptSet

# Tokens that show which tables are read by position.
_TRIAL_TOKENS = 4
# Length beyond a model's own number of positions that it has read: model -> tokens.
_reads_up_to: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def check_fits(model: nn.Module, prompts: PromptSet) -> None:
    """Check that a model knows all ids and can read the longest row.

    A model that has rotary positions may be read beyond `max_position_embeddings`: that number is
    a limit only where the model has a table of positions.

    Raises:
        BadInput: it cannot, or there is no row.
    """
    root = unwrapped(model)
    if not isinstance(prompts, PromptSet):
        raise BadInput(
            f"prompts is a {type(prompts).__name__}; give a PromptSet, such as "
            "PromptSet.from_records makes of rows"
        )
    if not len(prompts):
        raise BadInput("the prompt set has no rows; give at least one")
    if not prompts.positions:
        raise BadInput("the prompt set has no positions; name one, such as last")
    inside = np.arange(prompts.ids.shape[1]) < prompts.lengths[:, None]
    ids, known = prompts.ids[inside], vocabulary(root)
    wrong = next((int(each) for each in (ids.max(), ids.min()) if not 0 <= each < known), None)
    if wrong is not None:
        raise BadInput(
            f"the prompts have token id {wrong}, {type(root).__name__} knows ids "
            f"{'from 0 on' if wrong < 0 else f'below {known}'}; make the prompt set with the "
            "model's own tokenizer"
        )
    stated = getattr(text_config(model), "max_position_embeddings", None)
    longest = int(read_lengths(prompts).max())
    if isinstance(stated, int) and max(stated, _reads_up_to.get(root, 0)) < longest:
        _check_length(model, prompts, stated, longest)
        _reads_up_to[root] = longest


def _check_length(model: nn.Module, prompts: PromptSet, stated: int, longest: int) -> None:
    """Find out whether a row beyond the stated number of positions can be read."""
    root, device = unwrapped(model), device_of(model)
    limit = _table_of_positions(root, device)
    if limit is None and device.type != "cpu" and _has_buffer_of(root, stated):
        limit = stated  # an index out of range would end the process's use of an accelerator
    row = int(read_lengths(prompts).argmax())
    ids = torch.as_tensor(prompts.ids[row, :longest].astype(np.int64), device=device)
    if limit is None:
        try:
            with evaluating(root):
                run(root, ids[None])
        except (IndexError, RuntimeError, ValueError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            limit = stated
    if limit is not None and limit < longest:
        raise BadInput(
            f"the prompt set's longest row has {longest} tokens, {type(root).__name__} reads up to "
            f"{limit}; shorten the rows, or ask for truncate= when the prompt set is made"
        )


def _table_of_positions(root: nn.Module, device: torch.device) -> int | None:
    """How many tokens the model's learned positions are for; None where it has none."""
    found: list[int] = []

    def see(module: nn.Module, args: tuple[Any, ...]) -> None:
        assert isinstance(module, nn.Embedding)
        places = args[0] if args else None
        if isinstance(places, Tensor) and places.shape[-1:] == (_TRIAL_TOKENS,):
            places = places.reshape(-1, _TRIAL_TOKENS)[0]
            if bool((places.diff() == 1).all()):
                found.append(module.num_embeddings - int(places[0]))

    # The same token again and again: whatever counts up is no token.
    ids = torch.zeros(1, _TRIAL_TOKENS, dtype=torch.long, device=device)
    with _before_embeddings(root, see), evaluating(root):
        run(root, ids)
    return min(found, default=None)


@contextmanager
def _before_embeddings(
    root: nn.Module, see: Callable[[nn.Module, tuple[Any, ...]], None]
) -> Iterator[None]:
    handles = [
        module.register_forward_pre_hook(see)
        for module in root.modules()
        if isinstance(module, nn.Embedding)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _has_buffer_of(root: nn.Module, positions: int) -> bool:
    """Whether the model keeps a table with a place for each position, such as sines or a mask."""
    return any(positions in buffer.shape for buffer in root.buffers())
