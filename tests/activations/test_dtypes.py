"""Streams may differ in their dtype: no value is lost, and what was computed in is on record."""

import pytest
import torch
from torch import nn
from transformers import (
    FalconMambaConfig,
    FalconMambaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from activations.prompt_sets import random_probe
from nucleate import PromptSet, Recorder, Run, Schedule, capture, verify
from nucleate.activations import check_readable
from small import model

SHAPE = {"vocab_size": 97, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}


def mamba() -> nn.Module:
    torch.manual_seed(0)
    return MambaForCausalLM(MambaConfig(**SHAPE)).eval()


def falcon_mamba() -> nn.Module:
    torch.manual_seed(0)
    return FalconMambaForCausalLM(FalconMambaConfig(**SHAPE)).eval()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", [mamba, falcon_mamba])
def test_streams_of_unlike_dtypes_keep_their_values(make, dtype, tmp_path):
    net = make().to(dtype)
    check_readable(net)
    prompts = PromptSet.from_records([{"ids": [3, 4, 5]}], None, positions="last")
    states = capture(net, prompts)
    assert states.values.dtype == torch.float32
    assert states.compute_dtype == dtype
    own: list[torch.Tensor] = []
    hooks = [
        block.register_forward_hook(
            lambda _, __, out: own.append(out[0] if isinstance(out, tuple) else out)
        )
        for block in net.backbone.layers
    ]
    with torch.no_grad():
        own.append(net(torch.tensor([[3, 4, 5]]), output_hidden_states=True).hidden_states[-1])
    for hook in hooks:
        hook.remove()
    assert own[0].dtype == torch.float32 != net.get_input_embeddings().weight.dtype
    for got, wanted in zip(states.values[1:, 0, 0], own, strict=True):
        assert torch.equal(got, wanted[0, -1].float())
    with Recorder(tmp_path / "run", prompts, Schedule.every(1)) as recorder:
        recorder.step(net, 0)
    assert recorder.error is None
    stored = Run(tmp_path / "run").states(0)
    assert stored.compute_dtype == dtype
    torch.testing.assert_close(stored.values.float(), states.values, atol=1e-2, rtol=1e-2)
    assert verify(net, random_probe("mixed")).worst < 5e-2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_states_are_in_the_models_dtype_where_all_streams_are(dtype):
    states = capture(model().to(dtype), random_probe("mixed", vocabulary=40))
    assert states.values.dtype == states.compute_dtype == dtype


def test_under_autocast_what_was_computed_in_is_on_record():
    net = model("gpt2").eval()
    with torch.autocast("cpu", torch.bfloat16):
        states = capture(net, random_probe("mixed", vocabulary=40))
    assert states.compute_dtype == torch.bfloat16


def test_a_mean_over_a_span_of_a_float64_model_is_taken_in_float64():
    rows = [{"ids": [3, 4, 5]}, {"ids": [7, 8]}]
    prompts = PromptSet.from_records(rows, None, positions="mean")
    net = model().double().eval()
    with torch.no_grad():
        own = net(torch.tensor([[3, 4, 5]]), output_hidden_states=True).hidden_states[-1][0]
    got = capture(net, prompts).at("final_norm", "mean")[0]
    torch.testing.assert_close(got, own.mean(0), atol=1e-14, rtol=1e-12)
