"""What tests of training frameworks share: a small set to train on, and local settings."""

from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments

from nucleate.prompts import PromptSet
from nucleate.tasks import train_tokenizer
from nucleate.tasks._tokenizer import tokenizer_hash
from sequences import rows
from small import material


def settings(folder: Path, *, steps: int = 8, **others: object) -> dict[str, object]:
    """Arguments of a Trainer that writes nowhere but into `folder` and reports nowhere."""
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": 8,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "learning_rate": 1e-3,
        "seed": 7,
        **others,
    }


def tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the small set, as transformers wants it."""
    return PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(material()[0]), pad_token="<pad>", eos_token="<end>"
    )


def prompts() -> PromptSet:
    """The prompt set of the small set, made with that tokenizer."""
    return replace(material()[2], tokenizer_hash=tokenizer_hash(tokenizer()))


class LossKeeping:
    """A trainer that keeps every loss as it was computed; logs are rounded and averaged."""

    def training_step(self, *args: object, **kwargs: object) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self.__dict__.setdefault("losses", []).append(loss.item())
        return loss


class Watched(LossKeeping, Trainer):
    """transformers' trainer on the small set."""

    def __init__(self, net: torch.nn.Module, folder: Path, *callbacks: object, **others) -> None:
        super().__init__(
            net,
            TrainingArguments(**settings(folder, **others)),
            train_dataset=rows(),
            callbacks=list(callbacks),
        )
