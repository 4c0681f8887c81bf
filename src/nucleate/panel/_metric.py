"""Metric: an entry of the panel, ours or the user's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from nucleate.panel._fingerprint import fingerprint
from nucleate.panel._metric_input import MetricInput, scores_of_function
from nucleate.panel._score import Score, Shown


@dataclass(frozen=True)
class Metric:
    """An entry of the panel.

    Attributes:
        name: by which it is asked for; the scores that it gives may have names of their own.
        about: what it says, in a line.
        measure: from the states of one place to scores.
        on_request: measured only when it is named, because it takes long.
        version: another one makes the numbers that runs have of it void.
        keyframes: measured at keyframes only, because it takes long (`measure`).
        made_of: what `of` was given.
    """

    name: str
    about: str
    measure: Callable[[MetricInput], Iterable[Score]]
    on_request: bool = False
    version: str = "1"
    keyframes: bool = False
    made_of: tuple[Any, ...] = field(default=(), repr=False)

    @property
    def key(self) -> str:
        """What its stored numbers hang on: its name, version and code.

        A metric whose code depends on something that cannot be read, such as an open file, gets
        another key each time: its numbers are never taken from a run's folder.
        """
        return (
            f"{self.name} {self.version} {fingerprint(self.made_of or self.measure) or uuid4().hex}"
        )

    @classmethod
    def of(
        cls,
        name: str,
        function: Callable[..., Any],
        *,
        labels: Sequence[str] = ("task",),
        about: str = "",
        larger: bool = True,
        permuted: bool = True,
        keyframes: bool = False,
    ) -> "Metric":
        """Make a panel entry of a function on arrays.

        Args:
            name: of the number in the table.
            function: of standardized states [row width] and, unless `labels` is empty, of class
                numbers [row]; it returns a number.
            labels: which labels of the prompt set it is measured against; one that a prompt set
                does not have is left out. Empty for a function of the states alone.
            about: a line for the list of metrics.
            larger: whether larger values mean better grouped states.
            permuted: whether to call it on permuted labels as well (N0), as often as there are
                permutations; False for a function that takes long.
            keyframes: measure it at keyframes only.
        """
        shown: Shown = "as it is" if larger else "negated"

        def measure(block: MetricInput) -> Iterable[Score]:
            return scores_of_function(block, name, function, tuple(labels), shown, permuted)

        summary = about or (function.__doc__ or name).strip().splitlines()[0]
        made_of = (function, tuple(labels), shown, permuted)
        return cls(name, summary, measure, keyframes=keyframes, made_of=made_of)
