"""What a recorder is given, checked."""

import math
import operator
from collections.abc import Mapping
from os import PathLike
from typing import Any

import torch

from nucleate._core.errors import BadInput
from nucleate.prompts import PromptSet
from nucleate.recording._schedule import Schedule
from nucleate.runs import Run


def finite(scalars: Mapping[str, Any]) -> dict[str, Any]:
    if taken := {"kind", "durable", "time"} & scalars.keys():
        raise BadInput(f"a scalar cannot be named {min(taken)!r}; choose another name")
    numbers = {
        name: float(value.detach() if isinstance(value, torch.Tensor) else value)
        for name, value in scalars.items()
    }
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def check(
    where: object, prompts: object, schedule: object, hyperparameters: object, tokenizer: object
) -> None:
    """Refuse what is of another kind than it should be, before anything is made of it."""
    for value, kinds, name, remedy in (
        (where, str | PathLike | Run, "where", "give a folder or a Run"),
        (prompts, PromptSet | None, "prompts", "make one: PromptSet.from_records(...)"),
        (schedule, Schedule, "schedule", "choose one, such as Schedule.log(40)"),
        (hyperparameters, Mapping | None, "hyperparameters", "give a mapping of names to values"),
    ):
        if not isinstance(value, kinds):
            raise BadInput(f"{name} cannot be {value!r}; {remedy}")
    if tokenizer is not None and not hasattr(tokenizer, "all_special_ids"):
        raise BadInput(f"{tokenizer!r} is no tokenizer of Hugging Face; give the model's, or None")


def whole_step(step: object, least: int = 0) -> int:
    """A step as a whole number, which it must be."""
    if isinstance(step, bool) or not hasattr(step, "__index__") or operator.index(step) < least:
        raise BadInput(
            f"a step is a whole number from {least} on, not {step!r}; count optimizer steps"
        )
    return operator.index(step)
