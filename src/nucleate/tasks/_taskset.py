"""What is learned: input -> output pairs announced by instructions, split by what is new."""

import hashlib
import json
from dataclasses import astuple, dataclass, field, fields
from functools import cached_property
from html import escape
from typing import Literal

from nucleate._core.errors import BadInput
from nucleate.tasks._splits import SPLITS, Example, Trained


@dataclass(frozen=True, eq=False, repr=False)
class TaskSet:
    """Tasks over inputs, announced by families of instructions.

    Two are equal where their `content_hash` is.

    Args:
        name: what to call the set in a report.
        outputs: `own` (each task has output symbols of its own), `shared` (one output set for all
            tasks) or `natural` (text).
        tasks: the names of the tasks.
        examples: training rows (with noise, if asked for) and clean evaluation rows of all splits.
            `seen` repeats (string, input) pairs that are trained. The other splits hold what no
            training row of any task holds: `unseen_string` a string, whose family is trained (or
            which is a family of its own, as a wording is); `unseen_cell` a (family, input) pair,
            whose string and input the task trains apart; `unseen_family` a family, none of whose
            strings is trained. `unseen_input` has trained strings on inputs that the task never
            trains.
        answers: (task, input) -> the clean output.
        order: whether the instruction stands before or after the input.
        cue: whether a cue token ends the prompt; needed where inputs have several tokens, and
            where the instruction comes after.
        atoms: strings that are one token each; of natural text only answers to requests are.
        weights: how often a task is drawn in training; they sum to 1.
        overlaps: pairs of tasks that have an instruction in common.
        patterns: family -> the regular expression it is drawn from; empty for natural text.
    """

    name: str
    outputs: Literal["own", "shared", "natural"]
    tasks: tuple[str, ...]
    examples: tuple[Example, ...]
    answers: dict[tuple[str, str], str]
    order: Literal["before", "after"]
    cue: bool
    atoms: tuple[str, ...]
    weights: dict[str, float]
    overlaps: tuple[tuple[str, str], ...]
    patterns: dict[str, str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskSet):
            return NotImplemented
        return self.content_hash() == other.content_hash()

    def __hash__(self) -> int:
        return hash(self.content_hash())

    def __repr__(self) -> str:
        rows = ", ".join(f"{len(self.split(name))} {name}" for name in self._by_split)
        inputs = len({name for _, name in self.answers})
        return (
            f"TaskSet({self.name!r}: {len(self.tasks)} tasks, {inputs} inputs; rows: "
            f"{rows or 'none'}; hash {self.content_hash()[:10]})"
        )

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    def split(self, name: str) -> tuple[Example, ...]:
        """Return the rows of one split, in the set's order; BadInput if there is no such split."""
        if name not in SPLITS:
            raise BadInput(f"split {name!r} does not exist: use one of {', '.join(SPLITS)}.")
        return self._by_split.get(name, ())

    def split_of(self, row: Example) -> str | None:
        """Return the evaluation split that a row belongs to, from what the training rows hold.

        Args:
            row: any task, family, instruction and input; its own `split` is not looked at.

        Returns:
            One of `SPLITS` but `train`, or None where the row keeps the promise of none, such as
            an unseen input under an unseen string.
        """
        return self._trained.split_of(row)

    @property
    def crossed(self) -> bool:
        """Whether every task has an answer for every input that any task has an answer for."""
        return len(self.answers) == len(self.tasks) * len({name for _, name in self.answers})

    @cached_property
    def common_inputs(self) -> tuple[str, ...]:
        """The inputs that every task answers, in the order in which the answers name them."""
        counts: dict[str, int] = {}
        for _, name in self.answers:
            counts[name] = counts.get(name, 0) + 1
        return tuple(name for name, count in counts.items() if count == len(self.tasks))

    def content_hash(self) -> str:
        """Return the SHA-256 of everything in the set, as 64 hexadecimal digits."""
        content = {item.name: getattr(self, item.name) for item in fields(self)}
        content["examples"] = list(map(astuple, self.examples))
        content["answers"] = [[*key, value] for key, value in self.answers.items()]
        return canonical_hash(content)

    @cached_property
    def _trained(self) -> Trained:
        return Trained(self.split("train"))

    @cached_property
    def _by_split(self) -> dict[str, tuple[Example, ...]]:
        groups: dict[str, list[Example]] = {}
        for example in self.examples:
            groups.setdefault(example.split, []).append(example)
        return {name: tuple(rows) for name, rows in groups.items()}


def canonical_hash(content: object) -> str:
    """Return the SHA-256 of a JSON value written in the one canonical way."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
