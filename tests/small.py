"""Small real things for tests: a task set, its prompt set, models of several architectures."""

from functools import cache

from transformers import PreTrainedModel

from nucleate.prompts import Encoder, PromptSet
from nucleate.tasks import TaskSet, synthetic, train_tokenizer
from nucleate.training import ModelConfig, build_model

ARCHITECTURES = ("llama", "gpt2", "gpt_neox")


@cache
def material(order: str = "before", outputs: str = "own") -> tuple[TaskSet, Encoder, PromptSet]:
    taskset = synthetic(
        tasks=4, families=2, inputs=3, strings=4, unseen_strings=2, outputs=outputs, order=order,
        seed=3,
    )  # fmt: skip
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    return taskset, encoder, PromptSet.from_taskset(taskset, encoder, rows=48, seed=0)


def model(arch: str = "llama", *, seed: int = 0, **settings: object) -> PreTrainedModel:
    config = ModelConfig(**({"arch": arch, "depth": 2, "width": 16, "heads": 2} | settings))
    return build_model(config, vocab_size=material()[1].vocab_size, max_length=32, seed=seed)
