"""Reading a probe's hidden states, and how its answers score, out of a causal LM.

The pass runs beside whatever the model is doing: in evaluation mode, without gradients, without
a draw from any random generator, with every hook removed and every training flag put back.

Rows of a crossed probe share their instruction. Where the model keeps a key-value cache, each
distinct instruction runs once and its rows go on from there: for 16 two-token continuations of
a 40-token instruction that is a tenth of the tokens.
"""

import inspect
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate.recording._streams import (
    body_of,
    evaluating,
    head_reads,
    stream_names,
    tapped,
    tokens_at,
    unwrapped,
)
from nucleate.runs import States
from nucleate.tasks import Probe

# Tokens of one forward pass: enough to keep two cores busy, few enough to stay in their caches.
_TOKENS_A_BATCH = 8192


@dataclass(frozen=True)
class Reading:
    """What one pass over a probe gives.

    Attributes:
        states: all streams at all of the probe's positions, in the model's dtype.
        correct: whether the greedy answer is exactly the row's answer.
        nll: mean negative log-likelihood of the row's answer tokens, in nats.
    """

    states: States
    correct: Bool[Tensor, "row"]
    nll: Float[Tensor, "row"]


def capture(model: nn.Module, probe: Probe) -> States:
    """Hidden states of a probe's rows at every stream and every position of the probe.

    Args:
        model: any decoder-only causal LM from transformers; its mode, its hooks and all random
            generators are as before afterwards.
        probe: the rows; padding, where rows differ in length, is on the right and is never read.

    Returns:
        states [stream, position, row, width], on the model's device, equal to those of each row
        read alone up to float rounding (4e-7 on GPT-2, GPT-NeoX and Llama).

    Raises:
        BadInput: the model's blocks cannot be found.
    """
    return read(model, probe).states


def read(model: nn.Module, probe: Probe, *, share_prefixes: bool = True) -> Reading:
    """States and scores of a probe's rows in one pass.

    Args:
        model: as for `capture`.
        probe: the rows.
        share_prefixes: run each distinct instruction once, where the model and the probe allow.
    """
    collector = _Collector(model, probe)
    groups = probe.prefix_groups("instruction_end")
    shared = share_prefixes and 2 * len(np.unique(groups)) <= len(probe) and _keeps_cache(model)
    with evaluating(unwrapped(model)):
        for rows in _batches(probe, groups if shared else None):
            if shared:
                _read_shared(model, probe, rows, groups, collector)
            else:
                _read_plain(model, probe, rows, collector)
    return collector.reading()


class _Collector:
    """Gathers states and scores, batch by batch, into tensors of the whole probe."""

    def __init__(self, model: nn.Module, probe: Probe) -> None:
        parameter = next(model.parameters())
        self.device = parameter.device
        self.streams = stream_names(model)
        self.positions = tuple(probe.positions)
        self._states: Tensor | None = None
        self._shape = (len(self.streams), len(self.positions), len(probe))
        self._correct = torch.zeros(len(probe), dtype=torch.bool, device=self.device)
        self._nll = torch.zeros(len(probe), device=self.device)

    def keep(self, stream: int, position: int, rows: Tensor, values: Tensor) -> None:
        if self._states is None:
            self._states = values.new_empty(*self._shape, values.shape[-1])
        self._states[stream, position, rows] = values

    def score(
        self, rows: Tensor, logits: Tensor, targets: Int[Tensor, "r a"], real: Bool[Tensor, "r a"]
    ) -> None:
        nll = nn.functional.cross_entropy(
            logits.float().transpose(1, 2), targets, reduction="none"
        ).masked_fill(~real, 0)
        hits = (logits.argmax(-1) == targets) | ~real
        self._nll[rows] = nll.sum(1) / real.sum(1)
        self._correct[rows] = hits.all(1)

    def reading(self) -> Reading:
        assert self._states is not None
        return Reading(States(self._states, self.streams, self.positions), self._correct, self._nll)


@dataclass(frozen=True)
class _Rows:
    """Some rows of a probe as tensors; tokens are counted from `start`, one number a row."""

    rows: Int[Tensor, "r"]
    ids: Int[Tensor, "r token"]
    start: Int[Tensor, "r"]
    positions: Int[Tensor, "position r"]
    answer_index: Int[Tensor, "r answer"]
    answer_ids: Int[Tensor, "r answer"]
    answer_real: Bool[Tensor, "r answer"]


def _select(probe: Probe, rows: np.ndarray, start: np.ndarray, device: torch.device) -> _Rows:
    """The tokens of `rows` from `start` on, less the last one, which predicts nothing."""
    lengths = probe.lengths[rows] - 1 - start
    offsets = np.arange(lengths.max())
    source = np.minimum(start[:, None] + offsets, probe.ids.shape[1] - 1)
    prompt = probe.prompt_lengths[rows]
    answer = np.arange((probe.lengths[rows] - prompt).max())
    real = answer < (probe.lengths[rows] - prompt)[:, None]
    index = np.where(real, prompt[:, None] - 1 + answer, prompt[:, None] - 1)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values).to(device, dtype=torch.long)

    return _Rows(
        rows=tensor(rows),
        ids=tensor(probe.ids[rows[:, None], source]),
        start=tensor(start),
        positions=tensor(np.stack([p[rows] - start for p in probe.positions.values()])),
        answer_index=tensor(index - start[:, None]),
        answer_ids=tensor(probe.ids[rows[:, None], index + 1]),
        answer_real=torch.as_tensor(real).to(device),
    )


def _read_plain(model: nn.Module, probe: Probe, rows: np.ndarray, out: _Collector) -> None:
    """Whole rows, right-padded: a causal model's real tokens never see the padding after them."""
    batch = _select(probe, rows, np.zeros_like(rows), out.device)

    def see(stream: int, hidden: Tensor) -> None:
        kept = tokens_at(hidden, batch.positions.T)
        for position in range(kept.shape[1]):
            out.keep(stream, position, batch.rows, kept[:, position])

    with tapped(model, see), head_reads(model, batch.answer_index):
        logits = unwrapped(model)(input_ids=batch.ids, use_cache=False).logits
    out.score(batch.rows, logits, batch.answer_ids, batch.answer_real)


def _read_shared(
    model: nn.Module, probe: Probe, rows: np.ndarray, groups: np.ndarray, out: _Collector
) -> None:
    """Each distinct prefix once, then the rest of every row from its prefix's cache."""
    from transformers import DynamicCache

    ends = probe.positions["instruction_end"] + 1
    _, first, group = np.unique(groups[rows], return_index=True, return_inverse=True)
    prefixes = rows[first]
    longest = int(ends[prefixes].max())
    ids = torch.as_tensor(probe.ids[prefixes, :longest]).to(out.device, dtype=torch.long)
    batch = _select(probe, rows, ends[rows], out.device)
    owner = torch.as_tensor(group).to(out.device)
    in_prefix = batch.positions < 0

    def see_prefix(stream: int, hidden: Tensor) -> None:
        for position, inside in enumerate(in_prefix):
            token = (batch.positions[position] + batch.start)[inside]
            out.keep(stream, position, batch.rows[inside], hidden[owner[inside], token])

    def see_rest(stream: int, hidden: Tensor) -> None:
        for position, inside in enumerate(in_prefix):
            token = batch.positions[position][~inside]
            row = torch.nonzero(~inside)[:, 0]
            out.keep(stream, position, batch.rows[~inside], hidden[row, token])

    cache = DynamicCache(config=unwrapped(model).config)
    with tapped(model, see_prefix):
        body_of(model)(input_ids=ids, use_cache=True, past_key_values=cache)
    cache.batch_select_indices(owner)
    # Padded prefixes leave cached keys of no token: masked out, and the places counted on.
    tokens = torch.arange(longest, device=out.device)
    mask = torch.cat(
        [tokens < batch.start[:, None], torch.ones_like(batch.ids, dtype=torch.bool)], 1
    )
    places = batch.start[:, None] + torch.arange(batch.ids.shape[1], device=out.device)
    with tapped(model, see_rest), head_reads(model, batch.answer_index):
        logits = unwrapped(model)(
            input_ids=batch.ids,
            attention_mask=mask.long(),
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
        ).logits
    out.score(batch.rows, logits, batch.answer_ids, batch.answer_real)


def _keeps_cache(model: nn.Module) -> bool:
    """Whether the model can go on from a key-value cache at positions that we name."""
    parameters = inspect.signature(body_of(model).forward).parameters
    return {"past_key_values", "position_ids", "attention_mask"} <= parameters.keys()


def _batches(probe: Probe, groups: np.ndarray | None) -> list[np.ndarray]:
    """Rows in batches of like length; rows of one prefix group stay together."""
    if groups is None:
        order = np.argsort(probe.lengths, kind="stable")
        limit = max(1, _TOKENS_A_BATCH // int(probe.lengths.max()))
        return [order[at : at + limit] for at in range(0, len(order), limit)]
    ends = probe.positions["instruction_end"]
    order = np.lexsort((groups, ends))
    rest = int((probe.lengths - ends).max())
    limit = max(1, _TOKENS_A_BATCH // rest)
    batches: list[list[int]] = [[]]
    for together in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if batches[-1] and len(batches[-1]) + len(together) > limit:
            batches.append([])
        batches[-1].extend(together.tolist())
    return [np.array(batch) for batch in batches]
