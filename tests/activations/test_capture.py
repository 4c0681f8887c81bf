from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from nucleate import BadInput, capture, verify
from nucleate.activations import anatomy_of, check_readable, predicting, read, stream_names
from nucleate.prompts import PromptSet
from small import ARCHITECTURES, material, model


def alone(net, prompts: PromptSet, row: int) -> torch.Tensor:
    """The oracle: transformers' own states of one unpadded row, [stream, position, width]."""
    ids = torch.as_tensor(prompts.ids[row, : prompts.lengths[row]], dtype=torch.long)[None]
    with torch.no_grad():
        hidden = net(ids, output_hidden_states=True).hidden_states
    # transformers puts the final norm in the place of the last block's own output.
    places = [int(index[row]) for index in prompts.positions.values()]
    return torch.stack([h[0, places] for h in hidden])


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("shared", [True, False])
def test_every_stream_equals_transformers_own_on_each_row_alone(arch, order, shared):
    net, prompts = model(arch).eval(), material(order)[2]
    values = read(net, prompts, share_prefixes=shared).states.values
    without_last_block = [*range(values.shape[0] - 2), values.shape[0] - 1]
    for row in range(0, len(prompts), 5):
        expected = alone(net, prompts, row)
        torch.testing.assert_close(
            values[without_last_block, :, row], expected, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_last_block_is_read_before_the_final_norm(arch):
    net, prompts = model(arch).eval(), material()[2]
    values = capture(net, prompts).values
    norm = getattr(net.base_model, {"llama": "norm", "gpt2": "ln_f"}.get(arch, "final_layer_norm"))
    with torch.no_grad():
        torch.testing.assert_close(norm(values[-2]), values[-1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_scores_equal_those_of_the_whole_model_on_each_row_alone(arch):
    net, prompts = model(arch).eval(), material()[2]
    reading = read(net, prompts)
    for row in range(0, len(prompts), 7):
        prompt, end = int(prompts.prompt_lengths[row]), int(prompts.lengths[row])
        ids = torch.as_tensor(prompts.ids[row, :end], dtype=torch.long)[None]
        with torch.no_grad():
            logits = net(ids).logits[0, prompt - 1 : end - 1]
        nll = torch.nn.functional.cross_entropy(logits, ids[0, prompt:])
        assert reading.nll[row].item() == pytest.approx(nll.item(), abs=1e-4)
        assert bool(reading.correct[row]) == bool((logits.argmax(-1) == ids[0, prompt:]).all())
        answer = end - prompt
        assert torch.equal(reading.predicted[row, :answer].long(), logits.argmax(-1))
        assert (reading.predicted[row, answer:] == -1).all()
    assert reading.predicted.dtype == torch.int16


def test_rows_without_an_answer_predict_nothing_and_correct_ones_predict_their_answer():
    _, _, prompts = material()
    net, lengths = model().eval(), prompts.lengths.copy()
    lengths[::3] = prompts.prompt_lengths[::3]
    reading = read(net, replace(prompts, lengths=lengths))
    assert (reading.predicted[::3] == -1).all()
    assert not (reading.predicted[1::3, 0] == -1).any()
    answers = lengths - prompts.prompt_lengths
    for row in np.flatnonzero(answers):
        answer = torch.as_tensor(prompts.ids[row, prompts.prompt_lengths[row] : lengths[row]])
        hit = torch.equal(reading.predicted[row, : answers[row]].int(), answer.int())
        assert hit == bool(reading.correct[row])


def test_a_large_vocabulary_is_predicted_in_ids_that_hold_it():
    from nucleate.training import ModelConfig, build_model

    wide = build_model(
        ModelConfig(arch="llama", depth=1, width=8, heads=1), vocab_size=40_000, max_length=32,
        seed=0,
    )  # fmt: skip
    with torch.no_grad():
        wide.lm_head.weight.zero_()
        wide.lm_head.weight[39_999] = wide.model.norm.weight
    reading = read(wide, material()[2])
    assert reading.predicted.dtype == torch.int32
    assert set(reading.predicted.unique().tolist()) <= {-1, 0, 39_999}


def test_a_reading_changes_nothing_in_the_model():
    net = model("gpt2", dropout=0.2).train()
    net.transformer.h[0].mlp.eval()
    flags = [m.training for m in net.modules()]
    weights = {name: p.clone() for name, p in net.named_parameters()}
    generator = torch.get_rng_state()
    capture(net, material()[2])
    assert [m.training for m in net.modules()] == flags
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(p, weights[name]) for name, p in net.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_hooks_go_and_flags_return_when_the_pass_breaks():
    net, prompts = model().train(), material()[2]
    net.lm_head.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        capture(net, prompts)
    assert net.training
    hooks = [m for m in net.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert hooks == [net.lm_head]


def test_streams_are_named_from_the_embedding_to_the_final_norm():
    assert stream_names(model(depth=3)) == ("embed", "block.0", "block.1", "block.2", "final_norm")


def test_batches_do_not_change_what_is_read(monkeypatch):
    net, prompts = model(), material()[2]
    whole = read(net, prompts)
    monkeypatch.setattr("nucleate.activations._ways.tokens_a_batch", lambda model: 20)
    for shared in (True, False):
        pieces = read(net, prompts, share_prefixes=shared)
        torch.testing.assert_close(pieces.states.values, whole.states.values, atol=1e-5, rtol=1e-4)
        assert torch.equal(pieces.correct, whole.correct)


def test_a_position_on_the_last_token_of_an_answer_is_read():
    net, prompts = model(), material()[2]
    prompts = replace(prompts, positions={**prompts.positions, "end": prompts.lengths - 1})
    for shared in (True, False):
        values = read(net, prompts, share_prefixes=shared).states.values
        for row in (0, int(prompts.lengths.argmin()), int(prompts.lengths.argmax())):
            torch.testing.assert_close(
                values[:-2, :, row], alone(net, prompts, row)[:-1], atol=1e-5, rtol=1e-4
            )


def words() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(["<unk>", *"abcdefgh"])}
    bare = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>")


TEXTS = ["a b c", "d", "a b h g"]


@pytest.mark.parametrize("given", [TEXTS, tuple(TEXTS), pd.Series(TEXTS), iter(TEXTS)])
def test_texts_give_the_states_of_their_last_tokens(given):
    net, tokenizer = model().eval(), words()
    states = capture(net, given, tokenizer)
    assert states.positions == ("last",)
    for row, text in enumerate(TEXTS):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            hidden = net(ids, output_hidden_states=True).hidden_states
        torch.testing.assert_close(states.values[0, 0, row], hidden[0][0, -1])
        torch.testing.assert_close(states.at("final_norm", "last")[row], hidden[-1][0, -1])


def test_texts_may_be_read_at_other_positions():
    states = capture(model(), TEXTS, words(), positions=["first", "mean"])
    assert states.positions == ("first", "mean")


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ("a b", {"tokenizer": words()}, "neither a prompt set nor a list of texts"),
        (["a", 7], {"tokenizer": words()}, r"prompts\[1\] is 7"),
        (["a", "b"], {}, "need the model's tokenizer"),
        ([], {"tokenizer": words()}, "has no rows"),
        (material()[2], {"tokenizer": words()}, "with texts only"),
        (material()[2], {"positions": "last"}, "with texts only"),
        (["a"], {"tokenizer": words(), "positions": "lst"}, "'lst' is not a position"),
    ],
)
def test_what_is_neither_a_prompt_set_nor_texts_is_refused(given, options, said):
    with pytest.raises(BadInput, match=said):
        capture(model(), given, **options)


class Unlisted(torch.nn.Module):
    """A model's layers under names that do not tell that they are blocks."""

    def __init__(self, layers) -> None:
        super().__init__()
        self.lower, self.upper = layers

    def __getitem__(self, part):
        return [self.lower, self.upper][part]


def hidden_blocks():
    """A model whose blocks the search does not find."""
    net = model().eval()
    net.model.layers = Unlisted(net.model.layers)
    return net


NAMES = ["model.layers.lower", "model.layers.upper"]


def test_blocks_that_are_named_are_found_and_remembered():
    net, prompts = hidden_blocks(), material()[2]
    with pytest.raises(BadInput, match="name the blocks with blocks="):
        capture(net, prompts)
    expected = capture(model(), prompts).values
    assert torch.equal(capture(net, prompts, blocks=NAMES).values, expected)
    assert torch.equal(capture(net, prompts).values, expected)
    other = hidden_blocks()
    blocks = [other.model.layers.lower, other.model.layers.upper]
    assert torch.equal(capture(other, prompts, blocks=blocks).values, expected)
    third = hidden_blocks()
    assert verify(third, prompts, blocks=NAMES).worst < 1e-5
    check_readable(third, prompts)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ("model.nothing", "is no module of"),
        ("model.norm", "let no token reach another"),
        (torch.nn.ModuleList([torch.nn.Linear(2, 2)]), "is no module of"),
        ([], "names nothing"),
        ("model.embed_tokens", "turn no states into states"),
    ],
)
def test_blocks_that_are_none_are_refused(blocks, said):
    with pytest.raises(BadInput, match=said):
        anatomy_of(hidden_blocks(), blocks=blocks)


def test_a_list_that_does_not_run_is_refused():
    net = model().eval()
    net.model.unused = torch.nn.ModuleList([torch.nn.Linear(16, 16)])
    with pytest.raises(BadInput, match="turn no states into states"):
        anatomy_of(net, blocks="model.unused")
    found = [place.module for place in anatomy_of(net).blocks]
    assert found == ["model.layers.0", "model.layers.1"]


def test_the_logits_that_predict_an_answer_stand_one_token_before_it():
    index, real = predicting(np.array([3, 1, 2]), np.array([2, 0, 3]))
    assert index.tolist() == [[2, 3, 2], [0, 0, 0], [1, 2, 3]]
    assert real.tolist() == [[True, True, False], [False] * 3, [True] * 3]
