"""The ways to make the same map, each written as its own documentation would.

A peer gets the model and the work, and returns the logits that follow the last token of every row
[stream, position, row, edit, vocabulary].
"""

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from materials import EDITS, POSITIONS, STREAMS, VOCABULARY, Work

BATCH = 256  # rows a batch for every peer but nucleate, which makes its own


def _empty(work: Work) -> torch.Tensor:
    return torch.empty(STREAMS, POSITIONS, len(work), EDITS, VOCABULARY)


def _batches(work: Work) -> Any:
    for start in range(0, len(work), BATCH):
        rows = slice(start, start + BATCH)
        longest = work.lengths[rows].max()
        ids = torch.from_numpy(work.ids[rows, :longest])
        mask = torch.arange(longest) < torch.from_numpy(work.lengths[rows])[:, None]
        yield rows, ids, mask.long(), torch.arange(len(ids)), torch.from_numpy(work.lengths[rows])


@contextmanager
def _put(model: Any, stream: int, where: tuple[torch.Tensor, torch.Tensor], states: Any) -> Any:
    body = model.model

    def replace(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        output[where] = states
        return output

    modules = [body.embed_tokens, *body.layers, body.norm]
    handle = modules[stream].register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def naive(model: Any, work: Work) -> torch.Tensor:
    """A hook and a whole forward pass for every place and edit."""
    logits = _empty(work)
    with torch.no_grad():
        for stream in range(STREAMS):
            for position in range(POSITIONS):
                states = work.states(stream, position)
                token = torch.from_numpy(work.tokens[position])
                for rows, ids, mask, each, lengths in _batches(work):
                    for edit in range(EDITS):
                        with _put(model, stream, (each, token[rows]), states[rows, edit]):
                            output = model(input_ids=ids, attention_mask=mask, use_cache=False)
                        logits[stream, position, rows, edit] = output.logits[each, lengths - 1]
    return logits


def nnsight(model: Any, work: Work) -> torch.Tensor:
    """A trace for every place and batch, in which every edit is an invoke of its own."""
    from nnsight import NNsight

    wrapped = NNsight(model)
    logits = _empty(work)
    with torch.no_grad():
        for stream in range(STREAMS):
            for position in range(POSITIONS):
                states = work.states(stream, position)
                token = torch.from_numpy(work.tokens[position])
                for rows, ids, mask, each, lengths in _batches(work):
                    for edit in range(EDITS):
                        values = states[rows, edit]
                        at = token[rows]
                        with wrapped.trace(input_ids=ids, attention_mask=mask, use_cache=False):
                            if stream == 0:
                                wrapped.model.embed_tokens.output[each, at] = values
                            elif stream == STREAMS - 1:
                                wrapped.model.norm.output[each, at] = values
                            else:
                                wrapped.model.layers[stream - 1].output[each, at] = values
                            found = wrapped.lm_head.output[each, lengths - 1].save()
                        logits[stream, position, rows, edit] = found
    return logits


def nucleate(model: Any, work: Work) -> torch.Tensor:
    """What `causal_map` runs."""
    import numpy as np

    from nucleate.activations import evaluating
    from nucleate.intervene._engine import (
        WAYS,
        Text,
        tails,
        way_of,
    )

    logits = _empty(work)
    text = Text(work.ids, work.lengths, work.lengths[:, None] - 1)
    for position in range(POSITIONS):
        token = np.asarray(work.tokens[position])
        states = [work.states(stream, position) for stream in range(STREAMS)]
        way = WAYS[way_of(model, text, token)]
        with evaluating(model):
            for tail in tails(model, text, token, way=way, variants=EDITS):
                rows = torch.from_numpy(tail.rows)
                for stream in range(STREAMS):
                    given = states[stream][rows]
                    found = tail.run(stream, lambda k, _, s=stream, g=given: g if k == s else None)
                    logits[stream, position, rows] = found[:, :, 0]
    return logits


PEERS: dict[str, Callable[[Any, Work], torch.Tensor]] = {
    "nucleate": nucleate,
    "naive": naive,
    "nnsight": nnsight,
}
LABELS = {
    "nucleate": "nucleate, as `causal_map` runs it",
    "naive": "a hook and a whole forward pass an edit",
    "nnsight": "nnsight, a trace an edit",
}
