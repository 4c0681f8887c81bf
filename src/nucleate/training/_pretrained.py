"""A trained model from a folder, made ready to be trained on tasks with its own tokenizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from nucleate._core.errors import BadInput
from nucleate._core.seeds import seeded
from nucleate.checkpoints import Checkpoint
from nucleate.training._config import ModelConfig


def load_pretrained(
    config: ModelConfig, *, vocab_size: int, max_length: int, seed: int, fresh: bool
) -> PreTrainedModel:
    """Load the model that `config.pretrained` names, in float32.

    Args:
        config: names the folder.
        vocab_size: tokens of its tokenizer with those that prompts add; the embedding is made
            larger where it has fewer rows.
        max_length: longest sequence, in tokens.
        seed: of the rows that are added, and of all weights where they are drawn anew.
        fresh: keep the architecture and draw the weights anew.

    Raises:
        BadInput: the folder holds no causal LM of transformers, or one that reads fewer tokens.
    """
    folder = Path(str(config.pretrained))
    with seeded(seed), _quiet():
        if fresh:
            model = _untrained(folder, config.attention)
        else:
            found = Checkpoint(0, folder).load(dtype="float32", attention=config.attention)
            if not isinstance(found, PreTrainedModel):
                raise BadInput(
                    f"model.pretrained {folder} is a {type(found).__name__}; name the folder of a "
                    "whole model of transformers, such as one with its adapter merged"
                )
            model = found
        if vocab_size > model.get_input_embeddings().weight.shape[0]:
            model.resize_token_embeddings(vocab_size)
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and max_length > longest:
        raise BadInput(
            f"model.pretrained {folder} reads {longest} tokens, the tasks need up to {max_length}; "
            "take shorter tasks, or a model that reads more"
        )
    return model.to(torch.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, transformers shows no bar and warns of nothing, such as of rows that are added."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _untrained(folder: Path, attention: str) -> PreTrainedModel:
    try:
        settings = AutoConfig.from_pretrained(folder, local_files_only=True)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            settings, attn_implementation=attention
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"model.pretrained {folder} cannot be made a causal LM ({reason}); name the folder of "
            "one that transformers knows"
        ) from error
    return model.to(torch.float32)
