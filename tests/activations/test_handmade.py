"""Models as people write them by hand: every stream has its known states and an honest name."""

import pytest
import torch

import nucleate as nc
import small
from activations import handmade
from activations.prompt_sets import random_probe
from nucleate import BadInput, capture, verify
from nucleate.activations import stream_names


@pytest.mark.parametrize("kind", handmade.KNOWN)
def test_every_stream_has_the_states_that_the_model_notes_of_the_row_alone(kind):
    model, prompts = kind(), random_probe("crossed", longest=12)
    states = capture(model, prompts)
    for row in range(0, len(prompts), 3):
        ids = torch.as_tensor(prompts.ids[row, : prompts.lengths[row]], dtype=torch.long)[None]
        with torch.no_grad():
            model(ids)
        order = [*model.noted]
        order.sort(key=lambda name: name.startswith("embed"), reverse=True)
        assert states.streams == tuple(order)
        for name, noted in model.noted.items():
            wanted = noted[0, prompts.positions["last"][row]]
            torch.testing.assert_close(states.at(name, "last")[row], wanted)


@pytest.mark.parametrize("kind", [kind for kind in handmade.KNOWN if kind != handmade.Plain])
def test_an_edit_of_any_stream_is_what_the_next_block_gets(kind):
    model = kind()
    ids = torch.arange(1, 7)[None]
    with torch.no_grad():
        clean = model(ids)
    clean = clean[0] if isinstance(clean, tuple) else clean.logits
    for stream in stream_names(model):
        by = torch.zeros(handmade.WIDTH)
        with torch.no_grad(), nc.shift(model, stream=stream, position="last", by=by):
            same = model(ids)
        same = same[0] if isinstance(same, tuple) else same.logits
        torch.testing.assert_close(same, clean)
        by[3] = 5.0
        with torch.no_grad(), nc.shift(model, stream=stream, position="last", by=by):
            other = model(ids)
        other = other[0] if isinstance(other, tuple) else other.logits
        assert torch.equal(other[0, :-1], clean[0, :-1])
        assert not torch.allclose(other[0, -1], clean[0, -1])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (handmade.Unnumbered, "runs no modules in a list, or numbered alike.*with blocks="),
        (handmade.Widening, r"are \[16, 32\] wide at different depths"),
        (handmade.TwoTensors, "hand several tensors of states to the next"),
        (handmade.Halting, "block of Halting ran 3 times .* and 2 times when"),
        (handmade.Merged, r"layers hand on \[35, 16\]"),
        (handmade.Backwards, "Backwards is no decoder"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_was_seen(kind, said):
    with pytest.raises(BadInput, match=said):
        capture(kind(), random_probe("mixed"))


def test_blocks_named_one_by_one_are_read():
    model, prompts = handmade.Unnumbered(), random_probe("mixed")
    states = capture(model, prompts, blocks=["lower", model.upper])
    assert states.streams == ("embed", "block.0", "block.1", "final_norm")
    ids = torch.as_tensor(prompts.ids[0, : prompts.lengths[0]], dtype=torch.long)[None]
    with torch.no_grad():
        model(ids)
    wanted = model.noted["block.1"][0, prompts.positions["last"][0]]
    torch.testing.assert_close(states.at("block.1", "last")[0], wanted)


def test_one_of_several_lists_may_be_named():
    model = handmade.PreludeCoreCoda()
    states = capture(model, random_probe("mixed"), blocks="coda")
    assert states.streams == ("embed", "block.0", "final_norm")
    both = capture(model, random_probe("mixed"), blocks=["prelude", "coda"]).streams
    assert both == ("embed", "prelude.block.0", "prelude.block.1", "coda.block.0", "final_norm")


def test_blocks_that_were_named_are_found_again_when_the_model_is_tried_anew():
    model = handmade.PreludeCoreCoda()
    named = capture(model, random_probe("mixed"), blocks="core").streams
    with torch.no_grad():
        model.wte.weight[3] = torch.nan
    again = capture(model, random_probe("mixed"), finite=False).streams
    assert again == named


def test_layers_that_mix_no_tokens_are_no_blocks():
    with pytest.raises(BadInput, match="let no token reach another"):
        capture(handmade.ListsInBlocks(), random_probe("mixed"), blocks="mlps")


def test_knock_out_says_why_it_cannot_cut_blocks_that_run_again():
    with pytest.raises(BadInput, match="more than once"):
        nc.knock_out(handmade.LoopedMiddle(), stream="block.0", query="last", key="first")


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gpt_neox"])
def test_a_model_whose_attention_begins_at_zero_is_read(arch):
    model, prompts = small.model(arch), small.material()[2]
    for name, weights in model.named_parameters():
        if name.endswith(("o_proj.weight", "attn.c_proj.weight", "attention.dense.weight")):
            torch.nn.init.zeros_(weights)
    assert capture(model, prompts).streams == ("embed", "block.0", "block.1", "final_norm")
    assert verify(model, prompts).worst < 1e-5
