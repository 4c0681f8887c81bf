"""Does a direction between two classes of prompts make the model behave as the other class does?

The direction is fitted, and its place chosen, on one half of the prompts; it is tried on the other
half of class A, at several doses, beside a random direction, that of shuffled classes, and its
reverse.
"""

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._core.arguments import as_path, check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.activations import read
from nucleate.intervene._behavior import AnswerTokens, Behavior, Done, Push, Texts
from nucleate.intervene._causal_map import askable
from nucleate.intervene._causal_table import Mean, Resampled, Simultaneous
from nucleate.intervene._class_direction import (
    CONTROLS,
    Halves,
    difference,
    nearest_share,
    of_norm,
    random_vectors,
    readable,
    shuffled_differences,
)
from nucleate.prompts import PromptSet
from nucleate.runs import index_of, write_json, write_whole

_log = logging.getLogger(__name__)
STEERING_DOSES = (0.5, 1.0, 1.5, 2.0, 3.0)
_EDITS = ("direction", *CONTROLS)


@dataclass(frozen=True)
class Steering:
    """What a direction did at each dose, and what its controls did.

    Attributes:
        table: one row a (edit, dose). `edit` is `direction`, `random`, `shuffled` or `reverse`;
            `turned`, the share of class A's tried prompts that behave as class B, with `_low` and
            `_high` (95 % of the bootstrap over groups of prompts); `neither`, the share that answer
            as neither class does; `kept`, the share of class B's tried prompts that still behave
            so, with its interval; `unchanged`, the share of prompts of other classes that say what
            they say without steering; `loss`, what the unsteered model loses on the text of class
            A, in nats per token; `beyond`, the share of steered states longer than 99 % of natural
            ones. For `direction` also `excess`: `turned` less the largest of that without steering
            and under the three controls, with an interval that holds at all doses at once. NaN
            where there is nothing to ask.
        about: the place and how it was chosen, the classes, and numbers without steering.
    """

    table: pd.DataFrame
    about: Mapping[str, Any]

    def save(self, folder: Path | str) -> None:
        """Write `steering.csv` and `steering.json`, each renamed whole."""
        folder = as_path("folder", folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "steering.csv", self.table.to_csv(index=False).encode())
        # JSON has no NaN.
        known = {key: None if value != value else value for key, value in self.about.items()}
        write_json(folder / "steering.json", {"about": known})


def try_steering(
    model: nn.Module,
    prompts: PromptSet,
    *,
    label: str,
    to: str,
    of: str | None = None,
    pattern: str | None = None,
    tokenizer: Any = None,
    tokens: int = 48,
    group: str = "instruction",
    stream: str | None = None,
    position: str | None = None,
    doses: Sequence[float] = STEERING_DOSES,
    rows: int | None = None,
    seed: int = 0,
    say: Callable[[str], None] = _log.warning,
) -> Steering:
    """Steer prompts of one class along mu_B - mu_A, and count how many then behave as class B.

    Args:
        model: a causal LM in evaluation mode; left as it was.
        prompts: rows with the label; without a pattern also with answers of one token.
        label: the column that names classes.
        to: class B.
        of: class A; None takes all rows that are not of class B. Rows of neither class are asked
            whether they stay as they are.
        pattern: a regular expression that is found in what class B's prompts are answered with;
            the model then generates, steered from the place on. None: class B's behavior is to
            answer with a token that one of its fitted rows has as its answer.
        tokenizer: decodes what is generated; needed with a pattern.
        tokens: how many are generated at most.
        group: the column whose values are in one half as a whole. Without a value a row is a group
            with those of equal prompts.
        stream, position: the place. What is None is chosen on the fitted half: where a direction of
            one fold turns most of the other fold's prompts at dose 1, beyond those without
            steering, along a random direction and the reverse; of equals, where most rows are
            nearest to their own class's mean; then the first. Streams are chosen among the outputs
            of blocks that another block reads.
        doses: what the direction is multiplied with, all above 0.
        rows: how many prompts of each class are tried at most, drawn at random; all if None.
        seed: of halves, rows, random directions, permutations and resamples.
        say: gets a sentence about each position that cannot be edited.

    Returns:
        the numbers; `nucleate.findings.steering_verdict` says what they mean.

    Raises:
        BadInput: a model in training mode; no such label, class, place or column; classes of too
            few groups; no answers of one token and no pattern; a pattern that is none.

    Notes:
        Turned prompts tell that the model can be pushed there, not that it gets there by that
        direction itself. Doses whose states are beyond natural norms show what the model does with
        states that it never has.
    """
    _check(doses, rows, tokens, seed)
    prompts, skipped = askable(model, prompts)
    for name, reason in skipped.items():
        say(f"position {name!r} is left out: {reason}")
    source, target = _classes(prompts, label, of, to)
    rng = np.random.default_rng(seed)
    halves = Halves.drawn(source, target, _groups(prompts, group), rng)
    behavior = _behavior(model, prompts, halves, pattern, tokenizer, tokens)
    trial = _Trial(model, prompts, halves, behavior, rows, rng)
    places = trial.places(stream, position)
    best = trial.choose(places) if len(places) > 1 else places[0]
    found = trial.at(best, tuple(float(dose) for dose in doses))
    about = {
        "label": label, "of": of, "to": to, "pattern": pattern,
        "tokens": tokens if pattern else None, "group": group, "seed": seed, "rows": rows,
        "stream": best[0], "position": best[1], "places_tried": len(places),
    }  # fmt: skip
    return replace(found, about=about | dict(found.about))


class _Trial:
    """The prompts of both halves, and what the model does with them."""

    def __init__(
        self,
        model: nn.Module,
        prompts: PromptSet,
        halves: Halves,
        behavior: Behavior,
        rows: int | None,
        rng: np.random.Generator,
    ) -> None:
        self.prompts, self.halves, self.behavior = prompts, halves, behavior
        self.rows, self.rng = rows, rng
        self.states = read(model, prompts, scores=False).states

    def places(self, stream: str | None, position: str | None) -> list[tuple[str, str]]:
        """The places of which one is chosen."""
        streams, positions = self.states.streams, self.states.positions
        if stream is not None:
            index_of(stream, streams, "stream")
        if position is not None:
            index_of(position, positions, "position")
        blocks = [name for name in streams if name.startswith("block.")]
        # What the last block writes is read by the vocabulary alone.
        read_on = blocks[:-1] or list(streams)
        return [
            (each, where)
            for where in ([position] if position is not None else positions)
            for each in ([stream] if stream is not None else read_on)
        ]

    def choose(self, places: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """The place at which directions of one fold turn most of the other, on the fitted half."""
        halves = self.halves
        rows = self._some(halves.source & halves.fitted)
        clean = self.behavior.under(self.prompts, rows, [None])[0].shows.mean()
        scores = []
        for place in places:
            states = self._at(place)
            by = torch.zeros(len(rows), states.shape[1])
            for fold in (0, 1):
                other = halves.fold == 1 - fold
                there = difference(states, halves.source & other, halves.target & other)
                by[torch.as_tensor(halves.fold[rows] == fold)] = there
            random = random_vectors(len(rows), states.shape[1], self.rng)
            random = of_norm(random, by.norm(dim=-1, keepdim=True))
            pushes = [self._push(place, vectors, 1.0) for vectors in (by, random, -by)]
            turned, *rivals = (
                done.shows.mean() for done in self.behavior.under(self.prompts, rows, pushes)
            )
            scores.append((turned - max(clean, *rivals), nearest_share(states, halves)))
        return places[max(range(len(places)), key=lambda index: scores[index])]

    def at(self, place: tuple[str, str], doses: tuple[float, ...]) -> Steering:
        """Try the direction at one place, and its controls."""
        halves = self.halves
        tried = halves.fold == 2
        a, b = self._some(halves.source & tried), self._some(halves.target & tried)
        rest = self._some(~halves.source & ~halves.target)
        vectors = self._vectors(place, len(a), len(b), len(rest))
        runs = {}
        for name, rows in (("a", a), ("b", b), ("rest", rest)):
            pushes: list[Push | None] = [None]
            pushes += [
                self._push(place, vectors[edit][name], dose) for edit in _EDITS for dose in doses
            ]
            runs[name] = self.behavior.under(self.prompts, rows, pushes) if len(rows) else []
        resampled = {
            name: Resampled(halves.group[rows], self.rng) for name, rows in (("a", a), ("b", b))
        }
        lines = _lines(runs, resampled, doses, self._own_answers())
        clean = runs["a"][0]
        about = {
            "prompts": len(a), "groups": resampled["a"].strings, "target_prompts": len(b),
            "other_prompts": len(rest), "fitted_prompts": int(halves.fitted.sum()),
            "turned_without": float(clean.shows.mean()),
            "kept_without": float(runs["b"][0].shows.mean()),
            "loss_without": _mean(clean.loss),
        }  # fmt: skip
        about["readable"], about["readable_permuted"] = readable(self._at(place), halves, self.rng)
        return Steering(pd.DataFrame(lines), about)

    def _vectors(self, place: tuple[str, str], *counts: int) -> dict[str, dict[str, Tensor]]:
        """What is added to every row, by edit and by whose rows these are."""
        states, halves = self._at(place), self.halves
        found: dict[str, dict[str, Tensor]] = {}
        direction = difference(states, halves.source & halves.fitted, halves.target & halves.fitted)
        for name, count in zip(("a", "b", "rest"), counts, strict=True):
            each = direction.expand(count, -1)
            random = random_vectors(count, len(direction), self.rng)
            shuffled = shuffled_differences(states, halves, halves.fitted, count, self.rng)
            for edit, vectors in (
                ("direction", each),
                ("random", of_norm(random, direction.norm())),
                ("shuffled", of_norm(shuffled, direction.norm())),
                ("reverse", -each),
            ):
                found.setdefault(edit, {})[name] = vectors
        return found

    def _at(self, place: tuple[str, str]) -> Float[Tensor, "row width"]:
        stream, position = place
        states = self.states
        here: Tensor = states.values[states.streams.index(stream), states.positions.index(position)]
        return here.float().cpu()

    def _push(self, place: tuple[str, str], by: Tensor, dose: float) -> Push:
        fitted = torch.as_tensor(self.halves.fitted)
        return Push(*place, by, dose, self._at(place)[fitted])

    def _some(self, rows: Bool[np.ndarray, "row"]) -> Int[np.ndarray, "some"]:
        """At most so many of some rows."""
        there = np.flatnonzero(rows)
        if self.rows is not None and len(there) > self.rows:
            there = np.sort(self.rng.choice(there, self.rows, replace=False))
        return there

    def _own_answers(self) -> Int[np.ndarray, "token"] | None:
        """What class A answers; None where answers are texts."""
        if not isinstance(self.behavior, AnswerTokens):
            return None
        prompts = self.prompts
        own = self.halves.source & (prompts.lengths > prompts.prompt_lengths)
        tokens: np.ndarray = np.unique(prompts.ids[own, prompts.prompt_lengths[own]])
        return tokens


def _lines(
    runs: Mapping[str, Sequence[Done]],
    resampled: Mapping[str, Resampled],
    doses: tuple[float, ...],
    own: Int[np.ndarray, "token"] | None,
) -> list[dict[str, object]]:
    """The rows of `Steering.table`."""
    cells = [(edit, dose) for edit in _EDITS for dose in doses]
    clean, *shown = (resampled["a"].mean(done.shows) for done in runs["a"])
    turned = dict(zip(cells, shown, strict=True))
    contrasts = {
        dose: [turned["direction", dose] - clean]
        + [turned["direction", dose] - turned[name, dose] for name in CONTROLS]
        for dose in doses
    }
    # Every rival must be exceeded, so that the closest one decides.
    family = [min(each, key=lambda mean: mean.value) for each in contrasts.values()]
    wide = Simultaneous(family, resampled["a"].strings)
    lines = []
    for number, (edit, dose) in enumerate(cells, 1):
        done = runs["a"][number]
        rest = runs["rest"]
        line: dict[str, object] = {"edit": edit, "dose": dose}
        line |= _with_interval("turned", turned[edit, dose])
        excess = low = high = math.nan
        if edit == "direction":
            ends = [wide.interval(mean) for mean in contrasts[dose]]
            excess = min(mean.value for mean in contrasts[dose])
            low, high = min(end[0] for end in ends), min(end[1] for end in ends)
        line |= {"excess": excess, "excess_low": low, "excess_high": high}
        line["neither"] = _neither(done, own)
        line |= _with_interval("kept", resampled["b"].mean(runs["b"][number].shows))
        line["unchanged"] = float((rest[number].said == rest[0].said).mean()) if rest else math.nan
        line |= {"loss": _mean(done.loss), "beyond": done.beyond}
        lines.append(line)
    return lines


def _with_interval(name: str, mean: Mean) -> dict[str, object]:
    low, high = mean.interval()
    return {name: mean.value, f"{name}_low": low, f"{name}_high": high}


def _neither(done: Done, own: Int[np.ndarray, "token"] | None) -> float:
    if own is None:
        return math.nan
    return float((~np.isin(done.said, own) & (done.shows == 0)).mean())


def _mean(values: Float[np.ndarray, "row"]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else math.nan


def _classes(
    prompts: PromptSet, label: str, of: str | None, to: str
) -> tuple[Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Which rows are of class A, and which of class B."""
    prompts.check_labels(label, user="steering")
    there = np.array(prompts.labels[label], dtype=object)
    for name in (to, of):
        if name is not None and name not in prompts.labels[label]:
            known = sorted(set(prompts.labels[label]))
            raise BadInput(
                f"no prompt has {label} {name!r}{nearest(name, known)}; there are "
                f"{', '.join(known[:8])}{' ...' if len(known) > 8 else ''}"
            )
    if of == to:
        raise BadInput(f"both classes are {to!r}; name two that differ")
    target = there == to
    return (~target if of is None else there == of), target


def _groups(prompts: PromptSet, column: str) -> Int[np.ndarray, "row"]:
    """Groups of rows, numbered: those of one value, or of equal prompts where there is none."""
    texts = prompts.labels.get(column)
    if texts is None and column != "instruction":
        prompts.check_labels(column, user="grouping")
    named = [
        (text, b"" if text.strip() else ids[:length].tobytes())
        for text, ids, length in zip(
            texts or [""] * len(prompts), prompts.ids, prompts.prompt_lengths, strict=True
        )
    ]
    number = {unit: index for index, unit in enumerate(sorted(set(named)))}
    return np.array([number[unit] for unit in named])


def _behavior(
    model: nn.Module,
    prompts: PromptSet,
    halves: Halves,
    pattern: str | None,
    tokenizer: Any,
    tokens: int,
) -> Behavior:
    """What counts as class B's behavior."""
    if pattern is not None:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise BadInput(f"the pattern {pattern!r} is no regular expression: {error}") from error
        if tokenizer is None:
            raise BadInput("a pattern is searched in texts; name the tokenizer that decodes them")
        prompts.check_tokenizer(tokenizer)

        def decode(ids: list[int]) -> str:
            return str(tokenizer.decode(ids, skip_special_tokens=True))

        return Texts(model, compiled, tokens, decode)
    fitted = np.flatnonzero(halves.target & halves.fitted)
    counts = (prompts.lengths - prompts.prompt_lengths)[fitted]
    if (counts != 1).any():
        raise BadInput(
            f"answers of class B have {counts.min()} to {counts.max()} tokens; steering counts "
            "answers of one token, for others give a pattern that their text shows"
        )
    return AnswerTokens(
        model, frozenset(prompts.ids[fitted, prompts.prompt_lengths[fitted]].tolist())
    )


def _check(doses: Sequence[float], rows: int | None, tokens: int, seed: int) -> None:
    if not len(doses):
        raise BadInput("no dose is given; give one or several, such as 1.0")
    for dose in doses:
        check_number("a dose", dose)
        if dose <= 0:
            raise BadInput(
                f"a dose is {dose!r}; give doses above 0, the reverse is tried by itself"
            )
    if rows is not None:
        check_whole("rows", rows, least=1)
    check_whole("tokens", tokens, least=1)
    check_whole("seed", seed, least=0)
