"""Patching and shifting beside nnsight, where it is installed (the dependency group `bench`)."""

import pytest
import torch

from nucleate.intervene import patch, shift
from small import model

nnsight = pytest.importorskip("nnsight")

IDS = torch.tensor([[5, 6, 7, 8], [6, 5, 9, 10]])
TOKEN = torch.tensor([1, 2])
EACH = torch.arange(2)


def block(wrapped, arch, index):
    return wrapped.transformer.h[index] if arch == "gpt2" else wrapped.model.layers[index]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("arch", ["gpt2", "llama"])
def test_a_patch_gives_the_logits_that_nnsight_gives(arch, index):
    net = model(arch).eval()
    states = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    wrapped = nnsight.NNsight(net)
    with torch.no_grad(), wrapped.trace(IDS):
        block(wrapped, arch, index).output[EACH, TOKEN] = states
        wanted = wrapped.lm_head.output.save()
    with torch.no_grad(), patch(net, stream=f"block.{index}", position=TOKEN, to=states):
        found = net(IDS).logits
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("arch", ["gpt2", "llama"])
def test_a_shift_gives_the_logits_that_nnsight_gives(arch):
    net = model(arch).eval()
    by = torch.randn(16, generator=torch.Generator().manual_seed(1))
    wrapped = nnsight.NNsight(net)
    with torch.no_grad(), wrapped.trace(IDS):
        block(wrapped, arch, 0).output[:, -1] += by
        wanted = wrapped.lm_head.output.save()
    with torch.no_grad(), shift(net, stream="block.0", position="last", by=by):
        found = net(IDS).logits
    torch.testing.assert_close(found, wanted)
