"""The rows that are read again at every step."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from nucleate._errors import BadInput
from nucleate.tasks._encoding import Encoder
from nucleate.tasks._probe_rows import choose_rows
from nucleate.tasks._taskset import Example, TaskSet, canonical_hash

TENSORS, TEXTS = "probe.safetensors", "probe.jsonl"
_POSITION = "position."


@dataclass(frozen=True)
class Probe:
    """Fixed rows with their tokens, named positions and labels.

    Args:
        ids: prompt followed by answer, right padded with 0. Where a row ends is known from
            `lengths` only, never from an id.
        prompt_lengths: tokens of each row before its answer.
        lengths: tokens of each row, answer included.
        positions: name -> index of a token in each row; `instruction_end` and `last` at least.
        labels: name -> one text a row; task, family, instruction, input, output, split at least.
        chance: the share of all tasks (the row's own counts) whose answer to the row's input
            is the row's output: how often a task drawn at random is right.
        tokenizer_hash: which tokeniser the ids belong to.
    """

    ids: Int[np.ndarray, "row length"]
    prompt_lengths: Int[np.ndarray, "row"]
    lengths: Int[np.ndarray, "row"]
    positions: dict[str, Int[np.ndarray, "row"]]
    labels: dict[str, tuple[str, ...]]
    chance: Float[np.ndarray, "row"]
    tokenizer_hash: str

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_taskset(
        cls, taskset: TaskSet, encoder: Encoder, *, rows: int = 600, seed: int
    ) -> "Probe":
        """Choose and encode the rows of a set.

        Every task gets the same number of instruction strings, half of them `seen` and half
        `unseen_string` where there are such, each with the same inputs (task x family x string x
        input); where tasks have no inputs in common, each string keeps rows of its own. A held-out
        (family, input) cell carries the split `unseen_cell`. Rows of the splits `unseen_family`
        and `unseen_input` come on top, as a share of about a quarter at most.

        Args:
            taskset: the set.
            encoder: turns texts into ids.
            rows: about the largest number of rows that do not come on top.
            seed: decides what is chosen.

        Returns:
            The probe; rows with the same beginning stand together.
        """
        if rows < 2:
            raise BadInput(f"rows is {rows}: a probe needs at least 2.")
        chosen = choose_rows(taskset, rows, np.random.default_rng(seed))
        if taskset.order == "after":
            first = {
                name: index for index, name in enumerate(dict.fromkeys(row.input for row in chosen))
            }
            chosen = sorted(chosen, key=lambda row: first[row.input])
        return cls.from_examples(chosen, taskset, encoder)

    @classmethod
    def from_examples(cls, rows: "list[Example]", taskset: TaskSet, encoder: Encoder) -> "Probe":
        """Encode given rows in the order in which they come; `taskset` knows their chance."""
        prompts = [encoder.prompt(row.instruction, row.input) for row in rows]
        full = [
            ids + encoder.answer_part(row.output)
            for (ids, _), row in zip(prompts, rows, strict=True)
        ]
        ids = np.zeros((len(rows), max(map(len, full))), dtype=np.int32)
        for index, row_ids in enumerate(full):
            ids[index, : len(row_ids)] = row_ids
        fields = ("task", "family", "instruction", "input", "output", "split")
        return cls(
            ids=ids,
            prompt_lengths=np.array([len(ids) for ids, _ in prompts]),
            lengths=np.array([len(row_ids) for row_ids in full]),
            positions={
                name: np.array([positions[name] for _, positions in prompts])
                for name in ("instruction_end", "last")
            },
            labels={name: tuple(getattr(row, name) for row in rows) for name in fields},
            chance=_chance(rows, taskset),
            tokenizer_hash=encoder.tokenizer_hash,
        )

    def prefix_groups(self, position: str) -> Int[np.ndarray, "row"]:
        """Number the rows so that equal tokens up to and including a position share a number.

        Args:
            position: a name in `positions`.

        Returns:
            0, 1, ... in the order in which the groups first occur.
        """
        if position not in self.positions:
            known = ", ".join(self.positions)
            raise BadInput(f"position {position!r} is not in the probe: use one of {known}.")
        numbers: dict[bytes, int] = {}
        ends = self.positions[position] + 1
        prefixes = [row[:end].tobytes() for row, end in zip(self.ids, ends, strict=True)]
        return np.array([numbers.setdefault(prefix, len(numbers)) for prefix in prefixes])

    def content_hash(self) -> str:
        """Return the SHA-256 of tokens, positions, labels and chance, as 64 hexadecimal digits."""
        tensors = {
            name: [str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
            for name, array in self._tensors().items()
        }
        return canonical_hash([tensors, self.labels, self.tokenizer_hash])

    def save(self, folder: Path) -> None:
        """Write `probe.safetensors` (numbers) and `probe.jsonl` (labels, one line a row)."""
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {"tokenizer_hash": self.tokenizer_hash, "content_hash": self.content_hash()}
        save_file(self._tensors(), folder / TENSORS, metadata=metadata)
        names = list(self.labels)
        lines = [
            json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)
            for values in zip(*self.labels.values(), strict=True)
        ]
        (folder / TEXTS).write_text("\n".join(lines) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Probe":
        """Read what `save` wrote; BadInput if a file is missing, damaged, or of another probe."""
        try:
            with safe_open(folder / TENSORS, framework="np") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            lines = (folder / TEXTS).read_text(encoding="utf-8").split("\n")
            records = [json.loads(line) for line in lines if line]
            probe = cls._from_parts(tensors, records, metadata["tokenizer_hash"])
            intact = probe.content_hash() == metadata["content_hash"]
        except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
            raise BadInput(
                f"the probe in {folder} cannot be read ({error}): record the run again."
            ) from error
        if not intact:
            raise BadInput(f"the probe in {folder} is not what was saved: record the run again.")
        return probe

    @classmethod
    def _from_parts(
        cls, tensors: dict[str, np.ndarray], records: list[dict[str, str]], tokenizer_hash: str
    ) -> "Probe":
        return cls(
            ids=tensors["ids"],
            prompt_lengths=tensors["prompt_lengths"],
            lengths=tensors["lengths"],
            positions={
                name.removeprefix(_POSITION): array
                for name, array in sorted(tensors.items())
                if name.startswith(_POSITION)
            },
            labels={name: tuple(record[name] for record in records) for name in records[0]},
            chance=tensors["chance"],
            tokenizer_hash=tokenizer_hash,
        )

    def _tensors(self) -> dict[str, np.ndarray]:
        named = {_POSITION + name: index for name, index in self.positions.items()}
        return {
            "ids": self.ids,
            "prompt_lengths": self.prompt_lengths,
            "lengths": self.lengths,
            "chance": self.chance,
            **named,
        }


def _chance(rows: list[Example], taskset: TaskSet) -> Float[np.ndarray, "row"]:
    counts = Counter((name, answer) for (_, name), answer in taskset.answers.items())
    return np.array([counts[row.input, row.output] / len(taskset.tasks) for row in rows])
