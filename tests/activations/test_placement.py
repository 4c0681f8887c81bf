"""Models whose weights are offloaded, spread, elsewhere, or nowhere."""

import accelerate
import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

import nucleate as nc
from nucleate import BadInput, PromptSet, Recorder, Run, Schedule, capture, verify
from nucleate.activations import check_readable, read
from pretend import move, pretending
from small import material, model

SIZE = material()[1].vocab_size


def llama(*, tied: bool = False) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=SIZE, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


PLACES = {
    "model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu",
    "model.layers.0": "cpu", "model.layers.1": "disk", "lm_head": "cpu",
}  # fmt: skip


def cpu_offload(net, folder):
    return accelerate.cpu_offload(net, execution_device="cpu")


def disk_offload(net, folder):
    return accelerate.disk_offload(net, folder / "off", execution_device="cpu")


def disk_with_buffers(net, folder):
    return accelerate.disk_offload(
        net, folder / "off", execution_device="cpu", offload_buffers=True
    )


def dispatched(net, folder):
    return accelerate.dispatch_model(
        net, PLACES, main_device="cpu", offload_dir=folder / "off", force_hooks=True
    )


def loaded_with_a_device_map(net, folder):
    net.save_pretrained(folder / "saved")
    return AutoModelForCausalLM.from_pretrained(
        folder / "saved", device_map=PLACES, offload_folder=folder / "off"
    )


def loaded_and_dispatched(net, folder):
    net.save_pretrained(folder / "saved")
    with accelerate.init_empty_weights():
        empty = LlamaForCausalLM(net.config)
    empty.tie_weights()
    return accelerate.load_checkpoint_and_dispatch(
        empty, folder / "saved", device_map=PLACES, offload_folder=folder / "off"
    ).eval()


OFFLOADS = [
    cpu_offload, disk_offload, disk_with_buffers, dispatched, loaded_with_a_device_map,
    loaded_and_dispatched,
]  # fmt: skip


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("how", OFFLOADS)
def test_offloaded_models_have_the_states_and_scores_of_whole_ones(how, tied, tmp_path):
    prompts, whole = material()[2], read(llama(tied=tied), material()[2])
    net = how(llama(tied=tied), tmp_path)
    got = read(net, prompts)
    assert got.states.values.device.type == "cpu"
    assert torch.equal(got.states.values, whole.states.values)
    assert torch.equal(got.predicted, whole.predicted)
    torch.testing.assert_close(got.nll, whole.nll, equal_nan=True)
    assert verify(net, prompts, rows=4).worst < 1e-5
    with Recorder(tmp_path / "run", prompts, Schedule.every(1)) as recorder:
        recorder.step(net, 0)
    assert recorder.error is None
    assert torch.equal(Run(tmp_path / "run").states(0).values, whole.states.values.half())


def all_of_it(net):
    with accelerate.init_empty_weights():
        return LlamaForCausalLM(net.config)


def a_part(net):
    net.model.norm.to("meta")
    return net


def a_part_beside_offloaded_ones(net):
    net = accelerate.cpu_offload(net, execution_device="cpu")
    accelerate.hooks.remove_hook_from_module(net.model.norm)
    return a_part(net)


@pytest.mark.parametrize("how", [all_of_it, a_part, a_part_beside_offloaded_ones])
def test_weights_that_were_never_loaded_are_named(how):
    with pytest.raises(BadInput, match=r"weights of LlamaForCausalLM are not loaded: model\."):
        capture(how(llama()), material()[2])


def test_weights_spread_by_deepspeed_are_refused_before_all_wait_for_each_other():
    net = llama()
    for number, parameter in enumerate(net.parameters()):
        parameter.ds_id = number  # what ZeRO-3 leaves on every parameter
    wrapped = nn.Module()
    wrapped.module = net  # as DeepSpeed's engine holds a model
    for each in (net, wrapped):
        with pytest.raises(BadInput, match="ZeRO-3 has spread the weights of LlamaForCausalLM"):
            capture(each, material()[2])


class Wrapper(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, torch.optim.swa_utils.AveragedModel, Wrapper, torch.compile]
)
def test_wrappers_are_seen_through(wrap):
    wanted = capture(llama(), material()[2]).values
    assert torch.equal(capture(wrap(llama()), material()[2]).values, wanted)


# -- a device that is not there: what mixes devices fails as it would on one that is


def test_the_device_that_is_not_there_refuses_what_a_real_one_would():
    with pretending("cuda:0", refused=(torch.float64,)):
        there, here = torch.ones(3, device="cuda:0"), torch.ones(3)
        assert there.device.type == "cuda"
        assert (there + there).cpu().tolist() == [2, 2, 2]
        assert there[torch.tensor([0])].device.type == "cuda"  # indices may be on the CPU
        assert here.to("cuda:0").device.type == "cuda"
        for mixed in (
            lambda: there + here, lambda: here @ there, lambda: torch.where(here > 0, there, 0),
            lambda: there.double(),
        ):  # fmt: skip
            with pytest.raises((RuntimeError, TypeError)):
                mixed()


@pytest.mark.parametrize("refused", [(), (torch.float64,)])
@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_nothing_in_a_reading_mixes_devices_or_needs_float64(arch, refused, tmp_path):
    prompts, whole = material()[2], read(model(arch).eval(), material()[2])
    net = move(model(arch).eval(), "cuda:0")
    with pretending("cuda:0", refused=refused):
        got = read(net, prompts)
        assert got.states.values.device.type == got.nll.device.type == "cuda"
        assert verify(net, prompts, rows=3).worst < 1e-5
        assert capture(net, prompts).not_finite is None
        with Recorder(tmp_path / "run", prompts, Schedule.every(1).within(None)) as recorder:
            recorder.step(net, 0)
            recorder.step(net, 1)
        assert recorder.error is None
        values, nll = got.states.values.cpu(), got.nll.cpu()
    torch.testing.assert_close(values, whole.states.values)
    torch.testing.assert_close(nll, whole.nll, equal_nan=True)
    assert Run(tmp_path / "run").steps == [0, 1]


@pytest.mark.slow
def test_states_on_another_device_are_measured():
    net = move(model().eval(), "cuda:0")
    with pretending("cuda:0"):
        there = nc.measure(capture(net, material()[2]), material()[2])
    here = nc.measure(capture(model().eval(), material()[2]), material()[2])
    assert str(there) == str(here)


def test_a_mean_over_a_span_and_rows_beyond_the_usual_are_read_there_too():
    rows = [{"ids": [3, 1, 4]}, {"ids": [1, 5] * 5}]
    prompts = PromptSet.from_records(rows, None, positions=["mean", "last"])
    wanted = capture(model("gpt_neox").eval(), prompts).values
    net = move(model("gpt_neox").eval(), "cuda:0")
    with pretending("cuda:0", refused=(torch.float64,)):
        values = capture(net, prompts).values.cpu()
    torch.testing.assert_close(values, wanted)


def test_reading_leaves_the_generators_of_all_devices_alone(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a generator was seeded")

    net, prompts = llama(), material()[2]
    monkeypatch.setattr(torch, "manual_seed", refuse)
    monkeypatch.setattr(np.random, "seed", refuse)
    check_readable(net, prompts)
    assert verify(net, prompts).worst < 1e-5
