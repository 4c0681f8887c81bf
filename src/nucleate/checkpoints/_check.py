"""Checks of a series of checkpoints: weights are hashed and compared before any curve is drawn."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.checkpoints import _rules as rules
from nucleate.checkpoints._beside import instead_of_weights, lacks_config, notes
from nucleate.checkpoints._find import trainer_step
from nucleate.checkpoints._names import stage_in, step_in
from nucleate.checkpoints._scan import Scan, scan
from nucleate.checkpoints._series import Checkpoint, Series

Kind = Literal[
    "duplicate", "partly_duplicate", "missing", "out_of_order", "jump", "not_finite", "unreadable",
    "other_model",
]  # fmt: skip


@dataclass(frozen=True)
class Flag:
    """A fault of a series.

    Attributes:
        kind: the kind of fault.
        steps: the steps of the affected checkpoints; for a missing one, its step.
        sentence: the fault in words, with its numbers.
    """

    kind: Kind
    steps: tuple[int, ...]
    sentence: str


@dataclass(frozen=True)
class CheckedCheckpoint:
    """One checkpoint of a checked series.

    Attributes:
        step: optimizer steps taken.
        name: its folder, or its name on the hub.
        sha256: of all tensors, names, dtypes and shapes included; how they are split into files
            makes no difference. None where tensors are missing or cannot be read.
        size: bytes of its tensors.
        norm: Euclidean norm of its floating-point weights; None where it is not finite or unknown.
        moved: distance of its weights from the previous checkpoint; None where it is unknown.
        tensors: SHA-256 of each tensor.
    """

    step: int
    name: str
    sha256: str | None
    size: int
    norm: float | None
    moved: float | None
    tensors: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class SeriesReport:
    """What `check_series` found.

    Attributes:
        checkpoints: one entry per checkpoint, in the order of the steps.
        flags: the faults; empty if there are none.
        notes: what is no fault, but good to know before the series is read: a tokenizer that is not
            there, a base model that adapters need, settings that change.
    """

    checkpoints: tuple[CheckedCheckpoint, ...]
    flags: tuple[Flag, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.flags

    def require_ok(self) -> None:
        """Refuse a series in which something is wrong.

        Raises:
            BadInput: there are flags; the message names the first one.
        """
        if self.flags:
            more = f" (and {len(self.flags) - 1} more)" if len(self.flags) > 1 else ""
            raise BadInput(
                f"the series is not sound: {self.flags[0].sentence}{more}; see nucleate series "
                "check, and leave checkpoints out or give --keep-flagged"
            )

    def flags_of(self, step: int) -> tuple[Flag, ...]:
        """The flags that are about one step."""
        return tuple(flag for flag in self.flags if step in flag.steps)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"ok": self.ok, **asdict(self)}


def check_series(
    series: Series, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> SeriesReport:
    """Read all weights of a series once and flag what is wrong with it.

    Each tensor is hashed, measured and compared; one tensor is in memory at a time. Flags:

    - `duplicate`: all tensors are bit for bit those of another checkpoint.
    - `partly_duplicate`: some are. Tensors do not count that never change, that stand still from
      the first checkpoint on or up to the last, or that are vectors with no matrix beside them.
    - `missing`: a file that an index names is not there, or weights, or `config.json`; tensors
      that most checkpoints have are not there; a step is missing in spacing that is otherwise even
      or geometric.
    - `out_of_order`: a folder's name and its `trainer_state.json` disagree; a step occurs twice;
      a stage has several branches; checkpoints (two, or a few) exchanged would make the ways into
      and out of them shorter than 0.8 of what they are (between neighbors, 0.5 in a steady drift,
      0.71 in a random walk, 1 in noise around one place), and all others look right then.
    - `jump`: a checkpoint, or a stretch of them, is more than twice as far from the ones on
      either side as those are from each other; the first or last moved more than 10 times the
      usual by distance, by distance per step and by distance per unit of log(step); or a norm is
      more than 3 times those of both neighbors, or less than a third.
    - `not_finite`: NaN or infinite values.
    - `unreadable`: a file is damaged, or weights are pickled and that was not allowed.
    - `other_model`: tensors have other shapes than in most checkpoints.

    One bad checkpoint hides nothing of the others: all rules are about those that can be read.

    Distances are over all floating-point weights, in float64: exact for tensors of up to 8,192
    values, else estimated from as many random places, the same in every checkpoint (about 1 % off
    where a model has some tens of such tensors).

    Args:
        series: checkpoints of one model.
        progress: called with the bytes read so far and the bytes in total.

    Raises:
        BadInput: no checkpoint can be read, or no model has more than half of the checkpoints.

    Notes:
        A training run that returns to an earlier point at every restart of a cyclic learning rate,
        or that oscillates between two sides of a valley and is saved at every step, can look
        misplaced, and of swapped checkpoints of such a run others may be named. Checkpoints in
        noise around one point can be swapped without a flag. Hashes do not tell which of two equal
        checkpoints is the wrong one. docs/recording.md has measured rates.
    """
    if not isinstance(series, Series):
        raise BadInput(f"series is {series!r}; find it with Series.find")
    found = scan(series, progress)
    checkpoints = tuple(
        _checked(index, checkpoint, found) for index, checkpoint in enumerate(series)
    )
    flags = [*_order(series), *_files(series, found), *_equal(series, found), *_ways(series, found)]
    return SeriesReport(checkpoints, tuple(flags), tuple(notes(series.checkpoints)))


def _checked(index: int, checkpoint: Checkpoint, found: Scan) -> CheckedCheckpoint:
    norm = float(found.norms[index])
    moved = float(found.distances[index - 1, index]) if index else np.nan
    return CheckedCheckpoint(
        step=checkpoint.step,
        name=str(checkpoint),
        sha256=_whole_hash(found, index),
        size=found.sizes[index],
        norm=norm if np.isfinite(norm) else None,
        moved=moved if np.isfinite(moved) else None,
        tensors=dict(sorted(found.hashes[index].items())),
    )


def _whole_hash(found: Scan, index: int) -> str | None:
    if found.absent[index] or found.unread[index]:
        return None
    tensors = found.hashes[index]
    lines = (f"{name} {digest}\n" for name, digest in sorted(tensors.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _order(series: Series) -> Iterator[Flag]:
    """What names and `trainer_state.json` tell."""
    for step in rules.repeated(series.steps):
        names = _list([str(checkpoint) for checkpoint in series if checkpoint.step == step])
        yield Flag("out_of_order", (step,), f"step {step} occurs more than once: {names}")
    for checkpoint in series:
        own = {checkpoint.step, step_in(checkpoint.path.name)}  # of a stage, or in all
        try:
            state = trainer_step(checkpoint.path)
        except BadInput as error:
            yield Flag("unreadable", (checkpoint.step,), str(error))
            continue
        if state is not None and state not in own:
            yield Flag(
                "out_of_order",
                (checkpoint.step,),
                f"{checkpoint} stands for step {checkpoint.step}, and its trainer_state.json says "
                f"step {state}",
            )
    branches = {one: stage_in(one.name or one.path.name) for one in series}
    for number in sorted({stage.number for stage in branches.values()}):
        own_branches = {stage.branch for stage in branches.values() if stage.number == number}
        if len(own_branches) > 1:
            steps = tuple(one.step for one, stage in branches.items() if stage.number == number)
            yield Flag(
                "out_of_order",
                steps,
                f"stage {number} has {len(own_branches)} branches, each of which begins where the "
                "stage before ends: check them one at a time",
            )
    for gap in rules.gaps(series.steps):
        before = max(step for step in series.steps if step < gap[0])
        after = min(step for step in series.steps if step > gap[-1])
        yield Flag(
            "missing",
            gap,
            f"{_steps(gap)} {'is' if len(gap) == 1 else 'are'} missing between {before} and "
            f"{after}, in spacing that is otherwise regular",
        )


def _files(series: Series, found: Scan) -> Iterator[Flag]:
    """What is not there, cannot be read, is of another model, or is no number."""
    for index, checkpoint in enumerate(series):
        step = (checkpoint.step,)
        if found.unread[index]:
            yield Flag("unreadable", step, found.unread[index])
        if found.others[index]:
            yield Flag("other_model", step, f"{checkpoint} is of another model: "
                       f"{found.others[index]}")  # fmt: skip
        if absent := found.absent[index]:
            instead = "" if found.hashes[index] else instead_of_weights(checkpoint.path)
            yield Flag("missing", step, f"{checkpoint} lacks {_list(absent)}{instead}")
        if bad := found.not_finite[index]:
            yield Flag("not_finite", step, f"{checkpoint} holds NaN or infinite values in "
                       f"{_list(bad)}")  # fmt: skip
    lacking: dict[str, list[Checkpoint]] = {}
    for index, checkpoint in enumerate(series):
        if found.hashes[index] and (file := lacks_config(checkpoint)):
            lacking.setdefault(file, []).append(checkpoint)
    for file, ones in lacking.items():
        verb = "lacks" if len(ones) == 1 else "lack"
        yield Flag(
            "missing",
            tuple(one.step for one in ones),
            f"{_list([str(one) for one in ones])} {verb} {file}, without which no model can be "
            "loaded: put the one of the training there",
        )


def _equal(series: Series, found: Scan) -> Iterator[Flag]:
    """What is bit for bit the same and should not be."""
    for group in rules.same_weights(found.hashes):
        steps = _steps_of(series, group)
        yield Flag("duplicate", steps, f"{_steps(steps)} hold the same weights, bit for bit")
    for group, names in rules.shared_tensors(found.hashes, found.shapes).items():
        steps = _steps_of(series, group)
        yield Flag(
            "partly_duplicate",
            steps,
            f"{_steps(steps)} share {len(names)} of {len(found.shapes)} tensors bit for bit: "
            f"{_list(names)}",
        )


def _ways(series: Series, found: Scan) -> Iterator[Flag]:
    """What does not lie where its step says."""
    step, far = series.steps, found.distances
    kept = [index for index in range(len(step)) if np.isfinite(far[index, index])]
    for stretch in rules.misplaced(far, kept):
        steps = _steps_of(series, stretch.members)
        kind: Kind = "out_of_order" if stretch.sign == "swapped" else "jump"
        yield Flag(kind, steps, _misplaced(series.steps, far, stretch))
        kept = [index for index in kept if index not in stretch.members]
    for here, neighbor, times in rules.fast_ends(far, step, kept):
        yield Flag(
            "jump",
            (step[here],),
            f"step {step[here]} is {far[here, neighbor]:.4g} from its neighbor, step "
            f"{step[neighbor]}: at least {times:.0f} times what is usual in this series",
        )
    for here in rules.odd_norms(found.norms, kept):
        yield Flag(
            "jump",
            (step[here],),
            f"step {step[here]} has norm {found.norms[here]:.4g}, unlike its neighbors",
        )


def _misplaced(step: Sequence[int], far: rules.Distances, stretch: rules.Stretch) -> str:
    sentence = _place(step, far, stretch)
    if stretch.instead:
        pair = _steps([step[one] for one in stretch.instead])
        sentence += f"; or {pair} are swapped, which the distances do not tell apart"
    return sentence


def _place(step: Sequence[int], far: rules.Distances, stretch: rules.Stretch) -> str:
    members = stretch.members
    named = _steps([step[member] for member in members])
    if stretch.sign == "swapped":
        if len(members) > 2:
            return f"the weights of {named} look exchanged among one another"
        return f"the weights of {named} look swapped: exchanged, the way past them is shorter"
    named += " is out of place" if len(members) == 1 else " are out of place"
    if stretch.sign == "far":
        a, b = stretch.others
        return (
            f"{named} between steps {step[a]} and {step[b]}, which are {far[a, b]:.4g} apart: the "
            f"distances are {far[a, members[0]]:.4g} and {far[members[-1], b]:.4g}"
        )
    near, *beside = [
        f"{far[list(members), one].min():.4g} from step {step[one]}" for one in stretch.others
    ]
    return f"{named}: only {near}, but {_list(beside)} beside"


def _steps_of(series: Series, group: Sequence[int]) -> tuple[int, ...]:
    return tuple(series.steps[index] for index in group)


def _steps(steps: Sequence[int]) -> str:
    texts = [str(step) for step in steps]
    return f"step {texts[0]}" if len(texts) == 1 else f"steps {_list(texts)}"


def _list(names: Sequence[str], limit: int = 4) -> str:
    """Names in a sentence; a few of them where there are many."""
    shown = list(names[:limit])
    if len(names) > limit:
        return f"{', '.join(shown)} and {len(names) - limit} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
