"""From which earlier tokens, and in which blocks, one token takes the task.

Attention from the token of a place is cut to a span of earlier tokens, in one block or in several,
and the answers are scored again. Only that token reads less: everything before it is as it was, so
that its keys and values are cached once and all cuts of a row run side by side.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.activations import blocks_of, device_of, evaluating, stream_names
from nucleate.intervene._answers import askings
from nucleate.intervene._cast import Cast, cast
from nucleate.intervene._causal_map import askable
from nucleate.intervene._causal_table import Mean, Resampled, Simultaneous
from nucleate.intervene._engine import WAYS, Tail, Text, Way, tails, way_of
from nucleate.intervene._knock_out import attention_of, check_obedient, check_runs_once, cutting
from nucleate.intervene._places import streams_at
from nucleate.intervene._presence import NearestTask
from nucleate.intervene._spans import Parts, Span, spans_before
from nucleate.prompts import PromptSet
from nucleate.runs import index_of

_SIDE_BY_SIDE = 128  # cuts of a row in one pass
# Two ways may differ by so much of a state's length; half precision does by nearly as much.
_APART = 1e-2


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
        average in the `rows` that have any, of so many `strings`. `accuracy` without a cut, and
        `task_blind`, the best accuracy without knowing the task. `lost`: accuracy lost where the
        span is cut. `regained`: accuracy where everything but the span is cut, less that where
        all is; asked of several blocks at once only, since a single one is backed up by others
        (NaN). Each has a `_control`, the same with random spans of equal length among the other
        tokens before the place (mean of the draws, on the `controlled` rows that have so many;
        NaN if none has), and an `_excess` over that on the same rows. `separation`: the share of
        rows whose nearest task mean, of other instruction strings, is their own task's, at the
        place without a cut; `separation_lost` and `separation_regained`: what becomes of it, with
        means made again under every cut; NaN where a task has one string. 95 % intervals are of
        the bootstrap over instruction strings: `_low` and `_high` of the effect alone, those of
        `_simultaneous` and `_excess` for all spans and blocks at once.

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
    knocked = _Knocked(model, at, roles, token, place, seed)
    questions = _questions(blocks, spans)
    found = knocked.all([cut for asked in questions for cut in asked.cuts], progress)
    # Folds and resamples are the same ones for whatever spans.
    resampled = Resampled(roles.string[roles.tested], np.random.default_rng(seed))
    table = _table(questions, knocked.clean, found, roles, resampled)
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


@dataclass(frozen=True)
class _Question:
    """One line of the table: a span and blocks, and whether the span is left alone there too."""

    name: str
    blocks: range
    span: Span
    alone: bool

    @property
    def cuts(self) -> list[_Cut]:
        """The span itself and its controls; then everything but these, and everything."""
        each = [self.span.keys, *self.span.controls]
        if self.alone:
            each += [*(self.span.seen & ~keys for keys in each), self.span.seen]
        return [_Cut(keys, self.blocks) for keys in each]


def _questions(blocks: dict[str, range], spans: Sequence[Span]) -> list[_Question]:
    """A single block can be backed up by others; only where all are cut is a span left alone."""
    single = len(blocks) > 1
    return [
        _Question(name, each, span, not single or len(each) > 1)
        for name, each in blocks.items()
        for span in spans
    ]


class _Knocked:
    """Runs the tested rows under cuts, many side by side."""

    def __init__(
        self,
        model: nn.Module,
        prompts: PromptSet,
        roles: Cast,
        token: Int[np.ndarray, "row"],
        place: int,
        seed: int,
    ) -> None:
        self._model, self._token, self._place = model, token, place
        own = {"own": roles.wanted["own"]}
        (self._asking,) = askings(prompts, roles.tested, own)
        self._nearest = NearestTask(roles, np.random.default_rng(seed))
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
    if way_of(model, text, token) != "tail":
        return WAYS["plain"]
    few = np.unique([text.lengths.argmin(), text.lengths.argmax(), token.argmax()])
    some = Text(text.ids[few], text.lengths[few], text.reads[few])
    wanted = _all_cut(model, some, token[few], WAYS["plain"])
    try:
        found = _all_cut(model, some, token[few], WAYS["tail"])
    except (TypeError, ValueError, IndexError, RuntimeError, AttributeError):
        return WAYS["plain"]  # a model that cannot be run so is run the other way
    apart = (found - wanted).norm() / wanted.norm().clamp_min(1e-12)
    return WAYS["tail" if apart < _APART else "plain"]


def _all_cut(
    model: nn.Module, text: Text, token: Int[np.ndarray, "row"], way: Way
) -> Float[Tensor, "row width"]:
    """The last states of tokens that read nothing, in no block."""
    seen = np.arange(int(token.max())) < token[:, None]
    cuts = [_Cut(seen, range(len(blocks_of(model))))]
    states: list[Tensor] = [torch.empty(0)] * len(token)
    for tail in tails(model, text, token, way=way, variants=1):
        read = _under(model, tail, token, cuts, len(stream_names(model)) - 1)[1]
        for row, each in zip(tail.rows, read[:, 0], strict=True):
            states[row] = each
    return torch.stack(states)


def _table(
    questions: Sequence[_Question],
    clean: _Found,
    found: Sequence[_Found],
    roles: Cast,
    resampled: Resampled,
) -> pd.DataFrame:
    """One line per question, of what its cuts gave, in their order."""
    lines: list[dict[str, object]] = []
    effects: list[dict[str, _Effect]] = []
    left, fewer = iter(found), resampled.fewer()
    for asked in questions:
        span, mine = asked.span, [next(left) for _ in asked.cuts]
        of_answer = _effects(span, clean.answer, [each.answer for each in mine])
        of_task = _effects(span, clean.task, [each.task for each in mine])
        each = of_answer | {f"separation_{name}": effect for name, effect in of_task.items()}
        line: dict[str, object] = {
            "blocks": asked.name, "span": span.name,
            "tokens": float(span.keys.sum(-1)[span.there].mean()),
            "rows": int(span.there.sum()), "controlled": int(span.controlled.sum()),
            "strings": resampled.strings_of(span.there), "task_blind": roles.task_blind,
            "accuracy": float(clean.answer[span.there].mean()),
            "separation": float(clean.task[span.there].mean()),
        }  # fmt: skip
        for name, effect in each.items():
            line |= effect.numbers(name, fewer)
        lines.append(line)
        effects.append(each)
    for name in effects[0]:
        for kind in ("simultaneous", "excess"):
            means = [getattr(each[name], kind)(resampled) for each in effects]
            family = Simultaneous(means, resampled.strings)
            for line, mean in zip(lines, means, strict=True):
                bounds = family.interval(mean)
                line[f"{name}_{kind}_low"], line[f"{name}_{kind}_high"] = bounds
    return pd.DataFrame(lines)


@dataclass(frozen=True)
class _Effect:
    """What is lost or regained, row by row, and by random spans of equal length."""

    span: Span
    own: Float[np.ndarray, "row"]
    random: Float[np.ndarray, "row"]

    def simultaneous(self, resampled: Resampled) -> Mean:
        """The effect itself, on the rows that have the span."""
        return resampled.mean(self.own, self.span.there)

    def excess(self, resampled: Resampled) -> Mean:
        """The effect beyond the control, on the rows that have one."""
        return resampled.mean(self.own - self.random, self.span.controlled)

    def numbers(self, name: str, resampled: Resampled) -> dict[str, float]:
        """The effect with its own interval, the control's, and the excess."""
        effect = self.simultaneous(resampled)
        low, high = effect.interval()
        control = resampled.mean(self.random, self.span.controlled).value
        return {
            name: effect.value, f"{name}_low": low, f"{name}_high": high,
            f"{name}_control": control, f"{name}_excess": self.excess(resampled).value,
        }  # fmt: skip


def _effects(
    span: Span, clean: Float[np.ndarray, "row"], scores: Sequence[Float[np.ndarray, "row"]]
) -> dict[str, _Effect]:
    """What the cuts of a question cost, and what leaving the span alone gives back."""
    each = 1 + len(span.controls)
    itself, *controls = scores[:each]
    lost = _Effect(span, clean - itself, clean - np.mean(controls, axis=0))
    if len(scores) == each:
        unknown = np.full_like(clean, np.nan)
        return {"lost": lost, "regained": _Effect(span, unknown, unknown)}
    alone, *controls = scores[each:-1]
    nothing = scores[-1]
    return {
        "lost": lost,
        "regained": _Effect(span, alone - nothing, np.mean(controls, axis=0) - nothing),
    }
