"""States that are not finite are named as such, and read where that is asked for."""

import pytest
import torch

from activations.prompt_sets import random_probe
from nucleate import BadInput, PromptSet, Recorder, Run, Schedule, capture, verify
from nucleate.activations import anatomy_of, check_readable, read
from small import material, model


def broken(place: str, value: float = torch.nan, *, arch: str = "llama", depth: int = 3):
    net = model(arch, depth=depth).eval()
    with torch.no_grad():
        net.get_submodule(place).weight.view(-1)[0] = value
    return net


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("model.layers.1.mlp.down_proj", "from block.1 on"),
        ("model.layers.0.self_attn.q_proj", "from block.0 on"),
        ("model.layers.2.input_layernorm", "from block.2 on"),
        ("model.norm", "at final_norm"),
    ],
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_the_first_stream_that_is_not_finite_is_named(place, where, value):
    net, prompts = broken(place, value), material()[2]
    with pytest.raises(BadInput, match=f"^states of LlamaForCausalLM are not finite {where};"):
        capture(net, prompts)
    states = capture(net, prompts, finite=False)
    assert states.not_finite == where
    sound = capture(model(depth=3).eval(), prompts).values
    count = 1 + int(where.split(".")[1][0]) if "block" in where else 4
    torch.testing.assert_close(states.values[:count], sound[:count], atol=1e-6, rtol=1e-5)
    assert where in repr(states)
    assert verify(net, prompts, rows=2).worst < 1e-5
    check_readable(net, prompts)


def test_only_the_rows_that_hold_the_broken_token_are_not_finite():
    """Read beside others under a mask, they would reach into all rows of their sequence."""
    prompts = random_probe("crossed")
    net = model().eval()
    net.resize_token_embeddings(97, mean_resizing=False)
    sound = capture(net, prompts).values
    end = int(prompts.lengths[7])
    with torch.no_grad():
        net.model.embed_tokens.weight[int(prompts.ids[7, end - 1])] = torch.nan
    token = int(prompts.ids[7, end - 1])
    touched = [
        row for row in range(len(prompts))
        if token in prompts.ids[row, : max(prompts.prompt_lengths[row], prompts.lengths[row] - 1)]
    ]  # fmt: skip
    assert 0 < len(touched) < len(prompts)
    with pytest.raises(BadInput, match=f"in {len(touched)} of {len(prompts)} rows, first in row"):
        capture(net, prompts)
    values = capture(net, prompts, finite=False).values
    others = [row for row in range(len(prompts)) if row not in touched]
    torch.testing.assert_close(values[:, :, others], sound[:, :, others], atol=1e-5, rtol=1e-4)
    assert not values[:, :, touched].isfinite().all()


def test_an_overflow_in_float16_is_named_with_its_rows():
    net = model().half().eval()
    with torch.no_grad():
        net.model.embed_tokens.weight[5] = 6e4
        net.model.layers[0].mlp.down_proj.weight.mul_(300)
    prompts = PromptSet.from_records([{"ids": [3, 4]}, {"ids": [5, 5]}], None, positions="last")
    net.model.layers[0].register_forward_hook(lambda _, __, out: out * 3)
    states = capture(net, prompts, finite=False)
    assert states.not_finite is not None
    assert states.not_finite.endswith("in 1 of 2 rows, first in row 1")


def test_a_model_that_is_no_decoder_is_still_none_where_its_states_are_not_finite():
    from transformers import BertConfig, BertLMHeadModel

    config = BertConfig(
        vocab_size=97, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    net = BertLMHeadModel(config).eval()
    with torch.no_grad():
        net.bert.encoder.layer[2].output.dense.weight[0, 0] = torch.nan
        for parameter in net.bert.encoder.layer[:2].parameters():
            parameter.mul_(8)
    with pytest.raises(BadInput, match="is no decoder"):
        capture(net, random_probe("mixed"))


def test_causality_is_tried_again_once_the_weights_are_sound():
    net = broken("model.layers.0.mlp.down_proj")
    capture(net, material()[2], finite=False)
    assert not anatomy_of(net).causal
    net.load_state_dict(model(depth=3).state_dict())
    assert torch.equal(
        capture(net, material()[2]).values, capture(model(depth=3).eval(), material()[2]).values
    )
    assert anatomy_of(net).causal


def test_a_training_that_diverges_is_recorded_to_its_end_and_marked(tmp_path, caplog):
    net, prompts = model(), material()[2]
    for steps in (range(4), range(3, 6)):  # the second session begins at a step that is not finite
        schedule = Schedule.every(1).within(None)
        with Recorder(tmp_path / "run", prompts, schedule) as recorder:
            for step in steps:
                if step == 2:
                    with torch.no_grad():
                        net.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
                recorder.step(net, step)
        assert recorder.error is None
    run = Run(tmp_path / "run")
    assert run.steps == [0, 1, 2, 3, 4, 5]
    marks = {one["step"]: one.get("not_finite_at") for one in run.journal.live("snapshot")}
    assert marks == {0: None, 1: None} | dict.fromkeys(range(2, 6), "from block.1 on")
    assert "states at step 2 are not finite from block.1 on" in caplog.text
    assert run.states(3).not_finite == "from block.1 on"
    assert run.states(1).not_finite is None
    kept = read(net, prompts).states.values
    assert torch.equal(run.states(3).values.isfinite(), kept.isfinite())
