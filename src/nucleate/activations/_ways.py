"""Ways of putting rows together, each tried against rows read alone before it is used.

Some models let rows of a batch decide on each other: the longest row chooses the rotary factors
of all, one scale quantizes the activations of all, experts take only so many tokens. Whether a
model does is not asked but tried, on the prompt set at hand.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._collect import Collector, read_batches, rested
from nucleate.activations._hooks import unwrapped
from nucleate.activations._model import accepts, text_config
from nucleate.activations._packing import PackedBatch, Shared, plain, read_lengths
from nucleate.activations._placement import all_agree, device_of, weights_dtype
from nucleate.prompts import PromptSet

Way = Literal["shared", "padded", "equal", "alone"]
"""How rows are read: with common beginnings once; in batches of similar length; in batches of equal
length; each by itself."""

_log = logging.getLogger("nucleate")

# States of one forward pass and layer, in numbers: on a CPU they should stay in a core's cache
# (1 MiB in float32), accelerators want many tokens at once.
_NUMBERS_A_BATCH = {"cpu": 2**18}
_TOKENS_ELSEWHERE = 2**14
# Sharing pays where it leaves at most this part of the tokens.
_WORTH_SHARING = 0.8
# Kinds of attention that obey any mask; the others have fast paths that know only causal ones.
_OBEY_MASKS = ("eager", "sdpa")
# Relative errors up to so many units in the last place are rounding; in float32 up to _EXACT,
# since sums of many terms are taken in another order.
_UNITS, _EXACT = 4, 5e-5
# Products of float32 matrices may be taken in fewer digits, where the user has allowed that.
_MATMUL_UNITS = {"high": 2.0**-10, "medium": 2.0**-8}
# Rows that are read alone in a trial, at most, and prompt sets that are remembered for a model.
_MOST_ROWS, _MOST_KNOWN = 6, 64
_AGAIN = 4
# Words in the names of settings that may be lengths at which something changes.
_LENGTHS = ("position", "length", "window", "chunk", "context", "seq")
_NO_LIMIT = 2**62


@dataclass
class Plan:
    """How a prompt set is read out of a model.

    Attributes:
        way: the fastest way that agrees with rows read alone.
        tried: way -> largest error of the rows that were tried, relative to the norm of their
            states; infinite where the model cannot be read so.
        keeps: whether the model keeps something from one pass to the next, or may do so.
        readings: how often it was used.
    """

    way: Way
    tried: dict[Way, float] = field(default_factory=dict)
    keeps: bool = True
    readings: int = 0

    def read(
        self,
        model: nn.Module,
        out: Collector,
        rows: Int[np.ndarray, "row"] | None = None,
        *,
        way: Way | None = None,
    ) -> None:
        """Read the collector's prompt set, or some rows of it, by the plan or in another way."""
        memory = rested(model) if self.keeps else None
        read_batches(model, _batches_of(model, out.prompts, way or self.way, rows), out, memory)


# By model, and there by what a trial depends on.
_plans: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Plan]] = WeakKeyDictionary()


def _batches_of(
    model: nn.Module, prompts: PromptSet, way: Way, rows: Int[np.ndarray, "row"] | None = None
) -> Iterator[PackedBatch]:
    """The batches of a prompt set.

    Args:
        model: a decoder.
        prompts: the rows.
        way: how they are put together.
        rows: which rows; all if None. Not for `shared`.
    """
    tokens = tokens_a_batch(model)
    if way == "shared":
        return Shared(prompts).batches(tokens)
    return _plain(prompts, tokens, way, rows)


def _plain(
    prompts: PromptSet, tokens: int, way: Way, rows: Int[np.ndarray, "row"] | None = None
) -> Iterator[PackedBatch]:
    # Where length makes a difference, a row is as long as it is, with all of its answer.
    own = way in ("equal", "alone")
    return plain(prompts, 1 if way == "alone" else tokens, rows, equal=own, whole=own)


def plan_for(model: nn.Module, prompts: PromptSet, *, share: bool = True) -> Plan:
    """The fastest way to read a prompt set that gives the states of rows read alone.

    Use it in evaluation mode. The trial is remembered for the model and the prompt set, and made
    again after 4, 8, 16 ... readings: experts that take any token before a training may refuse some
    later.

    Args:
        model: a decoder.
        prompts: the rows.
        share: whether common beginnings may be read once.
    """
    known = _plans.setdefault(unwrapped(model), {})
    attention = getattr(text_config(model), "_attn_implementation", None)
    cast = torch.is_autocast_enabled(device_of(model).type)
    key = (_digest(prompts), attention, weights_dtype(model), cast, share)
    plan = known.pop(key, None)
    if plan is None:
        plan = _first_that_agrees(model, prompts, _possible(model, prompts, share))
        while len(known) >= _MOST_KNOWN:
            del known[next(iter(known))]
    elif plan.way != "alone" and _is_due(plan.readings):
        _try_again(model, prompts, plan)
    plan.readings += 1
    known[key] = plan
    return plan


def _is_due(readings: int) -> bool:
    """Whether the trial is made again after so many readings."""
    return readings >= _AGAIN and not readings & (readings - 1)


def tokens_a_batch(model: nn.Module) -> int:
    """How many tokens one forward pass should have."""
    numbers = _NUMBERS_A_BATCH.get(device_of(model).type)
    if numbers is None:
        return _TOKENS_ELSEWHERE
    width = getattr(text_config(model), "hidden_size", None) or 1024
    return max(1, numbers // int(width))


def _try_again(model: nn.Module, prompts: PromptSet, plan: Plan) -> None:
    """Make the trial of a plan's way again; the plan changes where it fails."""
    ways = get_args(Way)
    left = [way for way in ways[ways.index(plan.way) :] if plan.tried.get(way) != np.inf]
    again = _first_that_agrees(model, prompts, left)
    if again.way != plan.way:
        _log.warning(
            "rows of %s read together (%s) no longer have the states that they have alone (error "
            "%.1e) and are read another way (%s) from now on; readings since the %d. may be off",
            type(unwrapped(model)).__name__, plan.way, again.tried[plan.way], again.way,
            plan.readings // 2 + 1,
        )  # fmt: skip
    plan.way = again.way
    plan.tried |= again.tried
    plan.keeps |= again.keeps


def _possible(model: nn.Module, prompts: PromptSet, share: bool) -> list[Way]:
    """The ways in question, fastest first; the last needs no trial."""
    if len(prompts) == 1:
        return ["alone"]
    ways: list[Way] = ["padded"]
    if 1 < len(np.unique(prompts.lengths)) < len(prompts):
        ways.append("equal")
    if share and _shares(model, prompts):
        ways.insert(0, "shared")
    return [*ways, "alone"]


def _shares(model: nn.Module, prompts: PromptSet) -> bool:
    """Whether reading common beginnings once is possible and pays."""
    position = prompts.positions.get("instruction_end")
    attention = getattr(text_config(model), "_attn_implementation", None)
    if position is None or position.ndim != 1 or attention not in _OBEY_MASKS:
        return False
    if not accepts(model, "attention_mask", "position_ids"):
        return False
    shared, single = Shared(prompts), int(read_lengths(prompts).sum())
    return shared.tokens <= _WORTH_SHARING * single and shared.longest <= _window(model)


def _window(model: nn.Module) -> float:
    """How far back the model's most short-sighted attention sees, in tokens."""
    text = text_config(model)
    names = ("sliding_window", "window_size", "attention_chunk_size")
    sizes = [getattr(text, name, None) for name in names]
    return float(min((s for s in sizes if isinstance(s, int) and s > 0), default=np.inf))


def _first_that_agrees(model: nn.Module, prompts: PromptSet, ways: Sequence[Way]) -> Plan:
    if ways[0] == "alone":
        return Plan("alone")
    trial = _Trial(model, prompts)
    for way in ways:
        if way == "alone":
            break
        error, agrees = trial.of(way)
        trial.errors[way] = error
        if all_agree(model, agrees):
            return Plan(way, trial.errors, keeps=trial.keeps)
    return Plan("alone", trial.errors, keeps=trial.keeps)


class _Trial:
    """Some rows of a prompt set, read alone and in other ways beside each other.

    Among them are the shortest and the longest, so that whatever changes with the length of a
    batch shows, however few rows are long. Alone, a row is read with all of its answer.
    """

    def __init__(self, model: nn.Module, prompts: PromptSet) -> None:
        self._model, self._prompts = model, prompts
        self._tokens = tokens_a_batch(model)
        self._lengths = prompts.lengths
        self._few = _telling_rows(model, self._lengths)
        self._memory = rested(model)
        self._alone: dict[int, Tensor] = {}
        self._rounding = _EXACT
        self.errors: dict[Way, float] = {}
        self.keeps = False

    def of(self, way: Way) -> tuple[float, bool]:
        """The largest error of rows read in a way, and whether that is rounding."""
        error = 0.0
        try:
            for few, beside in getattr(self, f"_batches_{way}")():
                got = self._read(beside, way)
                errors = (relative_error(got[row], self._read_alone(row)) for row in few.tolist())
                error = max(error, *errors)
        except BadInput:
            if way != "shared":
                raise
            return np.inf, False  # a model that cannot take such a mask is read row by row
        return error, error <= self._rounding

    def _batches_padded(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The longest row with others, and as many more as a batch has."""
        fits = np.flatnonzero(2 * self._lengths <= self._tokens)  # the others are alone anyway
        if len(fits) < 2:
            return
        few = fits[_telling_rows(self._model, self._lengths[fits])]
        for rows in self._around_the_longest([np.array([row]) for row in few], few):
            rest, most = np.setdiff1d(fits, rows), int(self._lengths[rows].max())
            more = _spread(rest, self._tokens // most - len(rows))
            yield rows, np.sort(np.append(rows, more))

    def _batches_equal(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of one length: those of the rows that tell most, and that which most rows have."""
        lengths, counts = np.unique(self._lengths, return_counts=True)
        for length in {*self._lengths[self._few].tolist(), int(lengths[counts.argmax()])}:
            alike = np.flatnonzero(self._lengths == length)
            rows = _spread(alike, max(1, self._tokens // length))
            yield np.unique(rows[[0, -1]]), rows

    def _batches_shared(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Whole sequences: the longest one, and those of the rows that tell most."""
        shared = Shared(self._prompts)
        longest = shared.longest_rows()
        few = np.union1d(self._few, longest[[0, len(longest) // 2, -1]])
        sequences = {shared.beside(row[None]).tobytes(): shared.beside(row[None]) for row in few}
        for rows in self._around_the_longest(list(sequences.values()), few, shared.longest):
            yield np.intersect1d(rows, few), rows

    def _around_the_longest(
        self, units: list[np.ndarray], few: np.ndarray, length: int = 0
    ) -> Iterator[np.ndarray]:
        """Units of rows in batches of bounded size, each with the unit of the longest row in it."""
        top = few[self._lengths[few].argmax()]
        first = next(unit for unit in units if top in unit)
        others = [unit for unit in units if unit is not first]
        count = self._tokens // (length or int(self._lengths[top])) - 1
        if count < 1:  # no batch holds two of them
            yield from units
            return
        for begin in range(0, max(1, len(others)), count):
            yield np.sort(np.concatenate([first, *others[begin : begin + count]]))

    def _read(self, rows: np.ndarray, way: Way) -> dict[int, Tensor]:
        """The states [stream, position, width] of some rows, read in one batch."""
        some = self._prompts.take(rows)
        out = Collector(self._model, some, scores=False)
        batches = (
            Shared(some).batches(_NO_LIMIT)
            if way == "shared"
            else _plain(some, 1 if way == "alone" else _NO_LIMIT, way)
        )
        read_batches(self._model, batches, out, self._memory)
        self.keeps |= self._memory.changed()
        states = out.reading().states
        assert states.compute_dtype is not None
        unit = torch.finfo(states.compute_dtype).eps
        unit = max(unit, _MATMUL_UNITS.get(torch.get_float32_matmul_precision(), 0.0))
        self._rounding = max(_EXACT, _UNITS * unit)
        return {int(row): states.values[:, :, place] for place, row in enumerate(rows)}

    def _read_alone(self, row: int) -> Tensor:
        if row not in self._alone:
            self._alone |= self._read(np.array([row]), "alone")
        return self._alone[row]


def relative_error(
    got: Float[Tensor, "*place width"], wanted: Float[Tensor, "*place width"]
) -> float:
    """The largest norm of a difference, relative to the wanted state's norm.

    Values that are not finite in both count as equal, in one of them only as infinitely far.
    """
    got, wanted = (
        each.to(torch.promote_types(each.dtype, torch.float32)) for each in (got, wanted)
    )
    finite = wanted.isfinite()
    if not torch.equal(got.isfinite(), finite):
        return np.inf
    difference = torch.where(finite, got - wanted, 0).norm(dim=-1)
    return float((difference / torch.where(finite, wanted, 0).norm(dim=-1).clamp_min(1e-12)).max())


def _telling_rows(model: nn.Module, lengths: Int[np.ndarray, "row"]) -> Int[np.ndarray, "few"]:
    """Rows that show what depends on length: the shortest, the longest, some between.

    Where a number of the configuration lies between, it may be a length at which something
    changes: the rows on both sides of it are taken as well.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    ranks = [0, len(order) - 1, len(order) // 2]
    for number in _numbers_in(text_config(model)):
        if ordered[0] <= number < ordered[-1]:
            above = int(np.searchsorted(ordered, number, side="right"))
            ranks += [above - 1, above]
    few = list(dict.fromkeys(order[rank] for rank in ranks))
    return np.sort(np.array(few[:_MOST_ROWS]))


def _numbers_in(config: Any) -> list[int]:
    """The whole numbers of a configuration that may be lengths."""
    found: dict[int, None] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                walk(str(key), one)
        elif isinstance(value, int) and any(word in name for word in _LENGTHS):
            found[int(value)] = None

    walk("", config.to_dict() if hasattr(config, "to_dict") else {})
    return list(found)


def _spread(rows: Int[np.ndarray, "row"], count: int) -> Int[np.ndarray, "chosen"]:
    """So many of some rows, evenly spread."""
    count = max(0, min(count, len(rows)))
    chosen: np.ndarray = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
    return chosen


def _digest(prompts: PromptSet) -> bytes:
    """Tells prompt sets with other tokens, lengths or positions apart."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (
        prompts.ids,
        prompts.prompt_lengths,
        prompts.lengths,
        *prompts.positions.values(),
    ):
        digest.update(array.tobytes())
    digest.update(repr((prompts.ids.shape, list(prompts.positions))).encode())
    return digest.digest()
