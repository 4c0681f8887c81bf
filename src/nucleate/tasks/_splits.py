"""Rows, and what is new in one, given those that are trained: the rule of all splits."""

from collections.abc import Iterable
from dataclasses import dataclass

SPLITS = ("train", "seen", "unseen_string", "unseen_cell", "unseen_family", "unseen_input")


@dataclass(frozen=True, slots=True)
class Example:
    """One row: an instruction, an input, the output that is wanted, and where the row belongs."""

    task: str
    family: str
    instruction: str
    input: str
    output: str
    split: str


class Trained:
    """What the training rows hold, noise included.

    Args:
        rows: the training rows.
    """

    def __init__(self, rows: Iterable[Example]) -> None:
        self._by_task: dict[str, _Seen] = {}
        self._strings: set[str] = set()
        self._pairs: set[tuple[str, str]] = set()
        for row in rows:
            self._by_task.setdefault(row.task, _Seen.nothing()).add(row)
            self._strings.add(row.instruction)
            self._pairs.add((row.instruction, row.input))

    def split_of(self, row: Example) -> str | None:
        """Return the evaluation split whose promise a row keeps, or None.

        Strings and (string, input) pairs that only another task trains are trained as well, so
        that a row with one is of no split.
        """
        seen = self._by_task.get(row.task, _Seen.nothing())
        pair = row.instruction, row.input
        if row.input not in seen.inputs:
            return "unseen_input" if row.instruction in seen.strings else None
        if pair in seen.pairs:
            return "seen"
        if row.instruction in seen.strings:
            cell_trained = (row.family, row.input) in seen.cells
            return None if cell_trained or pair in self._pairs else "unseen_cell"
        if row.instruction in self._strings:
            return None
        # A wording that is its own family has no other string to learn the family from.
        known = row.family in seen.families or row.family == row.instruction
        return "unseen_string" if known else "unseen_family"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one task trains."""

    strings: set[str]
    inputs: set[str]
    families: set[str]
    pairs: set[tuple[str, str]]
    cells: set[tuple[str, str]]

    @classmethod
    def nothing(cls) -> "_Seen":
        return cls(set(), set(), set(), set(), set())

    def add(self, row: Example) -> None:
        self.strings.add(row.instruction)
        self.inputs.add(row.input)
        self.families.add(row.family)
        self.pairs.add((row.instruction, row.input))
        self.cells.add((row.family, row.input))
