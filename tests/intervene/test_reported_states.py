"""Hidden states that a model reports inside an edit show it, whatever was asked for before."""

import pytest
import torch

from activations import architectures
from nucleate.activations import stream_names, tapped
from nucleate.intervene import Eraser, Onwards, erase, shift
from small import model

IDS = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 3]])
BY = 5 + torch.randn(32, generator=torch.Generator().manual_seed(0))
FAMILIES = ("llama", "gpt2", "gpt_neox", "bloom", "falcon", "opt", "mpt", "gptj", "mamba", "jamba",
            "gemma2", "mistral", "phi", "qwen3_moe", "openai-gpt", "ctrl", "xglm", "zamba2",
            "recurrent_gemma", "rwkv")  # fmt: skip


def reported(net, **settings) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return net(input_ids=IDS, output_hidden_states=True, **settings).hidden_states


def passing(net) -> dict[int, torch.Tensor]:
    """The states as they go on from each stream."""
    seen: dict[int, torch.Tensor] = {}
    with torch.no_grad(), tapped(net, lambda index, hidden: seen.update({index: hidden})):
        net(input_ids=IDS)
    return seen


@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_an_edit_shows_in_the_reported_states_of_its_stream_and_nowhere_after_it(
    name, asked_before
):
    clean = reported(architectures.build(name))
    streams = passing(architectures.build(name))
    # Which entry is which stream: families differ, and none reports the last block's own output.
    entries = {k: next((i for i, each in enumerate(clean) if torch.equal(each, own)), None)
               for k, own in streams.items()}  # fmt: skip
    # Without a final norm two streams are one entry: that of the one that goes on to the head.
    last = {entry: k for k, entry in entries.items() if entry is not None}
    entries = {k: entry for entry, k in last.items()}
    assert len(entries) >= len(streams) - 2
    net = architectures.build(name)
    if asked_before:
        reported(net)
    for k, stream in enumerate(stream_names(net)):
        with shift(net, stream=stream, position="all", by=BY):
            found, edited = reported(net), passing(net)
        torch.testing.assert_close(edited[k], streams[k] + BY)
        for other, entry in entries.items():
            torch.testing.assert_close(found[entry], edited[other], atol=1e-5, rtol=1e-5)
    assert all(map(torch.equal, reported(net), clean))


def test_several_edits_at_one_stream_show_as_what_goes_on():
    net = model().eval()
    before = reported(net)
    eraser = Eraser.subspace(torch.eye(16)[:1], torch.zeros(16))
    by = torch.ones(16)
    for stream, entry in (("embed", 0), ("block.0", 1), ("final_norm", -1)):
        with (
            shift(net, stream=stream, position="all", by=by),
            erase(net, stream=stream, position=1, eraser=eraser),
        ):
            wanted = before[entry] + 1
            wanted[:, 1, 0] = 0
            torch.testing.assert_close(reported(net)[entry], wanted)
            head = net.get_output_embeddings()
            if stream == "final_norm":
                torch.testing.assert_close(net(IDS).logits, head(wanted))
    assert all(map(torch.equal, reported(net), before))


@pytest.mark.parametrize("how", ["config", "body", "tuple", "some layers", "generate"])
def test_however_hidden_states_are_asked_for_they_show_the_edit(how):
    net = model().eval()
    clean = reported(net)
    by = torch.ones(16)
    for entry, stream in ((0, "embed"), (1, "block.0"), (2, "final_norm")):
        with torch.no_grad(), shift(net, stream=stream, position="all", by=by):
            if how == "config":
                net.config.output_hidden_states = True
                found = net(IDS).hidden_states
                net.config.output_hidden_states = False
            elif how == "body":
                found = net.base_model(IDS, output_hidden_states=True).hidden_states
            elif how == "tuple":
                found = net(IDS, output_hidden_states=True, return_dict=False)[-1]
            elif how == "some layers":
                found = net(IDS, output_hidden_states=[entry]).hidden_states
            else:
                found = net.generate(
                    IDS, max_new_tokens=2, pad_token_id=0, output_hidden_states=True,
                    return_dict_in_generate=True,
                ).hidden_states[0]  # fmt: skip
        torch.testing.assert_close(found[entry], clean[entry] + 1)


def test_a_hook_of_the_users_that_was_there_before_sees_the_states_that_the_block_made():
    net = model().eval()
    clean = reported(net)
    seen = []
    handle = net.base_model.layers[0].register_forward_hook(lambda _, __, out: seen.append(out))
    with shift(net, stream=Onwards("block.0"), position="all", by=torch.ones(16)):
        reported(net)
    handle.remove()
    torch.testing.assert_close(seen[-1], clean[1])
