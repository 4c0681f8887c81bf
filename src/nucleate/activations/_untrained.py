"""States of untrained models: what an architecture does to a text before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nucleate._core.errors import BadInput
from nucleate._core.seeds import seeded
from nucleate.activations._capture import capture
from nucleate.prompts import PromptSet
from nucleate.runs import States


def capture_untrained(
    model: str | Path | Any,
    prompts: PromptSet,
    *,
    count: int = 5,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[States]:
    """Capture states of newly initialized models of one configuration.

    Args:
        model: a folder or name with a `config.json`, or a configuration of transformers.
        prompts: the rows.
        count: number of models; five for the null N1.
        seed: of the first model's weights, counted up for the others; torch's global generator
            is left as it was.
        progress: called with the models done and their total.

    Returns:
        One `States` per model, for `Untrained` or `Run.save_untrained`.

    Notes:
        Weights are drawn by the architecture's own rule; for a training run that started from other
        weights these are not its untrained model.

    Raises:
        BadInput: no configuration is found, or transformers makes no causal LM of it.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    found = []
    try:
        config = (
            AutoConfig.from_pretrained(model, local_files_only=True)
            if isinstance(model, str | Path)
            else model
        )
        for number in range(count):
            with seeded(seed + number):
                fresh = AutoModelForCausalLM.from_config(config)
            found.append(capture(fresh.to(torch.float32).eval(), prompts))
            progress(number + 1, count)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadInput):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"no untrained model can be made of {model} ({reason}); name a folder with the "
            "config.json of a causal LM"
        ) from error
    return found
