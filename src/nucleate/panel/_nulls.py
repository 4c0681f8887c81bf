"""The null ladder: what a number would be by chance, and what each rung needs to be drawn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from nucleate.panel._panel import Panel
from nucleate.runs import States

_UNTRAINED = 5


@dataclass(frozen=True)
class Null:
    """A rung of the ladder, ours or yours.

    A null of your own is a subclass with a `name`, `asks` and `needs`, and one of two methods:
    `permuted` gives labels that have lost what is asked about, and the panel lays the 99 % point of
    each number under them beside it, as the column `<name>_q99`; `models` gives states of models
    that cannot have what is asked about, and the panel lays the most among them beside it, as
    `<name>_max`. Column names are in lower case. Verdicts rest on N0, N1 and N2 alone.

    Attributes:
        name: N0 to N5; of your own any other.
        asks: the question that a number beyond it has answered with no.
        needs: what must be given or measured for it.
    """

    name: ClassVar[str]
    asks: ClassVar[str]
    needs: ClassVar[str]

    @property
    def size(self) -> int:
        """How many draws or models it has."""
        return 1

    def missing(self, metrics: Collection[str]) -> str:
        """Why it cannot be drawn although it is asked for; empty if it can.

        Args:
            metrics: names of the metrics that are measured.
        """
        del metrics
        return ""

    def permuted(
        self,
        labels: Int[np.ndarray, "row"],
        strings: Int[np.ndarray, "row"],
        rng: np.random.Generator,
    ) -> Int[np.ndarray, "draw row"] | None:
        """Labels of the same rows under this null; None if it is not about labels.

        Args:
            labels: class of each row, from 0.
            strings: instruction string of each row, from 0.
            rng: seeded by the panel's seed.

        Returns:
            One labeling per draw, of classes that `labels` has.
        """
        del labels, strings, rng
        return None

    def models(self) -> Sequence[States]:
        """States of models on the same prompt set; none if it is not about models."""
        return ()


@dataclass(frozen=True)
class Permuted(Null):
    """N0: labels permuted over instruction strings, and over whole families.

    Attributes:
        n_permutations: of each label. Metrics that take a pass over the states for each draw take
            the first 199 of them.
    """

    name = "N0"
    asks = "would any grouping of the same strings do as well?"
    needs = "n_permutations > 0"

    n_permutations: int = 999

    @property
    def size(self) -> int:
        """How many permutations."""
        return self.n_permutations

    def missing(self, metrics: Collection[str]) -> str:
        """Whether no permutation is drawn."""
        del metrics
        return "" if self.size > 0 else "it has no permutations; ask for at least 199"


@dataclass(frozen=True)
class Untrained(Null):
    """N1: models of the same architecture with fresh weights.

    Attributes:
        states: what `capture` reads from at least five of them, on the same prompt set.
    """

    name = "N1"
    asks = "does the architecture alone do it to this text?"
    needs = "states of at least five untrained models, which need the model's configuration"

    states: Sequence[States] = ()

    @property
    def size(self) -> int:
        """How many models."""
        return len(self.states)

    def missing(self, metrics: Collection[str]) -> str:
        """Whether there are too few models."""
        del metrics
        if len(self.states) >= _UNTRAINED:
            return ""
        return f"{len(self.states)} untrained models are there; {_UNTRAINED} are needed"


@dataclass(frozen=True)
class SurfaceText(Null):
    """N2: the bag of tokens up to the position, plain and as TF-IDF, without any model."""

    name = "N2"
    asks = "do the words alone give it away?"
    needs = "the prompt set's tokens"


@dataclass(frozen=True)
class Gaussian(Null):
    """N3: rows drawn from one Gaussian with the states' own covariance.

    Attributes:
        draws: each is clustered anew, for each stream of each snapshot.
    """

    name = "N3"
    asks = "are there any clusters at all, or one elongated cloud?"
    needs = "draws, each clustered anew, and the metric 'silhouette'"

    draws: int = 99

    @property
    def size(self) -> int:
        """How many draws."""
        return self.draws

    def missing(self, metrics: Collection[str]) -> str:
        """Whether nothing is drawn, or nothing measured that it is for."""
        if "silhouette" not in metrics:
            return "it is for the metric 'silhouette', which is not measured"
        return "" if self.draws > 0 else "it has no draws; ask for at least 19"


@dataclass(frozen=True)
class Scrambled(Null):
    """N4: a model trained on the same tokens without the link of instruction and task.

    Attributes:
        panel: of that model's run, with the same prompt set layout; each number is compared with
            its last one at or before the same step.
    """

    name = "N4"
    asks = "does training on such text do it without any task to learn?"
    needs = "the panel of a run whose tasks are drawn anew for every example"

    panel: Panel | None = field(default=None, repr=False)

    def missing(self, metrics: Collection[str]) -> str:
        """Whether no panel was given."""
        del metrics
        return "" if self.panel is not None else "no panel of such a run is given"


@dataclass(frozen=True)
class ControlLabels(Null):
    """N5: labels drawn once for each instruction string (Hewitt and Liang 2019).

    Attributes:
        draws: sets of control labels, averaged.
    """

    name = "N5"
    asks = "has the linear probe learned the strings by heart?"
    needs = "a linear probe (metric 'selectivity') and several rows of each string"

    draws: int = 1

    @property
    def size(self) -> int:
        """How many draws."""
        return self.draws

    def missing(self, metrics: Collection[str]) -> str:
        """Whether no linear probe is fitted that it is for."""
        if "selectivity" not in metrics:
            return "it is for the metric 'selectivity', which is not measured"
        return "" if self.draws > 0 else "it has no draws; ask for at least one"


LADDER: tuple[type[Null], ...] = (
    Permuted,
    Untrained,
    SurfaceText,
    Gaussian,
    Scrambled,
    ControlLabels,
)


def missing_nulls(given: Sequence[Null], metrics: Collection[str]) -> dict[str, str]:
    """Name every rung that is not drawn, with what it needs."""
    found = {null.name: null.missing(metrics) for null in given}
    for rung in LADDER:
        found.setdefault(rung.name, f"it was not asked for; it needs {rung.needs}")
    return {name: why for name, why in sorted(found.items()) if why}
