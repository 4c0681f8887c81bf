"""Texts read by the model that the atlas was fitted to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput
from nucleate.activations import capture
from nucleate.monitor.atlas import Atlas, check_fingerprints, fingerprints_of
from nucleate.prompts import PromptSet

if TYPE_CHECKING:
    from torch import nn


class ModelReader:
    """Reads the states of texts where an atlas was fitted.

    Args:
        model: a causal LM, as `capture` takes it.
        tokenizer: its own.

    Raises:
        BadInput: there is no tokenizer.
    """

    def __init__(self, model: "nn.Module", tokenizer: Any) -> None:
        if tokenizer is None:
            raise BadInput("the model has no tokenizer beside its weights; name a folder with both")
        self._model, self._tokenizer = model, tokenizer
        self._weights: str | None = None

    def check(self, atlas: Atlas) -> None:
        """Refuse an atlas of another model, tokenizer or template.

        Raises:
            BadInput: it is of another one, or states cannot be read at its place.
        """
        prompts = self._prompts(atlas, ["one two"])
        template = atlas.fingerprints.get("template", "")
        if self._weights is None:  # hashed once: they do not change
            self._weights = fingerprints_of(self._model, prompts)["model"]
        known = {"model": self._weights, "tokenizer": prompts.tokenizer_hash, "template": template}
        check_fingerprints(atlas, known)
        self(atlas, ["one two"])

    def __call__(self, atlas: Atlas, texts: Sequence[str]) -> Float[np.ndarray, "row width"]:
        """States of the texts, at the atlas's place.

        Raises:
            BadInput: a text has no tokens or too many, or its states are not finite.
        """
        states = capture(self._model, self._prompts(atlas, texts))
        return np.asarray(states.at(atlas.stream, atlas.position).float().cpu().numpy())

    def _prompts(self, atlas: Atlas, texts: Sequence[str]) -> PromptSet:
        template = atlas.fingerprints.get("template") or None
        # A text is the whole instruction where the atlas was fitted to instructions in a form.
        told = template is not None or "instruction" in atlas.position
        rows = [{"instruction" if told else "text": text} for text in texts]
        return PromptSet.from_records(
            rows, self._tokenizer, positions=[atlas.position], template=template
        )
