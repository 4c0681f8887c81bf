"""Accelerate needs no adapter: the plain loop's calls work with what `prepare` returns."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from nucleate import (
    Recorder,
    Run,
    Schedule,
    capture,
)
from sequences import rows
from small import material, model


@pytest.fixture(autouse=True)
def fresh_state():
    """Accelerate keeps its settings for the process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def train(folder, *, precision: str) -> tuple[list[float], torch.nn.Module]:
    accelerator = Accelerator(cpu=True, mixed_precision=precision, gradient_accumulation_steps=2)
    net = model("gpt2", dropout=0.1).train()
    net, optimizer, loader = accelerator.prepare(
        net,
        torch.optim.AdamW(net.parameters(), lr=1e-3),
        torch.utils.data.DataLoader(rows(), batch_size=4),
    )
    torch.manual_seed(3)
    losses, step = [], 0
    recorder = folder and Recorder(folder, material()[2], Schedule.every(2).within(None).bound(8))
    if recorder:
        recorder.step(net, step)
    for batch in loader:
        with accelerator.accumulate(net):
            loss = net(**batch).loss
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        if accelerator.sync_gradients:
            step += 1
            if recorder:
                recorder.step(net, step, loss=loss)
    if recorder:
        recorder.close(end=step)
    return losses, net


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_prepared_model_is_read_in_its_own_precision_and_trains_the_same(tmp_path, precision):
    bare, _ = train(None, precision=precision)
    watched, net = train(tmp_path / "run", precision=precision)
    assert watched == bare
    run = Run(tmp_path / "run")
    assert run.steps == [0, 2, 4, 6, 8]
    assert torch.equal(run.states(8).values, capture(net, run.prompts).values.half())
    computed = torch.float32 if precision == "no" else torch.bfloat16
    assert run.states(8).compute_dtype == computed
