"""One place looked at closely: how much of a shift it takes, and which task turns into which."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.activations import evaluating, read
from nucleate.intervene._answers import Asking, askings
from nucleate.intervene._cast import Cast, cast
from nucleate.intervene._causal_map import askable
from nucleate.intervene._causal_table import Resampled
from nucleate.intervene._controls import EDITS, Editor
from nucleate.intervene._engine import WAYS, tails, way_of
from nucleate.prompts import PromptSet
from nucleate.runs import index_of, write_whole

DOSES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_DIRECTIONS = ("shift", "random_direction", "shuffled")
_NAMES = tuple(EDITS)


def dose_response(
    model: nn.Module,
    prompts: PromptSet,
    *,
    stream: str,
    position: str,
    doses: Sequence[float] = DOSES,
    rows: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Shift the states at one place by multiples of mu_B - mu_A, and of two controls.

    Args:
        model: as for `causal_map`.
        prompts: as for `causal_map`.
        stream, position: the place, by name.
        doses: what the vectors are multiplied with.
        rows: how many rows are tested at most, drawn at random; all if None.
        seed: of the rows, target tasks, random directions and resamples.

    Returns:
        one row a (edit, dose): `redirected` (task B's answer), `accuracy` (the own one), each with
        `_low` and `_high` (95 % of the bootstrap over instruction strings), `beyond` (share of
        states longer than 99 % of those that occur there), `chance`. The edits are `shift`,
        `random_direction` and `shuffled` (means under permuted tasks), of equal norms.

    Raises:
        BadInput: as `causal_map`; no such place; no row that another task answers differently.
    """
    place = _EditedPlace(model, prompts, stream, position, rows, seed)
    roles, editor = place.roles, place.editor
    if not roles.redirectable.any():
        raise BadInput(
            "no row has a task B and a third one that answer its input otherwise; a dose-response "
            "needs inputs that tasks share"
        )
    edited = editor.edited(place.stream)
    vectors = [edited[:, _NAMES.index(name)] - place.own for name in _DIRECTIONS]
    wanted = [place.own + dose * vector for vector in vectors for dose in doses]
    states = torch.stack(wanted, 1)
    scores = place.scores(askings(prompts, roles.tested, roles.wanted), states)
    beyond = editor.beyond(states, place.stream)
    resampled = Resampled(roles.string[roles.tested], np.random.default_rng(seed)).fewer()
    lines = []
    for number, (edit, dose) in enumerate((e, d) for e in _DIRECTIONS for d in doses):
        line: dict[str, object] = {"edit": edit, "dose": dose}
        for name, score in (("redirected", "hit.target"), ("accuracy", "hit.own")):
            mean = resampled.mean(scores[score][:, number], roles.redirectable)
            low, high = mean.interval()
            line |= {name: mean.value, f"{name}_low": low, f"{name}_high": high}
        line["beyond"] = float(beyond[roles.redirectable, number].mean())
        line["chance"] = float(roles.chance[roles.redirectable].mean())
        lines.append(line)
    return pd.DataFrame(lines).assign(stream=stream, position=position)


def redirections(
    model: nn.Module,
    prompts: PromptSet,
    *,
    stream: str,
    position: str,
    rows: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Shift every task towards every other one at one place.

    Args:
        model, prompt set, stream, position, rows, seed: as for `dose_response`.

    Returns:
        one row a (task, target): `redirected`, the share of the task's rows that give the target's
        answer where that differs from their own, with `low` and `high`, and `rows`, how many those
        are. Pairs without such rows are left out.

    Raises:
        BadInput: as `causal_map`; no such place.
    """
    place = _EditedPlace(model, prompts, stream, position, rows, seed)
    roles = place.roles
    names = sorted(set(prompts.labels["task"]))
    answers = _answers(prompts, roles)
    task, given = roles.task[roles.tested], roles.input[roles.tested]
    own = [answers[int(x), int(t)] for x, t in zip(given, task, strict=True)]
    means = place.editor.fitted[place.stream].centroids[place.editor.fold]
    each = torch.arange(len(task), device=means.device)
    from_ = means[each, torch.as_tensor(task, device=means.device)]
    lines: list[dict[str, object]] = []
    for target in range(roles.tasks):
        theirs = [answers.get((int(x), target)) for x in given]
        asked = np.array([a is not None and a != b for a, b in zip(theirs, own, strict=True)])
        if not asked.any():
            continue
        wanted = {"target": [a for a, real in zip(theirs, asked, strict=True) if real and a]}
        shifted = (place.own + means[:, target] - from_)[torch.as_tensor(asked)][:, None]
        some = place.of(asked)
        hits = some.scores(askings(prompts, roles.tested[asked], wanted), shifted)["hit.target"]
        lines += _by_task(hits[:, 0], task[asked], roles.string[roles.tested][asked], names, target)
    return pd.DataFrame(lines).assign(stream=stream, position=position)


def look_closely(
    model: nn.Module,
    prompts: PromptSet,
    stream: str,
    position: str,
    *,
    folder: Path | str,
    rows: int | None = None,
    seed: int = 0,
) -> None:
    """Write `causal_doses.csv` and `causal_redirections.csv` of one place, each renamed whole."""
    folder = as_path("folder", folder)
    place = {"stream": stream, "position": position}
    for name, look in (("doses", dose_response), ("redirections", redirections)):
        table = look(model, prompts, **place, rows=rows, seed=seed)
        write_whole(folder / f"causal_{name}.csv", table.to_csv(index=False).encode())


def _by_task(
    hits: Float[np.ndarray, "row"],
    task: Int[np.ndarray, "row"],
    string: Int[np.ndarray, "row"],
    names: Sequence[str],
    target: int,
) -> Iterator[dict[str, object]]:
    for own in np.unique(task):
        rows = task == own
        resampled = Resampled(string[rows], np.random.default_rng(0)).fewer()
        mean = resampled.mean(hits[rows])
        low, high = mean.interval()
        yield {"task": names[own], "target": names[target], "redirected": mean.value,
               "low": low, "high": high, "rows": int(rows.sum())}  # fmt: skip


def _answers(prompts: PromptSet, roles: Cast) -> dict[tuple[int, int], tuple[int, ...]]:
    """What each task answers to each input, as tokens."""
    return {
        (int(roles.input[row]), int(roles.task[row])): tuple(
            prompts.ids[row, prompts.prompt_lengths[row] : prompts.lengths[row]].tolist()
        )
        for row in roles.fitted
    }


@dataclass
class _TestedRows:
    """Tested rows at one place, ready to be run on from given states."""

    model: nn.Module
    stream: int
    token: Int[np.ndarray, "row"]

    def scores(
        self, asked: Sequence[Asking], states: Float[Tensor, "row variant width"]
    ) -> dict[str, Float[np.ndarray, "row variant"]]:
        """How the answers come out with these states in the rows' places."""
        count, variants = states.shape[:2]
        found: dict[str, np.ndarray] = {}
        way = WAYS[way_of(self.model, asked[0].text, self.token)]
        with evaluating(self.model):
            for asking in asked:
                for tail in tails(self.model, asking.text, self.token, way=way, variants=variants):
                    put = states[torch.as_tensor(tail.rows, device=states.device)]

                    def change(index: int, _: Tensor, put: Tensor = put) -> Tensor | None:
                        return put if index == self.stream else None

                    logits = tail.run(self.stream, change)
                    for name, values in asking.score(tail.rows, logits, tail.clean).items():
                        found.setdefault(name, np.full((count, variants), np.nan))
                        found[name][tail.rows] = values
        return found


class _EditedPlace(_TestedRows):
    """One place of a prompt set, with what is estimated there."""

    def __init__(
        self,
        model: nn.Module,
        prompts: PromptSet,
        stream: str,
        position: str,
        rows: int | None,
        seed: int,
    ) -> None:
        prompts, _ = askable(model, prompts)
        states = read(model, prompts, scores=False).states
        at = index_of(position, states.positions, "position")
        self.roles = cast(prompts, rows, np.random.default_rng(seed))
        self.editor = Editor(states.values[:, at], self.roles, seed + at)
        token = prompts.positions[position][self.roles.tested]
        super().__init__(model, index_of(stream, states.streams, "stream"), token)
        self.own = self.editor.states[self.stream][torch.as_tensor(self.roles.tested)]

    def of(self, some: Bool[np.ndarray, "row"]) -> _TestedRows:
        """Some of the tested rows."""
        return _TestedRows(self.model, self.stream, self.token[some])
