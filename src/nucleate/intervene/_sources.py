"""From which earlier tokens, and in which blocks, one token takes the task.

Attention from the token of a place is cut to a span of earlier tokens, in one block or in several,
and the answers are scored again. Only that token reads less: everything before it is as it was, so
that its keys and values are cached once and all cuts of a row run side by side.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate._core.strings import Strings
from nucleate.activations import blocks_of, device_of, evaluating, stream_names
from nucleate.intervene._answers import askings
from nucleate.intervene._cast import Cast, cast
from nucleate.intervene._causal_map import askable
from nucleate.intervene._causal_table import Mean, Resampled, Simultaneous
from nucleate.intervene._controls import input_averages, task_averages
from nucleate.intervene._engine import WAYS, Tail, Text, Way, tails, way_of
from nucleate.intervene._knock_out import attention_of, check_obedient, check_runs_once, cutting
from nucleate.intervene._places import streams_at
from nucleate.intervene._spans import Parts, Span, spans_before
from nucleate.prompts import PromptSet
from nucleate.runs import index_of

_SIDE_BY_SIDE = 128  # cuts of a row in one pass


@dataclass(frozen=True)
class _Cut:
    """Some tokens that the place's token no longer reads from, in some blocks."""

    keys: Bool[np.ndarray, "row key"]
    blocks: range


@dataclass(frozen=True)
class _Found:
    """What comes of a cut: for each row whether the answer, and the nearest task mean, is right."""

    answer: Float[np.ndarray, "row"]
    task: Float[np.ndarray, "row"]


def attention_sources(
    model: nn.Module,
    prompts: PromptSet,
    *,
    stream: str,
    position: str,
    parts: Parts = "thirds",
    draws: int = 5,
    rows: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Cut what one token reads from the tokens before it, span by span and block by block.

    Args:
        model: as for `causal_map`, with attention that `knock_out` can cut.
        prompts: as for `causal_map`. Where the instruction stands is told by the position
            `mean:instruction`; without it the instruction ends at `instruction_end` and begins
            where rows of the same instruction begin to agree, but for tokens with which the
            instructions of all rows begin.
        stream, position: the place whose token reads, by name.
        parts: whether an instruction is cut in `thirds` or in `tokens`, counted from its first.
        draws: random spans as control for each span.
        rows: how many rows are tested at most, drawn at random; all if None.
        seed: of the rows, random spans, folds and resamples.
        progress: called with the cuts done and their number.

    Returns:
        one row a (blocks, span). Blocks: each one up to the place alone, all of these at once, and
        all blocks of the model. Spans: the parts of the instruction, the `instruction` without its
        last token, the `end of the instruction`, the tokens `before` and `after the instruction`,
        and `all`; each of the tokens before the place only. `tokens`: how many those are on
        average in the `rows` that have any, of so many `strings`. `accuracy` without a cut,
        `task_blind` (the best accuracy without knowing the task), `lost` (accuracy lost by the
        cut), `control` (lost by random spans of equal length among the other tokens before the
        place, mean of the draws, on the `controlled` rows that have so many; NaN if none has), and
        `excess`, what is lost beyond that on these rows. Then the same of the state at the place:
        `separation` (share of rows whose nearest task mean, of other instruction strings, is their
        own task's; the means are made again under every cut), `separation_lost`,
        `separation_control`, `separation_excess`; NaN where a task has one string. `lost` and
        `separation_lost` have 95 % intervals (`_low`, `_high`) of the bootstrap over instruction
        strings; those of `excess`, `separation_excess` and `lost_simultaneous` hold for all
        spans and blocks at once.

    Raises:
        BadInput: as `causal_map` and `knock_out`; the stream `embed`; a position without earlier
            tokens; a prompt set that does not say where its instructions are.

    Notes:
        Only what the token reads itself is cut: what third tokens have read before, and hand on to
        it, is not. Blocks above the place may read anew what the place has lost, so that nothing is
        lost by a cut up to the place is no proof that nothing was read. A cut may do damage that
        has nothing to do with the task, above all that of a first token on which much attention
        rests. Where an answer has several tokens, those after the first read for themselves.

    Source: Geva et al. 2023, Dissecting recall of factual associations.
    """
    check_whole("draws", draws, least=1)
    if parts not in ("thirds", "tokens"):
        raise BadInput(f"parts is {parts!r}; give 'thirds' or 'tokens'")
    place, blocks = _place(model, stream)
    at, _ = askable(model, prompts)
    index_of(position, tuple(at.positions), "position")
    rng = np.random.default_rng(seed)
    roles = cast(at, rows, rng)
    token = at.positions[position][roles.tested]
    if (token == 0).any():
        row = int(roles.tested[(token == 0).argmax()])
        raise BadInput(
            f"position {position!r} is the first token in row {row} of the prompt set, with none "
            "before it to read from; choose a later one, such as 'last'"
        )
    spans = spans_before(prompts, roles.tested, token, parts, draws, rng)
    knocked = _Knocked(model, at, roles, token, place, rng)
    found = knocked.all([cut for each in blocks.values() for cut in _cuts(spans, each)], progress)
    resampled = Resampled(roles.string[roles.tested], rng)
    table = _table(blocks, spans, knocked.clean, found, roles, resampled)
    return table.assign(stream=stream, position=position)


def _place(model: nn.Module, stream: str) -> tuple[int, dict[str, range]]:
    """The number of the place's stream, and the blocks that are cut, by name."""
    check_runs_once(model)
    (place,) = streams_at(model, stream)
    if place == 0:
        raise BadInput(
            "'embed' is what goes into the first block, so that its tokens have read nothing yet; "
            "choose a later stream, such as block.0"
        )
    names = stream_names(model)[1:-1]
    top = min(place, len(names))
    check_obedient(model, range(len(names)))
    blocks = {names[k]: range(k, k + 1) for k in range(top)}
    several = {f"{names[0]} to {names[n - 1]}": range(n) for n in (top, len(names)) if n > 1}
    return place, blocks | several


def _cuts(spans: Sequence[Span], blocks: range) -> Iterator[_Cut]:
    """Every span, each followed by its controls."""
    for span in spans:
        yield _Cut(span.keys, blocks)
        for keys in span.controls:
            yield _Cut(keys, blocks)


class _Knocked:
    """Runs the tested rows under cuts, many side by side."""

    def __init__(
        self,
        model: nn.Module,
        prompts: PromptSet,
        roles: Cast,
        token: Int[np.ndarray, "row"],
        place: int,
        rng: np.random.Generator,
    ) -> None:
        self._model, self._token, self._place = model, token, place
        own = {"own": roles.wanted["own"]}
        (self._asking,) = askings(prompts, roles.tested, own)
        self._nearest = _NearestTask(roles, rng)
        nothing = _Cut(np.zeros((len(token), int(token.max())), dtype=bool), range(0))
        with evaluating(model):
            self._way = _way(model, self._asking.text, token)
        (self.clean,) = self.all([nothing], lambda done, total: None)

    def all(self, cuts: Sequence[_Cut], progress: Callable[[int, int], None]) -> list[_Found]:
        """What comes of every cut."""
        found: list[_Found] = []
        with evaluating(self._model):
            for first in range(0, len(cuts), _SIDE_BY_SIDE):
                found += self._some(cuts[first : first + _SIDE_BY_SIDE])
                progress(len(found), len(cuts))
        return found

    def _some(self, cuts: Sequence[_Cut]) -> list[_Found]:
        answer = np.empty((len(cuts), len(self._token)))
        states: list[Tensor] = [torch.empty(0)] * len(self._token)
        text, asking = self._asking.text, self._asking
        for tail in tails(self._model, text, self._token, way=self._way, variants=len(cuts)):
            logits, read = _under(self._model, tail, self._token, cuts, self._place)
            scored = asking.score(tail.rows, logits, tail.clean)
            answer[:, tail.rows] = scored["hit.own"].T
            for row, each in zip(tail.rows, read, strict=True):
                states[row] = each
        task = self._nearest(torch.stack(states, 1))
        return [_Found(a, t) for a, t in zip(answer, task, strict=True)]


def _under(
    model: nn.Module,
    tail: Tail,
    token: Int[np.ndarray, "all"],
    cuts: Sequence[_Cut],
    place: int,
) -> tuple[Float[Tensor, "row cut kept vocabulary"], Float[Tensor, "row cut width"]]:
    """Logits, and the states at the place, of some rows under every cut."""
    read: list[Tensor] = []

    def see(index: int, states: Tensor) -> None:
        if index == place:
            read.append(states.float().cpu())

    device = device_of(model)
    at = np.array(tail.columns)[None] == token[tail.rows][:, None]
    keys = np.zeros((len(tail.rows), len(cuts), tail.columns.stop), dtype=bool)
    for number, cut in enumerate(cuts):
        width = min(cut.keys.shape[1], keys.shape[2])
        keys[:, number, :width] = cut.keys[tail.rows][:, :width]
    with ExitStack() as hooks:
        for block, module in enumerate(blocks_of(model)):
            here = np.array([block in cut.blocks for cut in cuts])
            if here.any():
                # Each variant of a row has its own cut; variants of a row run side by side.
                wanted = (keys & here[:, None])[:, :, None, :] & at[:, None, :, None]
                mask = torch.as_tensor(wanted.reshape(-1, *wanted.shape[2:]), device=device)
                kind = attention_of(model)
                hooks.enter_context(cutting([module], kind, lambda mask=mask: mask))  # type: ignore[misc]
        logits = tail.run(0, see)
    return logits, read[0]


def _way(model: nn.Module, text: Text, token: Int[np.ndarray, "row"]) -> Way:
    """Run on from cached tokens, where that gives the same under a cut as a plain pass."""
    plain, fast = WAYS["plain"], WAYS["tail"]
    if way_of(model, text, token) != "tail":
        return plain
    few = np.unique([text.lengths.argmin(), text.lengths.argmax(), token.argmax()])
    some = Text(text.ids[few], text.lengths[few], text.reads[few])
    keys = np.arange(int(token[few].max())) < token[few][:, None]
    every = [_Cut(keys, range(len(blocks_of(model))))]
    place = len(stream_names(model)) - 1
    both = []
    for way in (plain, fast):
        found: dict[int, Tensor] = {}
        for tail in tails(model, some, token[few], way=way, variants=1):
            read = _under(model, tail, token[few], every, place)[1]
            found |= dict(zip(tail.rows.tolist(), read, strict=True))
        both.append(torch.stack([found[row] for row in range(len(few))]))
    apart = (both[0] - both[1]).norm() / both[0].norm().clamp_min(1e-12)
    return fast if apart < 3e-2 else plain


class _NearestTask:
    """Whether the nearest task mean, of other instruction strings, is the row's own task's."""

    def __init__(self, roles: Cast, rng: np.random.Generator) -> None:
        rows = roles.tested
        task, string = (
            np.unique(code[rows], return_inverse=True)[1] for code in (roles.task, roles.string)
        )
        fold = Strings.of(string, task, string, np.zeros_like(string)).folds(rng)
        self._known = fold is not None
        if fold is None:
            return
        of_row = np.zeros(len(roles.task), dtype=np.int64)
        of_row[rows] = fold[string]
        tested = replace(roles, fitted=rows, fold=of_row)
        self._means = task_averages(tested, roles.task)[:, :, rows]
        centers = input_averages(replace(roles, fitted=rows))[:, rows]
        self._centers = centers[torch.as_tensor(roles.input[rows])]
        self._fold = torch.as_tensor(of_row[rows])
        self._task = torch.as_tensor(roles.task[rows])

    def __call__(self, states: Float[Tensor, "cut row width"]) -> Float[np.ndarray, "cut row"]:
        if not self._known:
            return np.full(states.shape[:2], np.nan)
        there = self._means.any(-1)
        right = np.zeros(states.shape[:2])
        for number, each in enumerate(states):
            centered = each - self._centers @ each
            distance = torch.cdist(centered, self._means @ centered)
            own = distance[self._fold, torch.arange(len(each))]
            own = own.masked_fill(~there[self._fold], torch.inf)
            # Means that tie share the credit.
            nearest = own == own.amin(-1, keepdim=True)
            hit = nearest.gather(1, self._task[:, None])[:, 0] / nearest.sum(-1)
            right[number] = hit.numpy()
        return right


def _table(
    blocks: dict[str, range],
    spans: Sequence[Span],
    clean: _Found,
    found: Sequence[_Found],
    roles: Cast,
    resampled: Resampled,
) -> pd.DataFrame:
    """One line per blocks and span, in the order of the cuts."""
    lines: list[dict[str, object]] = []
    means: list[dict[str, Mean]] = []
    left = iter(found)
    for name in blocks:
        for span in spans:
            itself, controls = next(left), [next(left) for _ in span.controls]
            of_answer = _Effect.of(span, clean.answer, itself.answer, [c.answer for c in controls])
            of_task = _Effect.of(span, clean.task, itself.task, [c.task for c in controls])
            lines.append(
                {
                    "stream": "", "position": "", "blocks": name, "span": span.name,
                    "tokens": float(span.keys.sum(-1)[span.there].mean()),
                    "rows": int(span.there.sum()),
                    "controlled": int(span.controlled.sum()),
                    "strings": resampled.strings_of(span.there),
                    "task_blind": roles.task_blind,
                    **of_answer.numbers("accuracy", "", resampled),
                    **of_task.numbers("separation", "separation_", resampled),
                }
            )  # fmt: skip
            means.append(
                {
                    "lost_simultaneous": of_answer.lost(resampled),
                    "excess": of_answer.excess(resampled),
                    "separation_excess": of_task.excess(resampled),
                }
            )
    for name in means[0]:
        family = Simultaneous((each[name] for each in means), resampled.strings)
        for line, each in zip(lines, means, strict=True):
            line[f"{name}_low"], line[f"{name}_high"] = family.interval(each[name])
    return pd.DataFrame(lines)


@dataclass(frozen=True)
class _Effect:
    """What a cut costs, row by row, and what random spans of equal length cost."""

    span: Span
    clean: Float[np.ndarray, "row"]
    cost: Float[np.ndarray, "row"]
    random: Float[np.ndarray, "row"]

    @classmethod
    def of(
        cls,
        span: Span,
        clean: Float[np.ndarray, "row"],
        cut: Float[np.ndarray, "row"],
        controls: Sequence[Float[np.ndarray, "row"]],
    ) -> "_Effect":
        return cls(span, clean, clean - cut, clean - np.mean(controls, axis=0))

    def lost(self, resampled: Resampled) -> Mean:
        return resampled.mean(self.cost, self.span.there)

    def excess(self, resampled: Resampled) -> Mean:
        """What is lost beyond the control, on the rows that have one."""
        return resampled.mean(self.cost - self.random, self.span.controlled)

    def numbers(self, whole: str, prefix: str, resampled: Resampled) -> dict[str, float]:
        """Without a cut, lost by it, lost by the control, and the excess."""
        fewer = resampled.fewer()
        lost = self.lost(fewer)
        low, high = lost.interval()
        return {
            whole: fewer.mean(self.clean, self.span.there).value,
            f"{prefix}lost": lost.value,
            f"{prefix}lost_low": low,
            f"{prefix}lost_high": high,
            f"{prefix}control": fewer.mean(self.random, self.span.controlled).value,
            f"{prefix}excess": self.excess(fewer).value,
        }
