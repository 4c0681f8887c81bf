"""Edits of models whose weights are elsewhere, and what edits ask of a device."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import nucleate as nc
from intervene.handmade import handmade, rows
from nucleate.intervene import Eraser, Onwards, edit, erase, knock_out, logits_under, patch, shift
from small import model

accelerate = pytest.importorskip("accelerate")

IDS = torch.tensor([[5, 6, 7, 8], [6, 5, 9, 10]])
BY = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def offloaded(net, how: str, folder):
    if how == "cpu":
        return accelerate.cpu_offload(net, execution_device="cpu")
    if how == "disk":
        return accelerate.disk_offload(net, str(folder), execution_device="cpu")
    parts = ("lm_head", "model.embed_tokens", "model.norm", "model.rotary_emb", "model.layers.1")
    places = dict.fromkeys(parts, "cpu") | {"model.layers.0": "disk"}
    return accelerate.dispatch_model(
        net, device_map=places, main_device="cpu", offload_dir=str(folder), force_hooks=True
    )


def edits(net) -> dict[str, nc.intervene.Intervention]:
    """One of each kind, with arrays in double precision."""
    place = {"stream": "block.0", "position": "last"}
    eraser = Eraser.subspace(torch.eye(16, dtype=torch.float64)[:3], BY)
    return {
        "shift": shift(net, **place, by=BY),
        "shift onwards": shift(net, stream=Onwards("embed"), position=Onwards(-1), by=BY),
        "patch": patch(net, **place, to=BY.expand(2, -1)),
        "patch rows": patch(net, **place, rows=[1, 0]),
        "erase": erase(net, stream=Onwards("block.0"), position="all", eraser=eraser),
        "steer": nc.steer(net, **place, by=BY, scale=2.0, data=BY.expand(3, -1)),
        "edit": edit(net, **place, change=lambda states: states.flip(-1)),
        "cut": knock_out(net, stream="block.1", query=-1, key=[0, 1]),
    }


@pytest.mark.parametrize("how", ["cpu", "disk", "map"])
def test_an_offloaded_model_is_edited_as_it_was_before(how, tmp_path):
    with torch.no_grad():
        net = model().eval()
        wanted = {}
        for name, one in edits(net).items():
            with one:
                text = net.generate(IDS, max_new_tokens=3, do_sample=False, pad_token_id=0)
                wanted[name] = net(IDS).logits, text
        net = offloaded(net, how, tmp_path)
        assert any(p.device.type == "meta" for p in net.parameters())
        for name, one in edits(net).items():
            with one:
                text = net.generate(IDS, max_new_tokens=3, do_sample=False, pad_token_id=0)
                torch.testing.assert_close(net(IDS).logits, wanted[name][0])
                assert torch.equal(text, wanted[name][1]), name


@pytest.mark.parametrize("how", ["cpu", "disk"])
def test_the_causal_map_of_an_offloaded_model_is_that_of_the_model(how, tmp_path):
    prompts = rows()
    wanted = nc.causal_map(handmade(), prompts, rows=24)
    logits = logits_under(handmade(), prompts, [[]])
    net = offloaded(handmade(), how, tmp_path)
    found = nc.causal_map(net, prompts, rows=24)
    for column in ("accuracy", "shift", "patch", "erase", "displaced", "decodable"):
        assert found.table[column].tolist() == pytest.approx(wanted.table[column].tolist())
    torch.testing.assert_close(logits_under(net, prompts, [[]]), logits)


def test_a_model_whose_weights_were_never_loaded_is_refused_in_a_sentence():
    with torch.device("meta"):
        net = model().eval()
    with pytest.raises(nc.BadInput, match="meta"):
        shift(net, stream="block.0", position="last", by=BY)


class NoDouble(TorchDispatchMode):
    """A device without float64, as MPS: anything computed in it is an error."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, tuple | list) else (out,):
            if isinstance(each, torch.Tensor) and each.dtype == torch.float64:
                raise TypeError(f"{func} gives float64")
        return out


@pytest.mark.parametrize(
    "kind", ["shift", "shift onwards", "patch", "patch rows", "erase", "steer"]
)
def test_no_edit_computes_in_double_precision_beside_a_model_in_single(kind):
    net = model().eval()
    one = edits(net)[kind]
    with torch.no_grad(), one:
        wanted = net(IDS).logits
        with NoDouble():
            # Moving what was given in double precision is all that is allowed to touch it.
            torch.testing.assert_close(net(IDS).logits, wanted)


class OnCpuOnly(TorchDispatchMode):
    """A device that refuses float64 at once, as MPS does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        wanted = kwargs.get("dtype"), *(a for a in args if isinstance(a, torch.dtype))
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        target = kwargs.get("device") or (source.device if source is not None else None)
        if torch.float64 in wanted and torch.device(target or "cpu").type == "meta":
            raise TypeError("this device has no float64")
        return func(*args, **kwargs)


def test_erasers_move_to_the_device_of_the_states_in_their_precision():
    states = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    eraser = Eraser.leace(states.double(), [0, 1] * 20)
    there = torch.empty(3, 8, device="meta")
    with OnCpuOnly():
        assert eraser(there).device.type == "meta"
        assert eraser(there).dtype == torch.float32
