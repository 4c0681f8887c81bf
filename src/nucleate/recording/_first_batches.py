"""A look at the first batches that a model is trained on, without touching where they come from."""

import logging
from typing import Any

import torch
from torch import Tensor, nn

from nucleate.prompts import PromptSet
from nucleate.recording._alike import difference

_log = logging.getLogger("nucleate")

_MOST_BATCHES = 16
_MOST_ROWS = 16  # of a batch
_MOST_TOKENS = 1024  # of a row
_PATIENCE = 3  # calls of the recorder without a batch


class FirstBatches:
    """Keeps the token ids that a model gets in training mode, and compares them with the prompts.

    A hook in front of the model sees the batch as the model does; the data loader and its random
    numbers are left alone. It goes as soon as something can be said, and after 16 batches.

    Args:
        model: in training.
        prompts: what its rows are compared with.
        tokenizer: of Hugging Face, or None.
    """

    def __init__(self, model: nn.Module, prompts: PromptSet, tokenizer: Any) -> None:
        self._prompts, self._tokenizer = prompts, tokenizer
        self._rows: list[list[int]] = []
        self._batches = self._idle = 0
        self._hook: Any = model.register_forward_pre_hook(self._look, with_kwargs=True)

    def said(self, *, over: bool = False) -> str | None:
        """What is to be said now, once; None if that is nothing.

        Args:
            over: no more batches will come.
        """
        if self._hook is None:
            return None
        found = self._compare() if self._rows else None
        self._idle += not self._rows
        self._rows.clear()
        if found is not None or over or self._batches >= _MOST_BATCHES or self._idle > _PATIENCE:
            self._hook.remove()
            self._hook = None
        return found or None

    def _compare(self) -> str | None:
        try:
            return difference(self._rows, self._prompts, self._tokenizer)
        except Exception as error:  # noqa: BLE001 - a check that fails must not end anything
            _log.debug("training rows could not be compared with the prompts", exc_info=error)
            return ""

    def _look(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Readings and evaluations are no training; what is compiled must not depend on this.
        if torch.compiler.is_compiling() or not module.training:
            return
        if self._batches >= _MOST_BATCHES:
            return
        ids = kwargs.get("input_ids", args[0] if args else None)
        if isinstance(ids, Tensor) and ids.ndim == 2 and not ids.is_floating_point():
            mask = kwargs.get("attention_mask")
            self._keep(ids, mask if isinstance(mask, Tensor) and mask.shape == ids.shape else None)

    def _keep(self, ids: Tensor, mask: Tensor | None) -> None:
        self._batches += 1
        real = None if mask is None else mask[:_MOST_ROWS].detach().bool().tolist()
        pad, bos = (getattr(self._tokenizer, f"{it}_token_id", None) for it in ("pad", "bos"))
        for number, row in enumerate(ids[:_MOST_ROWS].detach().tolist()):
            if real is not None:
                kept = [each for each, is_real in zip(row, real[number], strict=True) if is_real]
            else:
                kept = _trimmed(row, pad, 1 if pad == bos else 0)
            if kept:
                self._rows.append(kept[:_MOST_TOKENS])


def _trimmed(row: list[int], pad: int | None, keep: int) -> list[int]:
    """Without padding at both ends, where no mask tells which tokens are real.

    Args:
        row: token ids.
        pad: the id of padding.
        keep: how many of them may open a text.
    """
    first, stop = 0, len(row)
    while stop > first and row[stop - 1] == pad:
        stop -= 1
    while first < stop and row[first] == pad:
        first += 1
    return row[max(0, first - keep) : stop]
