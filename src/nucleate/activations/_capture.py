"""Reading a prompt set's hidden states, and how its answers score, out of a causal LM.

The pass leaves the model as it was: it runs in evaluation mode without gradients, draws from no
random generator, and afterwards removes every hook and restores every training flag.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._anatomy import (
    Blocks,
    accepts,
    anatomy_of,
    has_head,
    run,
    text_config,
    vocabulary,
)
from nucleate.activations._answers import predicting
from nucleate.activations._hooks import evaluating, head_reads, unwrapped
from nucleate.activations._packing import (
    PackedBatch,
    Shared,
    plain,
    read_lengths,
)
from nucleate.activations._streams import stream_names, tapped
from nucleate.prompts import PromptSet
from nucleate.runs import States

# States of one forward pass and layer, in numbers: on a CPU they should stay in a core's cache
# (1 MiB in float32), accelerators want many tokens at once.
_NUMBERS_A_BATCH = {"cpu": 2**18}
_TOKENS_ELSEWHERE = 2**14
# Sharing pays where it leaves at most this part of the tokens.
_WORTH_SHARING = 0.8
# Results of the trial: model -> length, kind of attention, precision -> whether it may share.
_obeys: WeakKeyDictionary[nn.Module, dict[tuple[int, str, torch.dtype], bool]] = WeakKeyDictionary()
# Kinds of attention that obey any mask; the others have fast paths that know only causal ones.
_OBEY_MASKS = ("eager", "sdpa")


@dataclass(frozen=True)
class Reading:
    """The result of one pass over a prompt set.

    Attributes:
        states: all streams at all of the prompt set's positions, in the model's dtype.
        correct: whether the greedy answer is exactly the row's answer; None if no row has one.
        nll: mean negative log-likelihood of the row's answer tokens, in nats; NaN for a row
            without an answer, None if no row has one.
        predicted: the likeliest token id at each token of the row's answer, given the prompt and
            the answer's tokens before it (so that `correct` is where all are the answer's); -1
            behind the answer's end. int16 where the vocabulary allows, else int32.
    """

    states: States
    correct: Bool[Tensor, "row"] | None
    nll: Float[Tensor, "row"] | None
    predicted: Int[Tensor, "row token"] | None

    @property
    def scores(self) -> dict[str, Tensor]:
        """`correct`, `nll` and `predicted` by name; empty if no row has an answer."""
        named = {"correct": self.correct, "nll": self.nll, "predicted": self.predicted}
        return {name: value for name, value in named.items() if value is not None}


def capture(
    model: nn.Module,
    prompts: PromptSet | Iterable[Any],
    tokenizer: Any = None,
    *,
    positions: str | int | Sequence[str | int] | None = None,
    blocks: Blocks | None = None,
) -> States:
    """Read hidden states of prompts at every stream and position.

    Args:
        model: any decoder-only causal LM from transformers, compiled, distributed or adapted by
            PEFT or not; its mode, hooks and the random generators are left as they were.
        prompts: a prompt set; or texts, such as a list of strings or a column of a data frame,
            together with their `tokenizer`.
        tokenizer: the model's; for texts only.
        positions: for texts only: where states are read, as in `PromptSet.from_records`; `last`,
            the last token of each text, by default.
        blocks: the list of the model's blocks, or its dotted name such as `model.layers`, where
            they are not found; later calls with the same model remember it.

    Returns:
        states [stream, position, row, width] on the model's device. They equal those of each row
        read alone, without padding, up to float rounding (`verify` measures the difference).

    Raises:
        BadInput: the model is no decoder, or its blocks cannot be found; a row has ids that the
            model does not know, or is longer than it can read; texts without a tokenizer.

    Examples:
        >>> import nucleate as nc
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> model = LlamaForCausalLM(LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=16,
        ...     num_hidden_layers=2, num_attention_heads=2))
        >>> rows = [{"ids": [3, 1, 4]}, {"ids": [1, 5]}]
        >>> states = nc.capture(model, nc.PromptSet.from_records(rows, None, positions="last"))
        >>> states.streams
        ('embed', 'block.0', 'block.1', 'final_norm')
        >>> states.at("block.1", "last").shape
        torch.Size([2, 8])
    """
    anatomy_of(model, blocks=blocks)
    if isinstance(prompts, PromptSet):
        if tokenizer is not None or positions is not None:
            raise BadInput(
                "a prompt set has its tokens and positions; give tokenizer= and positions= with "
                "texts only"
            )
        return read(model, prompts, scores=False).states
    rows = [{"text": text} for text in _texts(prompts, tokenizer)]
    made = PromptSet.from_records(
        rows, tokenizer, positions="last" if positions is None else positions
    )
    return read(model, made, scores=False).states


def _texts(given: Iterable[Any], tokenizer: Any) -> list[str]:
    """Check what is given in place of a prompt set."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise BadInput(
            f"prompts is {given!r}, neither a prompt set nor a list of texts; give [text, ...] "
            "with tokenizer=, or a PromptSet"
        )
    texts = list(given)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput(
                f"prompts[{row}] is {text!r} and no text; give strings, or make a prompt set with "
                "PromptSet.from_records"
            )
    if tokenizer is None:
        raise BadInput("texts need the model's tokenizer; call capture(model, texts, tokenizer)")
    return texts


def read(
    model: nn.Module, prompts: PromptSet, *, scores: bool = True, share_prefixes: bool = True
) -> Reading:
    """States and scores of a prompt set's rows in one pass.

    Args:
        model: as for `capture`. Under FSDP every rank must make the same call.
        prompts: the rows.
        scores: whether answers are scored; the vocabulary head computes nothing else.
        share_prefixes: run each distinct instruction once, where the model and the prompt set
            allow.
    """
    out = Collector(model, prompts, scores=scores)
    _check_fits(model, prompts)
    with evaluating(unwrapped(model)):
        shared = sharing(model, prompts) if share_prefixes else None
        tokens = tokens_a_batch(model)
        batches = plain(prompts, tokens) if shared is None else shared.batches(tokens)
        read_batches(model, batches, out)
    return out.reading()


def check_readable(
    model: nn.Module, prompts: PromptSet | None = None, *, blocks: Blocks | None = None
) -> None:
    """Check that a model's states can be read; cheap the second time.

    Args:
        model: as for `capture`.
        prompts: rows that must fit the model as well.
        blocks: as for `capture`.

    Raises:
        BadInput: as `capture`.
    """
    anatomy_of(model, blocks=blocks)
    if prompts is not None:
        _check_fits(model, prompts)


class Collector:
    """Gathers states and scores, batch by batch, into tensors of the whole prompt set."""

    def __init__(self, model: nn.Module, prompts: PromptSet, *, scores: bool) -> None:
        parameter = next(model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.prompts = prompts
        self._streams = stream_names(model)
        self._states: Tensor | None = None
        self._compute_dtype: torch.dtype | None = None
        longest = int((prompts.lengths - prompts.prompt_lengths).max())
        self.scores = scores and longest > 0 and has_head(model)
        self._correct = torch.zeros(len(prompts), dtype=torch.bool, device=self.device)
        self._nll = torch.full((len(prompts),), torch.nan, device=self.device)
        few = self.scores and vocabulary(unwrapped(model)) <= torch.iinfo(torch.int16).max
        dtype = torch.int16 if few else torch.int32
        self._predicted = torch.full((len(prompts), longest), -1, dtype=dtype, device=self.device)

    def keep(self, stream: int, position: int, rows: Tensor, values: Tensor) -> None:
        if self._states is None:
            shape = len(self._streams), len(self.prompts.positions), len(self.prompts)
            self._states = torch.empty(
                *shape, values.shape[-1], dtype=values.dtype, device=self.device
            )
            self._compute_dtype = _autocast_dtype(values.device)
        self._states[stream, position, rows] = values.to(self.device)

    def score(self, answers: "_Answers", logits: Tensor) -> None:
        nll = nn.functional.cross_entropy(
            logits.float().transpose(1, 2), answers.ids, reduction="none"
        ).masked_fill(~answers.real, 0)
        greedy = logits.argmax(-1)
        hits = (greedy == answers.ids) | ~answers.real
        shown = greedy.masked_fill(~answers.real, -1).to(self._predicted.dtype)
        self._predicted[answers.rows, : shown.shape[1]] = shown
        self._nll[answers.rows] = nll.sum(1) / answers.real.sum(1)
        self._correct[answers.rows] = hits.all(1)

    def reading(self) -> Reading:
        assert self._states is not None
        states = States(
            self._states,
            self._streams,
            tuple(self.prompts.positions),
            compute_dtype=self._compute_dtype or self._states.dtype,
        )
        if not self.scores:
            return Reading(states, None, None, None)
        return Reading(states, self._correct, self._nll, self._predicted)


@dataclass(frozen=True)
class _Answers:
    """The answers of some rows: which tokens predict them, and what they should predict."""

    rows: Tensor
    sequence: Tensor
    index: Tensor
    ids: Tensor
    real: Tensor

    @classmethod
    def of(cls, batch: PackedBatch, out: Collector) -> "_Answers":
        """Those of a batch's rows; none where nothing is scored."""
        prompts, device = out.prompts, out.device
        length = (prompts.lengths - prompts.prompt_lengths)[batch.rows]
        have = np.flatnonzero(length > 0) if out.scores else np.arange(0)
        rows, count = batch.rows[have], length[have]
        token, real = predicting(prompts.prompt_lengths[rows], count)
        some = replace(
            batch,
            rows=rows,
            sequence=batch.sequence[have],
            prefix=batch.prefix[have],
            offset=batch.offset[have],
        )

        def tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values).to(device, dtype=torch.long)

        return cls(
            rows=tensor(rows),
            sequence=tensor(some.sequence),
            index=tensor(some.index(token)),
            ids=tensor(prompts.ids[rows[:, None], token + 1]),
            real=torch.as_tensor(real).to(device),
        )


def _read_batch(model: nn.Module, batch: PackedBatch, out: Collector) -> None:
    root, device = unwrapped(model), out.device
    ids = torch.from_numpy(batch.ids).to(device)
    settings = batch.settings(out.dtype, device)
    with tapped(model, _Keeper(batch, out)):
        if not has_head(root):
            run(root, ids, **settings)
            return
        answers = _Answers.of(batch, out)
        with head_reads(root, answers.index, answers.sequence):
            logits = run(root, ids, **settings).logits
    if len(answers.rows):
        out.score(answers, logits)


class _Keeper:
    """Puts the states at a batch's positions into the collector, stream by stream."""

    def __init__(self, batch: PackedBatch, out: Collector) -> None:
        device = out.device
        self._out = out
        self._rows = torch.from_numpy(batch.rows).to(device)
        self._sequence = torch.from_numpy(batch.sequence).to(device)
        self._slot = torch.from_numpy(batch.slot).to(device)
        self._where: list[Tensor] = []
        for position in out.prompts.positions.values():
            chosen = position[batch.rows]
            where = (
                torch.from_numpy(batch.index(chosen)) if chosen.ndim == 1 else batch.weights(chosen)
            )
            self._where.append(where.to(device))

    def __call__(self, stream: int, hidden: Tensor) -> None:
        sequence = self._sequence.to(hidden.device)
        for position, where in enumerate(self._where):
            if where.is_floating_point():
                means = torch.bmm(where.to(hidden.device), hidden.float())
                values = means[sequence, self._slot.to(hidden.device)].to(hidden.dtype)
            else:  # a gathered copy: a view would keep the whole tensor alive
                values = hidden[sequence, where.to(hidden.device)]
            self._out.keep(stream, position, self._rows, values)


def tokens_a_batch(model: nn.Module) -> int:
    """How many tokens one forward pass should have."""
    numbers = _NUMBERS_A_BATCH.get(next(model.parameters()).device.type)
    if numbers is None:
        return _TOKENS_ELSEWHERE
    width = getattr(text_config(model), "hidden_size", None) or 1024
    return max(1, numbers // int(width))


def sharing(model: nn.Module, prompts: PromptSet) -> Shared | None:
    """How the rows share sequences, or None where that would not pay or not be right.

    Whether a model obeys places and masks as it should is not asked but tried, once, on the
    longest sequence of this very prompt set: a sliding window shows only at full length.
    """
    position = prompts.positions.get("instruction_end")
    if position is None or position.ndim != 1 or not _could_share(model):
        return None
    shared = Shared(prompts)
    alone = int(read_lengths(prompts).sum())
    if shared.tokens > _WORTH_SHARING * alone or shared.longest > _window(model):
        return None
    verdicts = _obeys.setdefault(unwrapped(model), {})
    key = (shared.longest, text_config(model)._attn_implementation, _precision(model))
    if key not in verdicts:
        verdicts[key] = _agrees(model, prompts, shared.trial())
    return shared if verdicts[key] else None


def _could_share(model: nn.Module) -> bool:
    attention = getattr(text_config(model), "_attn_implementation", None)
    return attention in _OBEY_MASKS and accepts(model, "attention_mask", "position_ids")


def _window(model: nn.Module) -> float:
    """How far back the model's most short-sighted attention sees, in tokens."""
    text = text_config(model)
    names = ("sliding_window", "window_size", "attention_chunk_size")
    sizes = [getattr(text, name, None) for name in names]
    return float(min((s for s in sizes if isinstance(s, int) and s > 0), default=np.inf))


def _agrees(model: nn.Module, prompts: PromptSet, trial: PackedBatch) -> bool:
    """Whether rows of one shared sequence have the states that they have alone."""
    rows = np.sort(trial.rows)
    few = np.unique(rows[[0, len(rows) // 2, -1]])
    together, alone = (Collector(model, prompts, scores=False) for _ in range(2))
    try:
        _read_batch(model, trial, together)
    except (TypeError, ValueError, IndexError, RuntimeError, AttributeError):
        return False  # a model that cannot take such a mask is read row by row
    read_batches(model, plain(prompts, tokens_a_batch(model), few), alone)
    got, wanted = (c.reading().states.values[:, :, few].float() for c in (together, alone))
    error = (got - wanted).norm(dim=-1) / wanted.norm(dim=-1).clamp_min(1e-12)
    exact = _precision(model) in (torch.float32, torch.float64)
    return bool(error.max() <= (1e-4 if exact else 3e-2))


def _precision(model: nn.Module) -> torch.dtype:
    """What the model computes in."""
    parameter = next(model.parameters())
    return _autocast_dtype(parameter.device) or parameter.dtype


def read_batches(model: nn.Module, batches: Iterable[PackedBatch], out: Collector) -> None:
    """Read batches, in evaluation mode, into a collector."""
    for batch in batches:
        _read_batch(model, batch, out)


def _autocast_dtype(device: torch.device) -> torch.dtype | None:
    if not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


def _check_fits(model: nn.Module, prompts: PromptSet) -> None:
    """Ids beyond the vocabulary and rows beyond the model's length crash far from their cause."""
    root = unwrapped(model)
    known, highest = vocabulary(root), int(prompts.ids.max())
    if highest >= known:
        raise BadInput(
            f"the prompts have token id {highest}, {type(root).__name__} knows ids below {known}; "
            "make the prompt set with the model's own tokenizer"
        )
    limit = getattr(text_config(model), "max_position_embeddings", None)
    longest = int(read_lengths(prompts).max())
    if isinstance(limit, int) and 0 < limit < longest:
        raise BadInput(
            f"the prompt set's longest row has {longest} tokens, {type(root).__name__} reads up to "
            f"{limit}; shorten the rows, or ask for truncate= when the prompt set is made"
        )
