import numpy as np
import pytest
import torch

from activations.architectures import build
from nucleate.activations import evaluating, stream_names, tapped
from nucleate.intervene._engine import (
    WAYS,
    Text,
    tails,
    way_of,
)

TAIL = ("gpt2", "llama", "gpt_neox", "nemotron", "mistral", "mixtral", "gemma2", "falcon", "bloom",
        "opt", "qwen3_moe")  # fmt: skip


def text(seed: int = 0, rows: int = 5) -> tuple[Text, np.ndarray]:
    """Rows of 3 to 14 tokens, edited anywhere, read at two tokens from there on."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, 15, rows)
    ids = np.where(np.arange(14) < lengths[:, None], random.integers(1, 97, (rows, 14)), 0)
    token = random.integers(0, lengths)
    token[0] = 0
    between = random.integers(token, lengths)
    return Text(ids, lengths, np.stack([between, lengths - 1], 1)), token


def hooked(net, ids, token, stream, replaced, reads) -> torch.Tensor:
    """The oracle: one whole row in one plain pass, its state replaced by a hook."""

    def see(index, hidden):
        if index != stream:
            return None
        changed = hidden.clone()
        changed[0, token] = replaced(hidden[0, token])
        return changed

    with torch.no_grad(), tapped(net, see):
        return net(input_ids=torch.tensor(ids[None]), use_cache=False).logits[0, reads]


def edits(index, states):
    """Three variants: nothing, the state turned round, the state doubled."""
    return torch.stack([states[:, 0], states[:, 1].flip(-1), states[:, 2] * 2], 1)


ALONE = (lambda s: s, lambda s: s.flip(-1), lambda s: s * 2)


def check(net, way: str) -> None:
    rows, token = text()
    with evaluating(net):
        for tail in tails(net, rows, token, way=WAYS[way], variants=3):
            for stream in range(len(stream_names(net))):
                found = tail.run(stream, lambda k, s, at=stream: edits(k, s) if k == at else None)
                for place, row in enumerate(tail.rows):
                    ids = rows.ids[row, : rows.lengths[row]]
                    for variant, alone in enumerate(ALONE):
                        wanted = hooked(net, ids, token[row], stream, alone, rows.reads[row])
                        torch.testing.assert_close(
                            found[place, variant], wanted, atol=2e-5, rtol=1e-4
                        )
                    clean = hooked(net, ids, token[row], stream, ALONE[0], rows.reads[row])
                    torch.testing.assert_close(tail.clean[place], clean, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("arch", TAIL)
def test_tails_give_what_a_plain_hooked_pass_gives(arch):
    net = build(arch)
    assert way_of(net, *text()) == "tail"
    check(net, "tail")


@pytest.mark.parametrize("arch", ["gpt2", "mistral", "mamba", "jamba", "falcon"])
def test_whole_rows_with_blocks_left_out_give_what_a_plain_hooked_pass_gives(arch):
    check(build(arch), "rows")


@pytest.mark.parametrize("arch", ["mamba", "jamba", "rwkv", "recurrent_gemma"])
def test_models_without_keys_and_values_are_run_another_way(arch):
    net = build(arch)
    way = way_of(net, *text())
    assert way != "tail"
    check(net, way)


def test_edits_above_the_first_are_made_at_every_stream():
    net = build("llama")
    rows, token = text()
    seen = []

    def change(index, states):
        seen.append(index)
        return states + index

    with evaluating(net):
        found, wanted = (
            [tail.run(1, change) for tail in tails(net, rows, token, way=WAYS[way], variants=1)]
            for way in ("rows", "plain")
        )
    assert set(seen) == {1, 2, 3, 4}
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)


def test_the_model_is_left_as_it_was_even_when_an_edit_breaks():
    net = build("gpt2")
    net.transformer.h[0].forward = marked = net.transformer.h[0].forward
    rows, token = text()

    def breaks(index, states):
        raise RuntimeError("boom")

    with evaluating(net), pytest.raises(RuntimeError, match="boom"):
        next(tails(net, rows, token, way=WAYS["tail"], variants=2)).run(2, breaks)
    assert net.transformer.h[0].forward is marked
    assert "forward" not in net.transformer.h[1].__dict__
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_way_that_disagrees_is_not_taken(monkeypatch):
    net = build("gpt2")
    block = net.transformer.h[1]
    before = block.forward

    def wrong_with_a_cache(*args, **more):
        cached = any(hasattr(value, "layers") for value in (*args, *more.values()))
        hidden = before(*args, **more)
        return hidden + cached * hidden.flip(-1)  # a constant would be lost in the norm

    monkeypatch.setattr(block, "forward", wrong_with_a_cache)
    assert way_of(net, *text()) == "rows"
