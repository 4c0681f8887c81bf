"""Gathering states and scores of a prompt set, batch by batch, out of a running model."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._answers import predicting
from nucleate.activations._hooks import head_reads, unwrapped
from nucleate.activations._memory import Memory
from nucleate.activations._model import has_head, logits_of, run, vocabulary
from nucleate.activations._packing import PackedBatch
from nucleate.activations._placement import device_of, weights_dtype, whole
from nucleate.activations._streams import stream_names, tapped
from nucleate.prompts import PromptSet
from nucleate.runs import States


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


class Collector:
    """Gathers states and scores, batch by batch, into tensors of the whole prompt set.

    Streams may differ in their dtype (a residual in float32 between blocks in bfloat16): the
    states are kept in one that holds the values of all.
    """

    def __init__(self, model: nn.Module, prompts: PromptSet, *, scores: bool) -> None:
        self.device, self.dtype = device_of(model), weights_dtype(model)
        self.prompts = prompts
        self._streams = stream_names(model)
        self._states: Tensor | None = None
        self._computed = {self.dtype}
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
        self._note_dtype(values)
        wide = torch.promote_types(self._states.dtype, values.dtype)
        if wide != self._states.dtype:
            self._states = self._states.to(wide)
        self._states[stream, position, rows] = values.to(self.device, wide)

    def _note_dtype(self, values: Tensor) -> None:
        kind = values.device.type
        cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.dtype
        self._computed |= {cast, values.dtype}

    def score(self, answers: "Answers", logits: Tensor) -> None:
        logits = whole(logits).to(self.device)
        nll = nn.functional.cross_entropy(
            logits.float().transpose(1, 2), answers.ids, reduction="none"
        ).masked_fill(~answers.real, 0)
        greedy = logits.argmax(-1)
        hits = (greedy == answers.ids) | ~answers.real
        shown = greedy.masked_fill(~answers.real, -1).to(self._predicted.dtype)
        self._predicted[answers.rows, : shown.shape[1]] = shown
        self._nll[answers.rows] = nll.sum(1) / answers.real.sum(1)
        self._correct[answers.rows] = hits.all(1)

    def rows_not_finite(self) -> Int[np.ndarray, "row"]:
        """The rows with a state that is not finite, in order."""
        assert self._states is not None
        finite = self._states.isfinite().flatten(0, 1).all(-1).all(0)
        return np.flatnonzero(~finite.cpu().numpy())

    def reading(self) -> Reading:
        assert self._states is not None
        states = States(
            self._states,
            self._streams,
            tuple(self.prompts.positions),
            compute_dtype=max(self._computed, key=lambda dtype: torch.finfo(dtype).eps),
        )
        if not self.scores:
            return Reading(states, None, None, None)
        return Reading(states, self._correct, self._nll, self._predicted)


@dataclass(frozen=True)
class Answers:
    """The answers of some rows: which tokens predict them, and what they should predict."""

    rows: Tensor
    sequence: Tensor
    index: Tensor
    ids: Tensor
    real: Tensor

    @classmethod
    def of(cls, batch: PackedBatch, out: Collector) -> "Answers":
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


def rested(model: nn.Module) -> Memory:
    """What the model keeps after a pass over two tokens, which no longer row has touched."""
    run(unwrapped(model), torch.zeros(1, 2, dtype=torch.long, device=device_of(model)))
    return Memory(unwrapped(model))


def read_batches(
    model: nn.Module, batches: Iterable[PackedBatch], out: Collector, memory: Memory | None = None
) -> None:
    """Read batches, in evaluation mode, into a collector.

    Args:
        model: a decoder.
        batches: of the collector's prompt set.
        out: the collector.
        memory: what the model keeps from pass to pass, put back before each batch.

    Raises:
        BadInput: the model fails on a batch.
    """
    for batch in batches:
        if memory is not None:
            memory.restore()
        try:
            _read_batch(model, batch, out)
        except (BadInput, torch.OutOfMemoryError):
            raise
        except (RuntimeError, IndexError, ValueError, TypeError, KeyError, AttributeError) as error:
            rows, tokens = batch.ids.shape
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BadInput(
                f"{type(unwrapped(model)).__name__} fails on {rows} x {tokens} tokens "
                f"({type(error).__name__}: {reason}); see whether it runs on them by itself"
            ) from error


def _read_batch(model: nn.Module, batch: PackedBatch, out: Collector) -> None:
    root, device = unwrapped(model), out.device
    ids = torch.from_numpy(batch.ids).to(device)
    settings = batch.settings(out.dtype, device)
    with tapped(model, _Keeper(batch, out)):
        if not has_head(root):
            run(root, ids, **settings)
            return
        answers = Answers.of(batch, out)
        with head_reads(root, answers.index, answers.sequence):
            logits = logits_of(run(root, ids, **settings))
    if len(answers.rows):
        out.score(answers, logits)


class _Keeper:
    """Puts the states at a batch's positions into the collector, stream by stream."""

    def __init__(self, batch: PackedBatch, out: Collector) -> None:
        device = out.device
        self._out, self._shape = out, batch.ids.shape
        self._rows = torch.from_numpy(batch.rows).to(device)
        self._sequence = torch.from_numpy(batch.sequence).to(device)
        self._slot = torch.from_numpy(batch.slot).to(device)
        self._where: list[Tensor] = []
        for position in out.prompts.positions.values():
            chosen = position[batch.rows]
            if chosen.ndim == 1:
                self._where.append(torch.from_numpy(batch.index(chosen)).to(device))
            else:
                exact = torch.promote_types(out.dtype, torch.float32)
                self._where.append(batch.weights(chosen).to(exact).to(device))

    def __call__(self, stream: int, hidden: Tensor) -> None:
        hidden = whole(hidden)
        if hidden.shape[:2] != self._shape:
            raise ValueError(f"states of shape {tuple(hidden.shape)} for ids of {self._shape}")
        sequence = self._sequence.to(hidden.device)
        for position, where in enumerate(self._where):
            if where.is_floating_point():
                exact = torch.promote_types(hidden.dtype, torch.float32)
                means = torch.bmm(where.to(hidden.device, exact), hidden.to(exact))
                values = means[sequence, self._slot.to(hidden.device)].to(hidden.dtype)
            else:  # a gathered copy: a view would keep the whole tensor alive
                values = hidden[sequence, where.to(hidden.device)]
            self._out.keep(stream, position, self._rows, values)
