"""What a run is made of - tasks, tokenizer, prompt set - as its settings say; without torch."""

import time
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from nucleate._core.errors import BadInput
from nucleate.prompts import Encoder, PromptSet
from nucleate.studies._config import Outputs, ReproduceConfig
from nucleate.tasks import (
    TaskSet,
    adapt_tokenizer,
    from_folder,
    from_jsonl,
    geo,
    synthetic,
    train_tokenizer,
)


@dataclass(frozen=True)
class Material:
    """What a run is made of, before anything is trained; it follows from the configuration."""

    taskset: TaskSet
    encoder: Encoder
    prompts: PromptSet
    seconds: float

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that the model will see."""
        parts = [
            len(self.encoder.prompt(row.instruction, row.input)[0])
            + len(self.encoder.answer_part(row.output))
            for row in self.taskset.examples
        ]
        # The batches may join the longest instruction with the longest input: leave room for it.
        return 2 * max(parts)


def prepare(config: ReproduceConfig, outputs: Outputs) -> Material:
    """Tasks, tokenizer and prompt set of one run.

    Raises:
        BadInput: the tasks cannot be made as they are asked for.
    """
    began = time.perf_counter()
    taskset = taskset_of(config, outputs)
    tokenizer = _tokenizer_of(config, taskset)
    encoder = Encoder.for_taskset(tokenizer, taskset)
    # The component's name in version 0.1, so that a seed chooses the rows that it always chose.
    seed = config.seed_of("probe")
    prompts = PromptSet.from_taskset(taskset, encoder, rows=config.recording.rows, seed=seed)
    return Material(taskset, encoder, prompts, time.perf_counter() - began)


def taskset_of(config: ReproduceConfig, outputs: Outputs) -> TaskSet:
    """The tasks of one run.

    Raises:
        BadInput: the tasks cannot be made as they are asked for.
    """
    seed = config.seed_of("tasks")
    natural = config.natural
    if outputs != "natural":
        return synthetic(**config.synthetic.model_dump(), outputs=outputs, seed=seed)
    if config.tasks == "geo":
        return geo(
            wordings_per_pair=natural.wordings_per_pair,
            held_out_wordings=natural.held_out_wordings,
            seed=seed,
        )
    path, share = Path(config.tasks), natural.held_out_wordings
    if path.is_dir():
        return from_folder(path, only=natural.only, held_out_wordings=share, seed=seed)
    return from_jsonl(path, held_out_wordings=share, seed=seed)


def _tokenizer_of(config: ReproduceConfig, taskset: TaskSet) -> Tokenizer:
    """A tokenizer learned from the tasks, or that of a trained model with what prompts add."""
    if config.model.pretrained is None:
        return train_tokenizer(taskset, config.natural.vocabulary)
    file = Path(config.model.pretrained) / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise BadInput(f"{file} cannot be read ({error}); save the tokenizer again") from error
    return adapt_tokenizer(tokenizer, taskset)
