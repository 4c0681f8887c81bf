import pytest
import torch

import nucleate as nc
from nucleate.recording import blocks_of
from small import ARCHITECTURES, model

IDS = torch.tensor([[5, 6, 7, 8], [6, 5, 9, 10]])


def hidden(net) -> tuple[torch.Tensor, ...]:
    """What goes into each block, as the block sees it, and what comes out of the body."""
    seen: list[torch.Tensor] = []

    def see(_, args, kwargs) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    handles = [b.register_forward_pre_hook(see, with_kwargs=True) for b in blocks_of(net)]
    with torch.no_grad():
        last = net.base_model(IDS).last_hidden_state
    for handle in handles:
        handle.remove()
    return (*seen, last)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(("stream", "index"), [("embed", 0), ("block.0", 1)])
def test_a_shift_moves_one_token_of_one_stream_and_nothing_before_it(arch, stream, index):
    net = model(arch).eval()
    by = torch.randn(16, generator=torch.Generator().manual_seed(0))
    before = hidden(net)
    token = torch.tensor([1, 2])
    with nc.shift(net, stream=stream, token=token, by=by):
        during = hidden(net)
    for row, at in enumerate(token.tolist()):
        torch.testing.assert_close(during[index][row, at], before[index][row, at] + by)
        assert torch.equal(during[-1][row, :at], before[-1][row, :at])
        assert not torch.allclose(during[-1][row, at:], before[-1][row, at:])
    assert all(map(torch.equal, hidden(net), before))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_shift_at_the_final_norm_moves_the_logits_by_the_head(arch):
    net = model(arch).eval()
    by = torch.ones(16)
    with torch.no_grad():
        before = net(IDS).logits
        with nc.shift(net, stream="final_norm", token=-1, by=by):
            after = net(IDS).logits
        head = net.get_output_embeddings()
        torch.testing.assert_close(after[:, -1] - before[:, -1], head(by).expand(2, -1),
                                   atol=1e-5, rtol=1e-4)  # fmt: skip


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_edits_that_change_nothing_are_exact(arch):
    net = model(arch).eval()
    before = hidden(net)
    with nc.shift(net, stream="block.1", token=-1, by=torch.zeros(16)):
        assert all(map(torch.equal, hidden(net), before))


def test_erased_directions_hold_what_the_mean_has_there_and_the_rest_stays():
    net = model().eval()
    basis = torch.linalg.qr(torch.randn(16, 3, generator=torch.Generator().manual_seed(1))).Q.T
    mean = torch.arange(16.0)
    before = hidden(net)[1][:, 2]
    with nc.erase(net, stream="block.0", token=2, basis=basis, mean=mean):
        after = hidden(net)[1][:, 2]
    torch.testing.assert_close(after @ basis.T, (mean @ basis.T).expand(2, -1))
    outside = torch.eye(16) - basis.T @ basis
    torch.testing.assert_close(after @ outside, before @ outside)


def test_hooks_go_when_the_model_breaks_inside():
    net = model()
    with (
        pytest.raises(RuntimeError, match="boom"),
        nc.shift(net, stream="embed", token=0, by=torch.zeros(16)),
    ):
        raise RuntimeError("boom")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_wrong_streams_and_widths_are_refused_in_a_sentence():
    net = model()
    with (
        pytest.raises(nc.BadInput, match=r"no stream named 'block\.7'"),
        nc.shift(net, stream="block.7", token=0, by=torch.zeros(16)),
    ):
        pass
    with (
        pytest.raises(nc.BadInput, match="the shift is 5 wide"),
        nc.shift(net, stream="embed", token=0, by=torch.zeros(5)),
    ):
        net(IDS)
