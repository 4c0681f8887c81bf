"""Where snapshots come from: a run on disk, or what the caller holds in memory."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.prompts import PromptSet
from nucleate.runs import Run, States

Snapshots: TypeAlias = States | Mapping[int, States] | Iterable[tuple[int, States]]
"""States of one model, or of several steps."""


@dataclass(frozen=True)
class Unit:
    """What is measured as one, from the first step to the last: the k-means chains of a place.

    Attributes:
        position, view: of the states.
        streams: which of them, by number.
    """

    position: str
    view: str
    streams: slice

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.position}.{self.view}.{self.streams.start}".replace("/", "_")


class Source(Protocol):
    """Snapshots in order; all of the same streams, positions and rows."""

    prompts: PromptSet
    steps: list[int]
    streams: tuple[str, ...]
    positions: tuple[str, ...]
    folder: Path | None

    def read(self, step: int, unit: Unit) -> Float[Tensor, "stream row width"]:
        """The states of one unit, all rows of the prompt set."""
        ...

    def fingerprint(self, step: int) -> str:
        """The same for the same states; different, almost surely, for others."""
        ...


class Memory:
    """Snapshots that the caller holds."""

    folder: Path | None = None

    def __init__(self, snapshots: Snapshots, prompts: PromptSet) -> None:
        self.prompts = prompts
        self._states = _by_step(snapshots)
        self.steps = list(self._states)
        if not self.steps:
            raise BadInput("no snapshots were given; record at least one step")
        if self.steps != sorted(self.steps):
            raise BadInput(f"the steps {self.steps} do not rise; give the snapshots in order")
        first = self._states[self.steps[0]]
        self.streams, self.positions = first.streams, first.positions
        for step, states in self._states.items():
            check_alike(states, self, f"step {step}")

    def read(self, step: int, unit: Unit) -> Float[Tensor, "stream row width"]:
        return part_of(self._states[step], unit)

    def fingerprint(self, step: int) -> str:
        return str(step)


class OfRun:
    """The snapshots of a run folder, read piece by piece."""

    def __init__(self, run: Run) -> None:
        self.prompts, self._run = run.prompts, run
        self.folder: Path | None = run.path
        self.steps = run.steps
        if not self.steps:
            raise BadInput(f"{run.path} has no snapshots; record at least one step")
        self.streams, self.positions, rows = run.shape(self.steps[0])
        expected = (self.streams, self.positions, len(self.prompts))
        if rows != len(self.prompts):
            raise BadInput(_other(f"step {self.steps[0]}", run.shape(self.steps[0]), expected))
        for step in self.steps[1:]:
            if run.shape(step) != expected:
                raise BadInput(_other(f"step {step}", run.shape(step), expected))

    def read(self, step: int, unit: Unit) -> Float[Tensor, "stream row width"]:
        return self._run.part(step, unit.streams, self.positions.index(unit.position))

    def fingerprint(self, step: int) -> str:
        return f"{zlib.crc32(self._run.snapshot_path(step).read_bytes()):08x}"


def source_of(given: Run | Snapshots, prompts: PromptSet | None) -> Memory | OfRun:
    """The source that fits what was given.

    Raises:
        BadInput: states without a prompt set, a run with another one, or snapshots that do not fit.
    """
    if isinstance(given, Run):
        if prompts is not None and prompts.content_hash() != given.prompts.content_hash():
            raise BadInput(f"{given.path} has a prompt set of its own, another one; leave it out")
        return OfRun(given)
    if not isinstance(prompts, PromptSet):
        raise BadInput("states were given without their prompt set; give it as the second argument")
    return Memory({0: given} if isinstance(given, States) else given, prompts)


def _by_step(snapshots: object) -> dict[int, States]:
    """Snapshots that were given as a mapping or in pairs, each once."""
    pairs = snapshots.items() if isinstance(snapshots, Mapping) else snapshots
    found: dict[int, States] = {}
    for pair in pairs if isinstance(pairs, Iterable) else [pairs]:
        step, states = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, pair)
        if not isinstance(step, int) or not isinstance(states, States):
            raise BadInput(
                f"{type(pair).__name__} cannot be measured; give a run or its folder, nc.States as "
                "nc.capture returns them, or pairs (step, states)"
            )
        if step in found:
            raise BadInput(f"step {step} was given twice; give each snapshot once")
        found[step] = states
    return found


def check_alike(states: States, source: Memory | OfRun, what: str) -> None:
    """Refuse states of other streams, positions or rows than the source's."""
    found = (states.streams, states.positions, states.values.shape[2])
    expected = (source.streams, source.positions, len(source.prompts))
    if found != expected:
        raise BadInput(_other(what, found, expected))


def part_of(states: States, unit: Unit) -> Float[Tensor, "stream row width"]:
    """The states of one unit, on the CPU: some accelerators have no float64."""
    return states.values[unit.streams, states.positions.index(unit.position)].cpu()


def fingerprint_of(states: Sequence[States]) -> str:
    """One for several states."""
    found = 0
    for item in states:
        found = zlib.crc32(item.values.cpu().contiguous().view(torch.uint8).numpy().data, found)
    return f"{len(states)}.{found:08x}"


_Shape = tuple[tuple[str, ...], tuple[str, ...], int]


def _other(what: str, found: _Shape, expected: _Shape) -> str:
    return (
        f"the states of {what} have streams {found[0]}, positions {found[1]} and {found[2]} rows "
        f"instead of {expected[0]}, {expected[1]} and {expected[2]}; measure states of one run "
        "and its own prompt set"
    )
