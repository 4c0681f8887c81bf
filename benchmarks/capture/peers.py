"""The ways to read states that are compared, each written as its own documentation would.

A peer is prepared once with a model; the call that comes back reads rows. All gather what they
keep into one tensor made beforehand, so that none pays for lists and `torch.cat`.
"""

import inspect
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from materials import Batch, Rows, Shape, as_probe, build, streams

BATCH = 64  # rows a batch for every peer but nucleate, which makes its own

# What a call gives: names of streams, and states [stream, position, row, width].
States = tuple[tuple[str, ...], torch.Tensor]
Read = Callable[[Rows], States | None]


@dataclass(frozen=True)
class Peer:
    """One way to read states.

    Attributes:
        needs: the module that must be importable, and the name of its distribution.
        prepare: makes the call that is timed; wrapping the model is not timed.
    """

    label: str
    needs: tuple[str, str]
    prepare: Callable[[Any, Shape], Read]

    def absent(self) -> str | None:
        """Why the peer cannot run here; None where it can."""
        module, distribution = self.needs
        return None if find_spec(module) else f"{distribution} is not installed"

    def version(self) -> str:
        module, distribution = self.needs
        if module == "nucleate":
            from nucleate import __version__

            return f"nucleate {__version__}"
        return f"{distribution} {version(distribution)}"


class _Kept:
    """States of the wanted tokens, filled batch by batch."""

    def __init__(self, names: tuple[str, ...], rows: Rows, width: int) -> None:
        self.names = names
        self.values = torch.empty(len(names), len(rows.positions), len(rows), width)

    def put(self, batch: Batch, hidden: Sequence[torch.Tensor]) -> None:
        for stream, states in enumerate(hidden):
            self.values[stream, :, batch.at] = states[batch.row, batch.index].transpose(0, 1)

    def states(self) -> States:
        return self.names, self.values


def _blocks(body: Any) -> Any:
    return body.h if hasattr(body, "h") else body.layers


def plain_body(model: Any, _: Shape) -> Read:
    """The floor: what the blocks alone cost in padded batches."""

    def read(rows: Rows) -> None:
        for batch in rows.batches(BATCH):
            model.base_model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)

    return read


def output_hidden_states(model: Any, shape: Shape) -> Read:
    """What most people write. The last entry is behind the final norm: the last block is lost."""
    names = streams(shape)
    names = (*names[:-2], names[-1])

    def read(rows: Rows) -> States:
        kept = _Kept(names, rows, shape.width)
        for batch in rows.batches(BATCH):
            output = model(
                input_ids=batch.ids, attention_mask=batch.mask, output_hidden_states=True
            )
            kept.put(batch, output.hidden_states)
        return kept.states()

    return read


def by_hand(model: Any, shape: Shape) -> Read:
    """What a careful person writes: no head, no cache, rows sorted by length."""
    body = model.base_model

    def forward(**inputs: Any) -> Any:
        return body(**inputs, use_cache=False)

    inner = output_hidden_states(forward, shape)

    def read(rows: Rows) -> States:
        order = np.argsort(rows.lengths, kind="stable")
        found = inner(rows.take(order))
        assert found is not None
        return found[0], found[1][:, :, torch.from_numpy(np.argsort(order))]

    return read


def transformer_lens(*, head: bool) -> Callable[[Any, Shape], Read]:
    """`run_with_cache` of the bridge around the model, filtered to the blocks' ins and outs.

    Args:
        head: as the library does by itself; else `logits_to_keep=1` is handed through to the
            model, which leaves the vocabulary head next to nothing.
    """

    def prepare(model: Any, shape: Shape) -> Read:
        from transformer_lens.model_bridge import TransformerBridge

        with tempfile.TemporaryDirectory() as folder:
            bridge = TransformerBridge.boot_transformers(
                "local", hf_model=model, tokenizer=_nearly_no_tokenizer(folder)
            )
        outputs = [f"blocks.{k}.hook_out" for k in range(shape.depth)]
        hooks = ["blocks.0.hook_in", *outputs, "ln_final.hook_out"]
        more = {"use_cache": False} | ({} if head else {"logits_to_keep": 1})

        def read(rows: Rows) -> States:
            kept = _Kept(streams(shape), rows, shape.width)
            for batch in rows.batches(BATCH):
                _, cache = bridge.run_with_cache(
                    batch.ids, attention_mask=batch.mask, names_filter=hooks, **more
                )
                kept.put(batch, [cache[name] for name in hooks])
            return kept.states()

        return read

    return prepare


def _nearly_no_tokenizer(folder: str) -> Any:
    """The bridge wants a tokenizer that it can load again; ids are read, it has nothing to do."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="?", eos_token="?", pad_token="?", unk_token="?"
    )
    tokenizer.save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def nnsight(*, head: bool) -> Callable[[Any, Shape], Read]:
    """A trace that saves the wanted tokens only: of the whole model, or of its body."""

    def prepare(model: Any, shape: Shape) -> Read:
        from nnsight import NNsight

        traced = NNsight(model if head else model.base_model)
        body = getattr(traced, model.base_model_prefix) if head else traced
        layers = list(_blocks(body))

        def read(rows: Rows) -> States:
            kept = _Kept(streams(shape), rows, shape.width)
            for batch in rows.batches(BATCH):
                row, index = batch.row, batch.index
                with traced.trace(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False):
                    found = [layers[0].input[row, index]]
                    for layer in layers:
                        found.append(layer.output[row, index])
                    found.append(body.output.last_hidden_state[row, index])
                    states = torch.stack(found).save()
                kept.values[:, :, batch.at] = states.transpose(1, 2)
            return kept.states()

        return read

    return prepare


def nucleate_capture(model: Any, _: Shape) -> Read:
    from nucleate.activations import capture

    def read(rows: Rows) -> States:
        states = capture(model, as_probe(rows))
        return states.streams, states.values

    return read


def nucleate_read(**settings: bool) -> Callable[[Any, Shape], Read]:
    """`read`, which also scores each row's answer unless it is told not to."""

    def prepare(model: Any, _: Shape) -> Read:
        from nucleate.activations import read as read_probe

        known = inspect.signature(read_probe).parameters
        if missing := set(settings) - set(known):
            raise TypeError(f"this nucleate's read has no setting {', '.join(missing)}")

        def read(rows: Rows) -> States:
            states = read_probe(model, as_probe(rows), **settings).states
            return states.streams, states.values

        return read

    return prepare


def single_rows(shape: Shape, rows: Rows) -> torch.Tensor:
    """The truth: every row alone, unpadded, by plain hooks. [stream, position, row, width]."""
    body = build(shape).base_model
    seen: list[torch.Tensor] = []
    layers = _blocks(body)

    def after(_: Any, __: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    def before(_: Any, args: Any, kwargs: Any) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    layers[0].register_forward_pre_hook(before, with_kwargs=True)
    for layer in layers:
        layer.register_forward_hook(after)
    kept = _Kept(streams(shape), rows, shape.width)
    for batch in rows.batches(1):
        seen.clear()
        last = body(input_ids=batch.ids, use_cache=False).last_hidden_state
        kept.put(batch, [*seen, last])
    return kept.values


_HF, _TL = ("transformers", "transformers"), ("transformer_lens", "transformer-lens")
_NN, _US = ("nnsight", "nnsight"), ("nucleate", "nucleate")
FLOOR, USUAL, OURS = "body", "hidden_states", "capture"
PEERS = {
    FLOOR: Peer("plain forward of the body, nothing kept", _HF, plain_body),
    USUAL: Peer("`output_hidden_states=True` + index", _HF, output_hidden_states),
    "by_hand": Peer("the same of the body alone, rows sorted by length", _HF, by_hand),
    "lens": Peer("TransformerLens `run_with_cache`", _TL, transformer_lens(head=True)),
    "lens_headless": Peer(
        "TransformerLens with `logits_to_keep=1`", _TL, transformer_lens(head=False)
    ),
    "nnsight": Peer("nnsight trace", _NN, nnsight(head=True)),
    "nnsight_body": Peer("nnsight trace of the body alone", _NN, nnsight(head=False)),
    OURS: Peer("nucleate `capture`", _US, nucleate_capture),
    "read": Peer("nucleate `read`, scores too", _US, nucleate_read()),
    "unshared": Peer(
        "nucleate, prefixes not shared", _US, nucleate_read(scores=False, share_prefixes=False)
    ),
}
