"""From the answers under every edit to tables, with intervals over instruction strings."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from nucleate.intervene._cast import NOBODY, Cast
from nucleate.intervene._controls import EDITS, REMOVALS, SHIFTS

Interval = tuple[float, float]
Scores = dict[str, Float[np.ndarray, "row edit"]]
"""Name of a score -> its value for every tested row under every edit."""

_RESAMPLES, _FEW_RESAMPLES = 10_000, 2_000
_EDIT = {name: index for index, name in enumerate(EDITS)}
_BORROWED = {"patch": "donor", "patch_subspace": "donor", "other_input": "other"}


@dataclass(frozen=True)
class Mean:
    """A share of rows (or a mean over them), and what resampled strings give for it."""

    value: float
    draws: Float[np.ndarray, "draw"]

    def __sub__(self, other: "Mean") -> "Mean":
        return Mean(self.value - other.value, self.draws - other.draws)

    def interval(self) -> Interval:
        """95 % of the draws."""
        if np.isnan(self.value):
            return float("nan"), float("nan")
        low, high = np.quantile(self.draws, [0.025, 0.975])
        return float(low), float(high)


class Simultaneous:
    """Intervals that hold for many means at once.

    In 95 % of the resamples every mean of the family lies within its own interval: each reaches
    from its mean as many standard deviations as the farthest mean of a resample is away (the
    bootstrapped maximum of Westfall and Young 1993). Means that go together, such as those of
    neighboring blocks, cost less than a Bonferroni correction takes.

    Args:
        family: the means; those that are NaN or do not vary decide nothing.
        strings: how many were resampled. The spread of few is underestimated, for which Student's
            distribution allows.
    """

    def __init__(self, family: Iterable[Mean], strings: int) -> None:
        below = above = None
        for mean in family:
            spread = float(mean.draws.std())
            if not spread > 0:  # NaN too
                continue
            off = (mean.draws - mean.value) / spread
            below = -off if below is None else np.maximum(below, -off)
            above = off if above is None else np.maximum(above, off)
        wider = _student(strings)
        self._below = 0.0 if below is None else wider * float(np.quantile(below, 0.975))
        self._above = 0.0 if above is None else wider * float(np.quantile(above, 0.975))

    def interval(self, mean: Mean) -> Interval:
        """Both ends for one of the family; for several rivals ask for each, and take the least."""
        spread = float(mean.draws.std())
        return mean.value - self._below * spread, mean.value + self._above * spread


class Resampled:
    """Resamples instruction strings, the same ones for every number of a map."""

    def __init__(self, strings: Int[np.ndarray, "row"], rng: np.random.Generator) -> None:
        self._of_row = np.unique(strings, return_inverse=True)[1]
        self.strings = int(self._of_row.max()) + 1
        even = np.full(self.strings, 1 / self.strings)
        self._counts = rng.multinomial(self.strings, even, size=_RESAMPLES).astype(np.float32)

    def strings_of(self, rows: Bool[np.ndarray, "row"]) -> int:
        """How many strings some rows have."""
        return len(np.unique(self._of_row[rows]))

    def fewer(self) -> "Resampled":
        """As many resamples as an interval needs that is corrected for nothing."""
        few = copy.copy(self)
        few._counts = self._counts[:_FEW_RESAMPLES]
        return few

    def mean(
        self, values: Float[np.ndarray, "row"], rows: Bool[np.ndarray, "row"] | None = None
    ) -> Mean:
        """The mean of some rows' values; NaN of none."""
        inside = np.ones(len(values), dtype=bool) if rows is None else rows
        if not inside.any():
            return Mean(float("nan"), np.full(len(self._counts), np.nan, dtype=np.float32))
        where = self._of_row[inside]
        sums = np.bincount(where, values[inside], self.strings)
        drawn = self._counts @ np.stack([sums, np.bincount(where, minlength=self.strings)], 1)
        # A sample without any such row says nothing new.
        value = float(values[inside].mean())
        draws = np.where(drawn[:, 1] > 0, drawn[:, 0] / np.maximum(drawn[:, 1], 1), value)
        return Mean(value, draws)


@dataclass(frozen=True)
class PlaceScores:
    """The answers under all edits at one place, ready to be put into tables.

    Attributes:
        stream, position: where.
        scores: of all edits.
        clean: the scores without an edit [row].
        beyond: which edited states are longer than 99 % of those that occur there.
    """

    stream: str
    position: str
    scores: Scores
    clean: dict[str, Float[np.ndarray, "row"]]
    beyond: Bool[np.ndarray, "row edit"]

    def contrasts(self, roles: Cast, resampled: Resampled) -> dict[str, list[Mean]]:
        """Each effect less each of its rivals, by the name of the interval that follows."""
        lent = roles.redirectable & (roles.donor != NOBODY)
        moved = self._hit("shift", "target", roles.redirectable, resampled)
        rivals = self._rivals(roles, resampled).values()
        patched = self._hit("patch", "target", lent, resampled) - resampled.mean(
            self.clean["hit.target"], lent
        )
        over = ("random_erase", "displaced")
        return {
            "shift_excess": [moved - rival for rival in rivals],
            "erase_excess": self._excess("erase", over, roles.erased, resampled),
            "ablate_excess": self._excess("ablate", over[:1], roles.erased, resampled),
            "patch_excess": [patched],
            "shift_simultaneous": [moved],
            "erase_simultaneous": [self._cost("erase", resampled, roles.erasable_rows)],
        }

    def numbers(self, roles: Cast, resampled: Resampled) -> dict[str, object]:
        """This place's line of `CausalMap.table`, without `contrasts` and `decodable`."""
        return {
            "stream": self.stream,
            "position": self.position,
            "rows": len(roles.tested),
            "strings": resampled.strings,
            "shift_strings": resampled.strings_of(roles.redirectable),
            "erase_strings": resampled.strings_of(roles.erased),
            **_with_interval("accuracy", resampled.mean(self.clean["hit.own"])),
            "task_blind": roles.task_blind,
            **self._sufficiency(roles, resampled),
            **self._necessity(roles, resampled),
            "not_asked": "; ".join(f"{what}: {why}" for what, why in roles.not_asked.items()),
        }

    def edits(self, roles: Cast, resampled: Resampled) -> list[dict[str, object]]:
        """This place's lines of `CausalMap.edits`."""
        return [self._edit(name, roles, resampled) for name in EDITS]

    def _rivals(self, roles: Cast, resampled: Resampled) -> dict[str, Mean]:
        """What a shift's effect must exceed."""
        rows = roles.redirectable
        return {
            "chance": resampled.mean(roles.chance, rows),
            "wrong_task": self._hit("shift", "third", rows, resampled),
            **{name: self._hit(name, "target", rows, resampled) for name in SHIFTS},
        }

    def _sufficiency(self, roles: Cast, resampled: Resampled) -> dict[str, object]:
        """What shift and patch make of the answers."""
        rows = roles.redirectable
        lent = rows & (roles.donor != NOBODY)
        full, part = (self._of(name, "hit.target") for name in ("patch", "patch_subspace"))
        return {
            **_with_interval("shift", self._hit("shift", "target", rows, resampled)),
            **{name: rival.value for name, rival in self._rivals(roles, resampled).items()},
            "shift_beyond": _share(self.beyond[:, _EDIT["shift"]], rows),
            "shift_kl": _share(self._of("shift", "kl"), rows),
            **_with_interval("patch", self._hit("patch", "target", lent, resampled)),
            **_with_interval(
                "patch_subspace", self._hit("patch_subspace", "target", lent, resampled)
            ),
            "agreement": _share(full == part, lent),
        }

    def _necessity(self, roles: Cast, resampled: Resampled) -> dict[str, object]:
        """What removal costs."""
        numbers: dict[str, object] = {}
        for name in REMOVALS:
            cost = self._cost(name, resampled, roles.erasable_rows)
            whole = name in ("erase", "ablate", "erase_onward")
            numbers |= _with_interval(name, cost) if whole else {name: cost.value}
        numbers["erase_kl"] = _share(self._of("erase", "kl"), roles.erasable_rows)
        return numbers

    def _edit(self, name: str, roles: Cast, resampled: Resampled) -> dict[str, object]:
        tested = roles.erasable_rows if name in REMOVALS else np.ones(len(roles.tested), dtype=bool)
        rows = roles.redirectable & tested
        if name in _BORROWED:
            tested = getattr(roles, _BORROWED[name]) != NOBODY
            rows = rows & tested
        prefers = self._of(name, "likelihood.target") > self._of(name, "likelihood.own")
        return {
            "stream": self.stream,
            "position": self.position,
            "edit": name,
            "rows": int(tested.sum()),
            **_with_interval("redirected", self._hit(name, "target", rows, resampled)),
            "third": _share(self._of(name, "hit.third"), rows),
            "prefers_target": _share(prefers, rows),
            **_with_interval("accuracy", self._hit(name, "own", tested, resampled)),
            **_with_interval("flip", resampled.mean(self._flipped(name), tested)),
            **_with_interval("kl", resampled.mean(self._of(name, "kl"), tested)),
            "beyond": _share(self.beyond[:, _EDIT[name]], tested),
        }

    def _of(self, edit: str, score: str) -> np.ndarray:
        values: np.ndarray = self.scores[score][:, _EDIT[edit]]
        return values

    def _hit(self, edit: str, answer: str, rows: np.ndarray, resampled: Resampled) -> Mean:
        return resampled.mean(self._of(edit, f"hit.{answer}"), rows)

    def _flipped(self, edit: str) -> np.ndarray:
        flipped: np.ndarray = self._of(edit, "token") != self.clean["token"]
        return flipped.astype(float)

    def _cost(self, edit: str, resampled: Resampled, rows: np.ndarray | None = None) -> Mean:
        return resampled.mean(self.clean["hit.own"] - self._of(edit, "hit.own"), rows)

    def _excess(
        self, edit: str, controls: tuple[str, ...], rows: np.ndarray, resampled: Resampled
    ) -> list[Mean]:
        """What an edit costs more than each of its controls, on some rows."""
        cost = self._cost(edit, resampled, rows)
        return [cost - self._cost(control, resampled, rows) for control in controls]


# Intervals that decide together what a place is called hold together.
_FAMILIES = (
    ("shift_excess", "erase_excess"),
    ("ablate_excess", "patch_excess"),
    ("shift_simultaneous",),
    ("erase_simultaneous",),
)


def place_table(
    places: list[PlaceScores], roles: Cast, resampled: Resampled
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One line per place, and one line per place and edit."""
    contrasts = [place.contrasts(roles, resampled) for place in places]
    families = {
        # Every rival must be exceeded, so that the closest one decides.
        name: Simultaneous(
            (min(each[kind], key=lambda mean: mean.value) for each in contrasts for kind in family),
            resampled.strings,
        )
        for family in _FAMILIES
        for name in family
    }
    lines = [
        place.numbers(roles, resampled) | _simultaneous_bounds(each, families)
        for place, each in zip(places, contrasts, strict=True)
    ]
    fewer = resampled.fewer()
    edits = [line for place in places for line in place.edits(roles, fewer)]
    return pd.DataFrame(lines), pd.DataFrame(edits)


def _student(strings: int) -> float:
    """How much wider an interval over so few strings must be than the bootstrap's own."""
    if strings < 2:
        return 1.0  # nothing is resampled, and nothing is decided
    from scipy.stats import norm, t

    return float(np.sqrt(strings / (strings - 1)) * t.ppf(0.975, strings - 1) / norm.ppf(0.975))


def _simultaneous_bounds(
    contrasts: dict[str, list[Mean]], families: dict[str, Simultaneous]
) -> dict[str, object]:
    bounds: dict[str, object] = {}
    for name, means in contrasts.items():
        ends = [families[name].interval(mean) for mean in means]
        bounds |= _bounds(name, (min(low for low, _ in ends), min(high for _, high in ends)))
    return bounds


def _with_interval(name: str, mean: Mean) -> dict[str, object]:
    return {name: mean.value, **_bounds(name, mean.interval())}


def _bounds(name: str, interval: Interval) -> dict[str, object]:
    return {f"{name}_low": interval[0], f"{name}_high": interval[1]}


def _share(values: np.ndarray, rows: np.ndarray) -> float:
    return float(values[rows].mean()) if rows.any() else float("nan")
