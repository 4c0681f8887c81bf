"""The rows that are read again at every step."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError

from nucleate._core.arguments import as_path, check_whole
from nucleate._core.errors import BadInput
from nucleate.prompts._choose_rows import choose_rows
from nucleate.prompts._encoding import Encoder
from nucleate.prompts._positions import DEFAULT, place_arrays, position_names
from nucleate.prompts._records import (
    AnyEncoder,
    EncodedRows,
    encode_rows,
    encoder_for,
    say_torn,
)
from nucleate.prompts._sources import read_rows
from nucleate.prompts._stored import POSITION, read, write
from nucleate.prompts._template import AFTER
from nucleate.prompts._text import TextEncoder
from nucleate.tasks import Example, TaskSet, canonical_hash, tokenizer_hash

Positions = str | int | Iterable[str | int]
"""Names of positions, and whole numbers that count tokens of the prompt."""


@dataclass(frozen=True, eq=False, repr=False)
class PromptSet:
    """Fixed rows with their tokens, named positions and labels.

    Two are equal where their `content_hash` is.

    Args:
        ids: prompt followed by answer, right padded with 0. Where a row ends is known from
            `lengths` only, never from an id.
        prompt_lengths: tokens of each row before its answer.
        lengths: tokens of each row, answer included; a row without one has its prompt's length.
        positions: name -> the index of a token in each row, or a half-open span of tokens in each
            row, whose states are averaged. Their order is that of the positions in States.
        labels: name -> one text per row; any columns.
        chance: the share of all tasks (the row's own counts) whose answer to the row's input
            is the row's output: how often a task drawn at random is right. NaN where not known.
        tokenizer_hash: which tokenizer the ids belong to; empty if that is not known.

    Raises:
        BadInput: a position or a length is beyond its row, or a label does not have one text per
            row.
    """

    ids: Int[np.ndarray, "row length"]
    prompt_lengths: Int[np.ndarray, "row"]
    lengths: Int[np.ndarray, "row"]
    positions: dict[str, Int[np.ndarray, "row"] | Int[np.ndarray, "row 2"]]
    labels: dict[str, tuple[str, ...]]
    chance: Float[np.ndarray, "row"]
    tokenizer_hash: str

    def __post_init__(self) -> None:
        ordered = (self.prompt_lengths >= 1) & (self.prompt_lengths <= self.lengths)
        bad = ~ordered | (self.lengths > self.ids.shape[1])
        if bad.any():
            row = int(bad.argmax())
            raise BadInput(
                f"row {row} of the prompt set has {self.lengths[row]} tokens, of which "
                f"{self.prompt_lengths[row]} are its prompt, in {self.ids.shape[1]} places: give "
                "lengths that fit."
            )
        for name, index in self.positions.items():
            first, stop = (index, index + 1) if index.ndim == 1 else (index[:, 0], index[:, 1])
            beyond = (first < 0) | (first >= stop) | (stop > self.lengths)
            if beyond.any():
                row = int(beyond.argmax())
                raise BadInput(
                    f"position {name!r} is {index[row]} in row {row} of the prompt set, which has "
                    f"{self.lengths[row]} tokens: name one that the row has."
                )
        for name, texts in self.labels.items():
            if len(texts) != len(self):
                raise BadInput(
                    f"label {name!r} has {len(texts)} texts for {len(self)} prompts: "
                    "give one per row."
                )

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PromptSet):
            return NotImplemented
        return self.content_hash() == other.content_hash()

    def __hash__(self) -> int:
        return hash(self.content_hash())

    def __repr__(self) -> str:
        values = {name: len(set(texts)) for name, texts in self.labels.items()}
        labels = ", ".join(f"{name} ({count})" for name, count in values.items())
        lengths = sorted(set(self.lengths.tolist()))
        span = "-".join(map(str, sorted({*lengths[:1], *lengths[-1:]}))) or "0"
        return (
            f"PromptSet({len(self)} rows of {span} tokens; positions {', '.join(self.positions)}; "
            f"labels (distinct values) {labels or 'none'}; hash {self.content_hash()[:10]})"
        )

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    @classmethod
    def from_records(
        cls,
        source: object,
        tokenizer: Any,
        *,
        positions: Positions = DEFAULT,
        template: str | None = None,
        max_length: int | None = None,
        truncate: str | None = None,
        limit: int | None = None,
        seed: int = 0,
    ) -> "PromptSet":
        """Make a prompt set of rows of your own.

        A row is a mapping; what its prompt is made of is, in this order, the column

        - `ids`: a list of token ids, used as they are, with `instruction_end`, an index, if known;
        - `messages` or `conversations`: a chat, rendered by the tokenizer's chat template with
          every key of its messages, and with the row's `tools`, `documents` and
          `chat_template_kwargs`. Its instruction is the user's last message; a last message of the
          assistant, or `output`, is the answer;
        - `text`: raw text, tokenized as `tokenizer(text)` does;
        - `instruction`, with `input` and `output` if there are such, put into the template;
        - `prompt`, a chat or raw text, with its answer in `completion`, `chosen` or `output`;
        - `chosen` and `rejected`: chats whose common beginning is the prompt.

        All other columns become labels, and so do the texts; a value that is not there (None, NaN)
        is an empty text. All rows need the same columns, but `input`, `output`, `completion`,
        `instruction_end` and what a chat template is told may be missing or empty in some.
        docs/prompts.md has the details.

        Args:
            source: path to a file (.jsonl, .json, .csv, .tsv, .parquet, .arrow; also .gz, .bz2,
                .xz) or to the folder of a saved data set; an iterable of mappings, such as a list
                or a `datasets.Dataset` (its class labels become their names); a pandas data frame,
                an Arrow table or a mapping of columns; or a TaskSet, of which rows are chosen as
                `from_taskset` does.
            tokenizer: the model's, of Hugging Face; or an encoder. None is enough for `ids`: the
                prompt set then cannot tell whether a tokenizer is its own.
            positions: one or several of `instruction_end` (the last token with text of the
                instruction), `last` and `first` (of the prompt), `mean` (over the prompt),
                `mean:instruction`, or whole numbers: 3 is the fourth token of the prompt, -2 its
                last but one.
            template: for rows of instructions, see `TextEncoder`; a format string or `"chat"`.
            max_length: the most tokens of a row; by default what the tokenizer says of its model.
            truncate: the side on which longer prompts lose tokens, `left` or `right` (specials
                that the tokenizer adds stay); None refuses them.
            limit: the most rows: the first ones; of a TaskSet about how many, 600 by default.
            seed: decides which rows of a TaskSet are chosen.

        Returns:
            The prompt set, rows in the order of the source. `chance` is the share of the tasks (the
            distinct values of `task` among answered rows with the same `input`) with the row's
            output; NaN without an answer or a `task`.

        Raises:
            BadInput: the source cannot be read or is empty; rows have no or unequal columns, an
                empty text, an id beyond the vocabulary, no instruction where a position needs one,
                fewer tokens than a position counts, or more than `max_length`.

        Notes:
            Prompt and answer have the tokens of their whole text. A token that reaches over the
            boundary is the prompt's if it holds only white space of the answer, else the answer's;
            a warning says so where it holds text of both.

            The mean over a prompt holds the token that opens every text, whose state is often far
            larger than all others; `mean:instruction` leaves it out, except in rows of `ids`,
            where the instruction is taken to begin at the first token.

        Examples:
            >>> import nucleate as nc
            >>> rows = [{"ids": [5, 2, 7], "instruction_end": 1, "task": "a"},
            ...         {"ids": [5, 8], "instruction_end": 0, "task": "b"}]
            >>> prompts = nc.PromptSet.from_records(rows, None)
            >>> len(prompts), list(prompts.positions), prompts.labels["task"]
            (2, ['instruction_end', 'last'], ('a', 'b'))
            >>> prompts.positions["instruction_end"].tolist()
            [1, 0]
        """
        names = position_names(positions)
        if isinstance(source, TaskSet):
            rows = 600 if limit is None else limit
            return cls.from_taskset(
                source, tokenizer, rows=rows, seed=seed, positions=names, template=template,
                max_length=max_length, truncate=truncate,
            )  # fmt: skip
        encoded, encoder = encode_rows(read_rows(source, limit), tokenizer, template)
        if max_length is None and encoder is not None:
            max_length = encoder.max_length
        return cls._assemble(say_torn(encoded).fitted(max_length, truncate), names)

    @classmethod
    def from_taskset(
        cls,
        taskset: TaskSet,
        encoder: Any,
        *,
        rows: int = 600,
        seed: int,
        positions: Positions = DEFAULT,
        template: str | None = None,
        max_length: int | None = None,
        truncate: str | None = None,
    ) -> "PromptSet":
        """Choose and encode the rows of a set.

        Every task gets the same number of instruction strings, half of them `seen` and half
        `unseen_string` where there are such, each with the same inputs (task x family x string x
        input); where tasks have no inputs in common, each string keeps rows of its own. Each row
        carries the split whose promise it keeps (`TaskSet.split_of`): a trained string with an
        input that its family was never trained on is `unseen_cell`, and a string that was never
        trained is `unseen_string` with every input. Rows of the splits `unseen_family` and
        `unseen_input` are added, about a quarter of the rows at most.

        Args:
            taskset: the set.
            encoder: turns texts into ids; or a Hugging Face tokenizer.
            rows: about the largest number of rows before those that are added.
            seed: decides what is chosen.
            positions: as for `from_records`.
            template: for a tokenizer, see `TextEncoder`; by default instruction and input stand in
                the order of the set, on a line each.
            max_length: as for `from_records`.
            truncate: as for `from_records`.

        Returns:
            The prompt set; rows with the same beginning stand together.

        Raises:
            BadInput: fewer than two rows are asked for; instruction noise left a task without a
                string that is trained with all chosen inputs; or as for `from_records`.
        """
        if not isinstance(taskset, TaskSet):
            raise BadInput(f"taskset is {taskset!r}; make one with nucleate.tasks")
        check_whole("rows", rows, least=2)
        check_whole("seed", seed, least=0)
        chosen = choose_rows(taskset, rows, np.random.default_rng(seed))
        if taskset.order == "after":
            first = {
                name: index for index, name in enumerate(dict.fromkeys(row.input for row in chosen))
            }
            chosen = sorted(chosen, key=lambda row: first[row.input])
            if template is None and not isinstance(encoder, Encoder | TextEncoder):
                template = AFTER
        return cls.from_examples(
            chosen, taskset, encoder_for(encoder, template), positions=positions,
            max_length=max_length, truncate=truncate,
        )  # fmt: skip

    @classmethod
    def from_examples(
        cls,
        rows: "list[Example]",
        taskset: TaskSet,
        encoder: AnyEncoder,
        *,
        positions: Positions = DEFAULT,
        max_length: int | None = None,
        truncate: str | None = None,
    ) -> "PromptSet":
        """Encode given rows in the order in which they come; `taskset` knows their chance."""
        fields = ("task", "family", "instruction", "input", "output", "split")
        pairs = [encoder.encode_row(row.instruction, row.input, row.output) for row in rows]
        encoded = EncodedRows(
            wheres=[f"row {index}" for index in range(len(rows))],
            prompts=[prompt for prompt, _ in pairs],
            answers=[answer for _, answer in pairs],
            labels={name: tuple(getattr(row, name) for row in rows) for name in fields},
            chance=_chance(rows, taskset),
            tokenizer_hash=encoder.tokenizer_hash,
        )
        longest = encoder.max_length if max_length is None else max_length
        return cls._assemble(say_torn(encoded).fitted(longest, truncate), position_names(positions))

    @classmethod
    def _assemble(cls, rows: EncodedRows, positions: tuple[str, ...]) -> "PromptSet":
        full = [
            prompt.ids + answer for prompt, answer in zip(rows.prompts, rows.answers, strict=True)
        ]
        ids = np.zeros((len(full), max(map(len, full))), dtype=np.int32)
        for index, row_ids in enumerate(full):
            ids[index, : len(row_ids)] = row_ids
        return cls(
            ids=ids,
            prompt_lengths=np.array([len(prompt.ids) for prompt in rows.prompts]),
            lengths=np.array([len(row_ids) for row_ids in full]),
            positions=place_arrays(positions, rows.prompts, rows.wheres),
            labels=rows.labels,
            chance=rows.chance,
            tokenizer_hash=rows.tokenizer_hash,
        )

    def take(self, rows: Int[np.ndarray, "chosen"]) -> "PromptSet":
        """Some rows, in the order given.

        Args:
            rows: their indices.
        """
        return replace(
            self,
            ids=self.ids[rows],
            prompt_lengths=self.prompt_lengths[rows],
            lengths=self.lengths[rows],
            positions={name: index[rows] for name, index in self.positions.items()},
            labels={name: tuple(texts[row] for row in rows) for name, texts in self.labels.items()},
            chance=self.chance[rows],
        )

    def ends(self, position: str) -> Int[np.ndarray, "row"]:
        """Return, for each row, how many of its tokens a position's state depends on.

        Args:
            position: a name in `positions`; of a span its last token counts.

        Returns:
            At least 1: the tokens up to and including the position.
        """
        if position not in self.positions:
            known = ", ".join(self.positions)
            raise BadInput(f"position {position!r} is not in the prompt set: use one of {known}.")
        index = self.positions[position]
        return index + 1 if index.ndim == 1 else index[:, 1]

    def prefix_groups(self, position: str) -> Int[np.ndarray, "row"]:
        """Number the rows so that equal tokens up to and including a position share a number.

        A causal model has one state for all rows of such a group. Of a span, its beginning must be
        the same as well.

        Args:
            position: a name in `positions`.

        Returns:
            0, 1, ... in the order in which the groups first occur.
        """
        ends, index = self.ends(position), self.positions[position]
        starts = index[:, 0] if index.ndim == 2 else np.zeros_like(ends)
        numbers: dict[tuple[int, bytes], int] = {}
        keys = [
            (int(start), row[:end].tobytes())
            for row, start, end in zip(self.ids, starts, ends, strict=True)
        ]
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys])

    def check_labels(self, *names: str, user: str) -> None:
        """Raise BadInput if the prompt set lacks a label that `user` needs."""
        missing = [name for name in names if name not in self.labels]
        if missing:
            names_missing = " and no ".join(map(repr, missing))
            raise BadInput(
                f"the prompts have no label {names_missing}, which {user} needs: make "
                "the prompt set from rows that have it."
            )

    def check_tokenizer(self, tokenizer: Any) -> None:
        """Raise BadInput if a tokenizer is not the one that the prompt set's ids belong to.

        Args:
            tokenizer: of Hugging Face, of the tokenizers library, or an encoder. Its padding and
                truncation settings make no difference. A prompt set without a hash passes any.
        """
        if not self.tokenizer_hash:
            return
        if isinstance(tokenizer, Encoder | TextEncoder):
            found = [tokenizer.tokenizer_hash]
        else:
            found = [tokenizer_hash(tokenizer)]
            if getattr(tokenizer, "chat_template", None):
                found.append(tokenizer_hash(tokenizer, chat=True))
        if self.tokenizer_hash not in found:
            raise BadInput(
                f"the tokenizer (hash {found[-1][:12]}) is not the one that the prompts were made "
                f"with ({self.tokenizer_hash[:12]}): use that one, or make the prompt set again."
            )

    def content_hash(self) -> str:
        """Return the SHA-256 of tokens, positions, labels and chance, as 64 hexadecimal digits."""
        tensors = {
            name: [str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
            for name, array in self._tensors().items()
        }
        # The order of positions is that of the states; in older prompt sets it was alphabetical.
        order = list(self.positions)
        ordered = [] if order == sorted(order) else [order]
        return canonical_hash([tensors, self.labels, self.tokenizer_hash, *ordered])

    def save(self, folder: str | PathLike[str]) -> None:
        """Write `prompts.safetensors` (numbers) and `prompts.jsonl` (labels, one line per row).

        Raises:
            BadInput: the folder cannot be written.
        """
        folder = as_path("folder", folder)
        metadata = {
            "tokenizer_hash": self.tokenizer_hash,
            "content_hash": self.content_hash(),
            "positions": json.dumps(list(self.positions)),
        }
        try:
            write(folder, self._tensors(), self.labels, metadata)
        except (OSError, SafetensorError) as error:
            raise BadInput(
                f"the prompt set cannot be saved in {folder} ({error}): name another folder."
            ) from error

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> "PromptSet":
        """Read what `save` wrote, now or in version 0.1.

        Args:
            folder: with `prompts.safetensors` and `prompts.jsonl`, such as a run; or with
                `probe.safetensors` and `probe.jsonl`, as version 0.1 called them.

        Raises:
            BadInput: a file is missing, damaged, or of other prompts.
        """
        folder = as_path("folder", folder)
        try:
            parts, saved = read(folder)
            prompts = cls(**parts)
            intact = prompts.content_hash() == saved
        except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
            raise BadInput(
                f"the prompt set in {folder} cannot be read ({error}): record the run again."
            ) from error
        if not intact:
            raise BadInput(
                f"the prompt set in {folder} is not what was saved: record the run again."
            )
        return prompts

    def _tensors(self) -> dict[str, np.ndarray]:
        named = {POSITION + name: index for name, index in self.positions.items()}
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
