"""Packing prompts into batches of token ids with little padding and little repetition.

Plain: rows of similar length are batched together, padded on the right. A causal model's real
tokens never see the padding after them, so that it needs no mask. Padding repeats a token of the
row itself: one whose embedding is not finite would reach into all states, mask or not.

Shared: rows with a common beginning become one sequence - their beginning once, then the rest of
each row. A mask lets every rest see the beginning and itself, and its tokens keep their own
positions, so that the states are those of each row alone. Of 16 two-token endings on 40 tokens, 72
tokens are left of 672, and no key-value cache has to be copied for every row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate.prompts import PromptSet

# Tokens of one shared sequence: attention grows with the square of it.
_LONGEST_SHARED = 256
_PADDING = -1


@dataclass(frozen=True)
class PackedBatch:
    """Some rows of a prompt set as token ids, and where in them each row's tokens are.

    Attributes:
        rows: rows of the prompt set.
        sequence: which sequence of the batch each row is in.
        prefix: how many of each row's tokens stand at the sequence's beginning.
        offset: where the rest of each row begins in its sequence.
        ids: the tokens, right padded.
        places: each token's place in its own row; None in a plain batch.
        part: 0 for a beginning, k for the k-th row's rest, -1 for padding; None in a plain batch.
    """

    rows: Int[np.ndarray, "row"]
    sequence: Int[np.ndarray, "row"]
    prefix: Int[np.ndarray, "row"]
    offset: Int[np.ndarray, "row"]
    ids: Int[np.ndarray, "sequence token"]
    places: Int[np.ndarray, "sequence token"] | None = None
    part: Int[np.ndarray, "sequence token"] | None = None

    def index(self, tokens: Int[np.ndarray, "row *many"]) -> Int[np.ndarray, "row *many"]:
        """Where tokens of each row, counted in the row, stand in its sequence."""
        shape = (-1, *(1,) * (tokens.ndim - 1))
        return _index(tokens, self.prefix.reshape(shape), self.offset.reshape(shape))

    def weights(self, spans: Int[np.ndarray, "row 2"]) -> Float[Tensor, "sequence row_in token"]:
        """What averages every row's span of tokens, when multiplied with the states."""
        slot = self.slot
        weights = np.zeros((len(self.ids), slot.max() + 1, self.ids.shape[1]))
        lengths = spans[:, 1] - spans[:, 0]
        row = np.repeat(np.arange(len(spans)), lengths)
        token = spans[row, 0] + _counted(lengths)
        index = _index(token, self.prefix[row], self.offset[row])
        weights[self.sequence[row], slot[row], index] = 1 / lengths[row]
        return torch.from_numpy(weights)

    @property
    def slot(self) -> Int[np.ndarray, "row"]:
        """The number of each row within its sequence."""
        starts = np.flatnonzero(np.diff(self.sequence, prepend=-1))
        return _counted(np.diff(starts, append=len(self.sequence)))

    def settings(self, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        """Arguments of the forward pass besides the ids; none for a plain batch."""
        if self.part is None or self.places is None:
            return {}
        part = torch.from_numpy(self.part).to(device)
        same = part[:, :, None] == part[:, None, :]
        seen = (same | (part == 0)[:, None, :]).tril()
        mask = torch.zeros(seen.shape, dtype=dtype, device=device)
        mask.masked_fill_(~seen, torch.finfo(dtype).min)
        places = torch.from_numpy(self.places).to(device)
        return {"attention_mask": mask[:, None], "position_ids": places}


def read_lengths(prompts: PromptSet) -> Int[np.ndarray, "row"]:
    """How many tokens of each row are read.

    An answer's last token predicts nothing and is left out, unless a position is there.
    """
    wanted = [prompts.ends(position) for position in prompts.positions]
    lengths: np.ndarray = np.max([prompts.prompt_lengths, prompts.lengths - 1, *wanted], axis=0)
    return lengths


def plain(
    prompts: PromptSet,
    tokens: int,
    rows: Int[np.ndarray, "row"] | None = None,
    *,
    equal: bool = False,
    whole: bool = False,
) -> Iterator[PackedBatch]:
    """Every row by itself, in batches of similar length.

    Args:
        prompts: the rows.
        tokens: of one batch, at most, unless one row has more; 1 reads each row alone.
        rows: which rows; all if None.
        equal: only rows of the same length stand in one batch, without padding.
        whole: read also the tokens that no position and no answer needs.
    """
    lengths = prompts.lengths if whole else read_lengths(prompts)
    rows = np.arange(len(prompts)) if rows is None else rows
    order = rows[np.argsort(lengths[rows], kind="stable")]
    for part in _split(lengths[order], tokens, equal=equal):
        chosen = order[part]
        inside = np.minimum(np.arange(lengths[chosen].max()), lengths[chosen, None] - 1)
        ids = prompts.ids[chosen[:, None], inside]
        none = np.zeros_like(chosen)
        yield PackedBatch(chosen, np.arange(len(chosen)), none, none, ids.astype(np.int64))


class Shared:
    """How a prompt set's rows share sequences.

    Args:
        prompts: has a position `instruction_end`; rows equal up to there share their beginning.

    Attributes:
        tokens: how many tokens all sequences have together.
        longest: tokens of the longest one.
    """

    def __init__(self, prompts: PromptSet) -> None:
        self._prompts = prompts
        self._lengths = read_lengths(prompts)
        self._prefix = prompts.positions["instruction_end"] + 1
        groups = prompts.prefix_groups("instruction_end")
        self._order = np.argsort(groups, kind="stable")
        self._sequence, self._offset = self._lay_out(groups[self._order])
        rest = (self._lengths - self._prefix)[self._order]
        ends = np.zeros(self._sequence[-1] + 1, dtype=np.int64)
        np.maximum.at(ends, self._sequence, self._offset + rest)
        self._totals = ends
        self.tokens, self.longest = int(ends.sum()), int(ends.max())

    def _lay_out(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each row's sequence and offset: a group that grows too long begins another sequence."""
        sequence, offset = np.zeros_like(groups), np.zeros_like(groups)
        number, end, before = -1, 0, -1
        for place, row in enumerate(self._order):
            prefix = int(self._prefix[row])
            rest = int(self._lengths[row]) - prefix
            if groups[place] != before or end + rest > max(_LONGEST_SHARED, 4 * prefix):
                number, end, before = number + 1, prefix, groups[place]
            sequence[place], offset[place] = number, end
            end += rest
        return sequence, offset

    def batches(self, tokens: int) -> Iterator[PackedBatch]:
        """All rows, in batches of sequences of like length with up to so many tokens."""
        by_length = np.argsort(self._totals, kind="stable")
        starts = np.searchsorted(self._sequence, np.arange(len(self._totals) + 1))
        for part in _split(self._totals[by_length], tokens):
            yield self._batch([np.arange(starts[s], starts[s + 1]) for s in by_length[part]])

    def beside(self, rows: Int[np.ndarray, "row"]) -> Int[np.ndarray, "beside"]:
        """All rows of the sequences that hold the given ones."""
        sequences = self._sequence[np.isin(self._order, rows)]
        return np.sort(self._order[np.isin(self._sequence, sequences)])

    def longest_rows(self) -> Int[np.ndarray, "row"]:
        """The rows of the longest sequence."""
        return np.sort(self._order[self._sequence == self._totals.argmax()])

    def _batch(self, sequences: list[np.ndarray]) -> PackedBatch:
        """A batch of sequences, each given as places in the order of rows."""
        places = np.concatenate(sequences)
        rows, offset = self._order[places], self._offset[places]
        sequence = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
        prefix, ids = self._prefix[rows], self._prompts.ids
        longest = max(self._totals[self._sequence[s[0]]] for s in sequences)
        packed = np.zeros((len(sequences), longest), dtype=np.int64)
        own_places, part = np.zeros_like(packed), np.full_like(packed, _PADDING)
        batch = PackedBatch(rows, sequence, prefix, offset, packed, own_places, part)
        first = batch.slot == 0
        for number, chosen, begin, end in (
            (np.zeros_like(rows), first, np.zeros_like(rows), prefix),
            (batch.slot + 1, np.ones_like(first), prefix, self._lengths[rows]),
        ):
            lengths = np.where(chosen, end - begin, 0)
            row = np.repeat(np.arange(len(rows)), lengths)
            token = begin[row] + _counted(lengths)
            at = sequence[row], _index(token, prefix[row], offset[row])
            packed[at], own_places[at], part[at] = ids[rows[row], token], token, number[row]
        np.copyto(packed, packed[:, :1], where=part == _PADDING)
        return batch


def _index(token: np.ndarray, prefix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Where tokens counted in their row stand in its sequence: in its beginning, or its rest."""
    index: np.ndarray = np.where(token < prefix, token, offset + token - prefix)
    return index


def _counted(lengths: np.ndarray) -> np.ndarray:
    """0, 1, ... length - 1 for every length, one after the other."""
    ends = np.cumsum(lengths)
    counted: np.ndarray = np.arange(ends[-1] if len(ends) else 0) - np.repeat(
        ends - lengths, lengths
    )
    return counted


def _split(lengths: np.ndarray, tokens: int, *, equal: bool = False) -> Iterator[slice]:
    """Cut sequences that come in order of length into batches of bounded size."""
    start = 0
    while start < len(lengths):
        stop = start + 1
        while (
            stop < len(lengths)
            and (stop + 1 - start) * lengths[stop] <= tokens
            and not (equal and lengths[stop] > lengths[start])
        ):
            stop += 1
        yield slice(start, stop)
        start = stop
