import copy
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch

import nucleate as nc
from activations import architectures
from activations.prompt_sets import random_probe
from nucleate import BadInput
from nucleate.activations import blocks_of, stream_names, unwrapped
from nucleate.intervene import (
    Eraser,
    Onwards,
    edit,
    erase,
    knock_out,
    logits_under,
    patch,
    shift,
    steer,
)
from nucleate.intervene._places import _as_tokens
from small import ARCHITECTURES, model

IDS = torch.tensor([[5, 6, 7, 8], [6, 5, 9, 10]])
BY = torch.randn(16, generator=torch.Generator().manual_seed(0))
STREAMS = ("embed", "block.0", "block.1", "final_norm")


def hidden(net, ids=IDS) -> list[torch.Tensor]:
    """What goes into each block, as the block sees it, and what comes out of the body.

    The last block's output, which goes into the final norm, is not among them.
    """
    seen: list[torch.Tensor] = []

    def see(_, args, kwargs) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    handles = [b.register_forward_pre_hook(see, with_kwargs=True) for b in blocks_of(net)]
    with torch.no_grad():
        last = unwrapped(net).base_model(ids).last_hidden_state
    for handle in handles:
        handle.remove()
    return [*seen, last]


def logits(net, ids=IDS, **settings) -> torch.Tensor:
    with torch.no_grad():
        return net(input_ids=ids, **settings).logits


def untouched(net) -> bool:
    hooks = any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    return not hooks and "generate" not in unwrapped(net).__dict__


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(("stream", "index"), [("embed", 0), ("block.0", 1)])
def test_a_shift_moves_one_token_of_one_stream_and_nothing_before_it(arch, stream, index):
    net = model(arch).eval()
    before = hidden(net)
    token = torch.tensor([1, 2])
    with nc.shift(net, stream=stream, position=token, by=BY):
        during = hidden(net)
    for row, at in enumerate(token.tolist()):
        torch.testing.assert_close(during[index][row, at], before[index][row, at] + BY)
        assert torch.equal(during[-1][row, :at], before[-1][row, :at])
        assert not torch.allclose(during[-1][row, at:], before[-1][row, at:])
    assert all(map(torch.equal, hidden(net), before))
    assert untouched(net)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_shift_at_the_final_norm_moves_the_logits_by_the_head(arch):
    net = model(arch).eval()
    before = logits(net)
    with shift(net, stream="final_norm", position=-1, by=BY):
        after = logits(net)
    with torch.no_grad():
        moved = net.get_output_embeddings()(BY)
    torch.testing.assert_close(after[:, -1], before[:, -1] + moved, atol=1e-5, rtol=1e-4)
    assert torch.equal(after[:, :-1], before[:, :-1])


def nothings(net) -> dict[str, nc.intervene.Intervention]:
    """Interventions of every kind that change nothing, everywhere."""
    everywhere = {"stream": Onwards("embed"), "position": "all"}
    own = nc.capture(net, ids_probe(IDS)).at("block.0", "last")
    return {
        "shift": shift(net, **everywhere, by=torch.zeros(16)),
        "erase": erase(net, **everywhere, eraser=Eraser.subspace(torch.zeros(0, 16), BY)),
        "patch rows": patch(net, **everywhere, rows=torch.arange(2)),
        "patch": patch(net, stream="block.0", position="last", to=own),
        "steer": steer(net, **everywhere, by=BY, scale=0.0, data=own),
        "edit": edit(net, **everywhere, change=lambda states: states),
        "no token": shift(net, stream=Onwards("embed"), position=[], by=BY),
        "knock out": knock_out(net, stream=["block.0", "block.1"], query=3, key=3),
        "knock out the future": knock_out(net, stream=["block.0"], query=0, key=[1, 2, 3]),
    }


def ids_probe(ids: torch.Tensor) -> nc.PromptSet:
    return nc.PromptSet.from_records([{"ids": row} for row in ids.tolist()], None, positions="last")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_changes_nothing_changes_no_bit(arch):
    net = model(arch).eval()
    before, wholly = logits(net), hidden(net)
    for name, nothing in nothings(net).items():
        with nothing:
            assert torch.equal(logits(net), before), name
            assert all(map(torch.equal, hidden(net), wholly)), name
    assert untouched(net)


def test_every_way_to_name_tokens_chooses_those_and_no_others():
    net = model().eval()
    before = hidden(net)[1]

    def moved(position) -> list[list[int]]:
        with shift(net, stream="block.0", position=position, by=BY):
            different = (hidden(net)[1] != before).any(-1)
        return [row.nonzero().flatten().tolist() for row in different]

    assert moved("first") == moved(0) == moved(-4) == moved(np.int64(0)) == [[0], [0]]
    assert moved("last") == moved(-1) == moved(torch.tensor(3)) == [[3], [3]]
    assert moved("all") == moved(Onwards(0)) == moved(range(4)) == [[0, 1, 2, 3]] * 2
    assert moved([1, -1]) == [[1, 3], [1, 3]]
    assert moved(np.array([1, 2])) == moved(torch.tensor([[1], [-2]])) == [[1], [2]]
    assert moved(torch.tensor([[0, 1], [2, 3]])) == [[0, 1], [2, 3]]
    assert moved(Onwards(-2)) == [[2, 3], [2, 3]]
    assert moved(Onwards(torch.tensor([1, 3]))) == [[1, 2, 3], [3]]
    assert moved(Onwards(4)) == [[], []]  # only what will be generated


def test_vectors_may_differ_between_rows_and_between_tokens():
    net = model().eval()
    before = hidden(net)[1]
    by = torch.randn(2, 2, 16, generator=torch.Generator().manual_seed(1))
    with shift(net, stream="block.0", position=[3, 1], by=by[:, 0]):
        torch.testing.assert_close(hidden(net)[1] - before, spread(by[:, [0, 0]], [3, 1]))
    with shift(net, stream="block.0", position=[3, 1], by=by):
        torch.testing.assert_close(hidden(net)[1] - before, spread(by, [3, 1]))
    with shift(net, stream="block.0", position=Onwards(2), by=by):
        torch.testing.assert_close(hidden(net)[1] - before, spread(by, [2, 3]))


def spread(by: torch.Tensor, tokens: list[int]) -> torch.Tensor:
    out = torch.zeros(2, 4, 16)
    out[:, tokens] = by
    return out


def test_a_stream_and_all_later_ones_are_erased():
    net = model().eval()
    eraser = Eraser.subspace(torch.eye(16)[:3], BY)
    seen = []
    with (
        erase(net, stream=Onwards("block.0"), position=Onwards(1), eraser=eraser),
        edit(net, stream=Onwards("embed"), position="all", change=lambda s: seen.append(s) or s),
    ):
        logits(net)
    wanted = BY[:3].expand(2, 3, 3)
    for states in seen[1:]:
        torch.testing.assert_close(states.reshape(2, 4, 16)[:, 1:, :3], wanted)
        assert not torch.allclose(states.reshape(2, 4, 16)[:, :1, :3], wanted[:, :1])
    assert len(seen) == 4
    assert not torch.allclose(seen[0].reshape(2, 4, 16)[:, 1:, :3], wanted)


def test_erased_directions_hold_what_the_mean_has_there_and_the_rest_stays():
    net = model().eval()
    basis = torch.linalg.qr(torch.randn(16, 3, generator=torch.Generator().manual_seed(1))).Q.T
    mean = torch.arange(16.0)
    before = hidden(net)[1][:, 2]
    with erase(net, stream="block.0", position=2, eraser=Eraser.subspace(basis, mean)):
        after = hidden(net)[1][:, 2]
    torch.testing.assert_close(after @ basis.T, (mean @ basis.T).expand(2, -1))
    outside = torch.eye(16) - basis.T @ basis
    torch.testing.assert_close(after @ outside, before @ outside)


def test_each_row_has_its_own_eraser_where_there_is_one_a_row():
    net = model().eval()
    before = hidden(net)[1]
    erasers = Eraser.subspace(torch.eye(16)[[0, 1, 2, 3]].reshape(2, 2, 16), torch.zeros(2, 16))
    with erase(net, stream="block.0", position=[0, 2], eraser=erasers):
        after = hidden(net)[1]
    wanted = before.clone()
    wanted[0, [[0], [2]], [0, 1]] = 0
    wanted[1, [[0], [2]], [2, 3]] = 0
    torch.testing.assert_close(after, wanted)


def test_interventions_work_one_after_the_other_in_the_order_in_which_they_are_entered():
    net = model().eval()
    before = hidden(net)[1][:, 2]
    shifted = shift(net, stream="block.0", position=2, by=BY)
    erased = erase(
        net, stream="block.0", position=2, eraser=Eraser.subspace(BY[None], torch.zeros(16))
    )
    unit = BY / BY.norm()
    without = before - (before @ unit)[:, None] * unit
    with shifted, erased:
        torch.testing.assert_close(hidden(net)[1][:, 2], without)
    with erased, shifted:
        torch.testing.assert_close(hidden(net)[1][:, 2], without + BY)
        with shifted:  # a second time
            torch.testing.assert_close(hidden(net)[1][:, 2], without + 2 * BY)
        torch.testing.assert_close(hidden(net)[1][:, 2], without + BY)
    assert untouched(net)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_row_patched_throughout_with_another_says_what_the_other_says(arch):
    net = model(arch).eval()
    before = logits(net)
    for stream in STREAMS:
        with patch(net, stream=stream, position="all", rows=torch.tensor([1, 0])):
            torch.testing.assert_close(logits(net), before[[1, 0]])
    with patch(net, stream="final_norm", position=1, rows=torch.tensor([0, 0]), source=-1):
        after = logits(net)
    torch.testing.assert_close(after[:, 1], before[[0, 0], -1])
    torch.testing.assert_close(after[:, 2:], before[:, 2:])


@pytest.mark.parametrize("stream", STREAMS)
def test_states_that_were_captured_are_as_good_as_rows_of_the_batch(stream):
    net = model().eval()
    other = torch.tensor([1, 1])
    states = nc.capture(net, ids_probe(IDS)).at(stream, "last")
    with patch(net, stream=stream, position="last", rows=other):
        wanted = logits(net)
    with patch(net, stream=stream, position="last", to=states[other]):
        torch.testing.assert_close(logits(net), wanted)
    with patch(net, stream=stream, position="last", to=states[1]):
        torch.testing.assert_close(logits(net), wanted)


def test_steering_tells_how_far_it_leads_out_of_the_data():
    net = model().eval()
    states = nc.capture(net, ids_probe(IDS)).at("block.0", "last")
    for scale, beyond in ((0.0, 0.5), (1000.0, 1.0)):  # the larger of two is above their 99 %
        with steer(net, stream="block.0", position=-1, by=BY, scale=scale, data=states) as steered:
            after = hidden(net)[1][:, -1]
        assert steered.norms.beyond == beyond
        torch.testing.assert_close(torch.cat(steered.norms.steered), after.norm(dim=-1))
        low, high = steered.norms.range
        assert states.norm(dim=-1).min() < low < high < states.norm(dim=-1).max()
        torch.testing.assert_close(after, states + scale * BY)


def test_logits_can_be_differentiated_with_respect_to_a_shift():
    net = model("gpt2").eval().double()  # a Llama's norm computes in float32, whatever comes
    by = BY.double().requires_grad_()

    def loss(by: torch.Tensor) -> torch.Tensor:
        with shift(net, stream="block.0", position=1, by=by):
            return net(IDS).logits[:, -1].square().sum()

    assert torch.autograd.gradcheck(loss, (by,))


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's compiler, of itself
@pytest.mark.parametrize("how", ["wrapped", "in place", "block by block"])
def test_compiled_models_are_intervened_on_as_others(how):
    net, reference = model("gpt2").eval(), model("gpt2").eval()
    compiled = net
    if how == "wrapped":
        compiled = torch.compile(net, backend="eager")
    elif how == "in place":
        net.compile(backend="eager")
    else:
        for place, block in enumerate(net.transformer.h):
            net.transformer.h[place] = torch.compile(block, backend="eager")
    before = logits(compiled)
    for kind in ("shift", "cut"):
        with make(kind, reference):
            wanted = logits(reference)
        with make(kind, compiled):
            torch.testing.assert_close(logits(compiled), wanted)
        assert torch.equal(logits(compiled), before)
    assert not torch.allclose(before, wanted)


def make(kind: str, net) -> nc.intervene.Intervention:
    if kind == "shift":
        return shift(net, stream="block.0", position=1, by=BY)
    return knock_out(net, stream="block.1", query=-1, key=0)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # PEFT's own
@pytest.mark.parametrize("kind", ["shift", "cut"])
def test_a_model_with_lora_is_intervened_on_as_the_same_model_with_the_weights_added(kind):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = peft.get_peft_model(model(), config).eval()
    before = logits(adapted)
    with make(kind, adapted):
        during = logits(adapted)
    assert torch.equal(logits(adapted), before)
    merged = adapted.merge_and_unload().eval()
    with make(kind, merged):
        torch.testing.assert_close(during, logits(merged), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(during, before, atol=1e-3)


@pytest.mark.parametrize("kind", ["shift", "cut", "erase"])
def test_half_precision_stays_and_is_right_up_to_its_rounding(kind):
    net, half = model().eval(), model().eval().bfloat16()

    def made(net) -> nc.intervene.Intervention:
        if kind != "erase":
            return make(kind, net)
        eraser = Eraser.subspace(torch.eye(16)[:2], torch.ones(16))
        return erase(net, stream="block.0", position=-1, eraser=eraser)

    with made(net):
        wanted = logits(net)
    with made(half):
        got = logits(half)
    assert got.dtype == torch.bfloat16
    error = (got.float() - wanted).norm() / wanted.norm()
    assert error < 0.03
    assert (logits(half).float() - wanted).norm() / wanted.norm() > error


# One of each kind: absolute and rotary positions, ALiBi, a state space, both, a fixed window.
KINDS = ("gpt2", "llama", "bloom", "mamba", "jamba", "mistral", "recurrent_gemma", "rwkv", "ctrl")
IGNORE_LEFT = ("recurrent_gemma", "rwkv")  # these read padding on the left as text


def padded(lengths: list[int], side: str) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Rows of tokens, and what a model is given for them."""
    random = torch.Generator().manual_seed(0)
    rows = [torch.randint(1, 97, (n,), generator=random) for n in lengths]
    longest = max(lengths)
    ids, mask = torch.zeros(2, len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        at = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[number, at], mask[number, at] = row, 1
    return rows, {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("position", [-2, [1, -1], Onwards(-3), "all", torch.tensor([0, 4, -1])])
def test_padding_on_either_side_makes_no_difference(name, side, position):
    if side == "left" and name in IGNORE_LEFT:
        pytest.skip("the model itself reads padding on the left")
    net = architectures.build(name)
    rows, given = padded([9, 5, 7], side)
    mask = given["attention_mask"].bool()
    if name in ("gpt2", "llama", "mistral", "ctrl"):
        given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    by = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain = net(**given).logits
        with shift(net, stream="block.1", position=position, by=by):
            together = net(**given).logits
        for number, row in enumerate(rows):
            own = position[number : number + 1] if isinstance(position, torch.Tensor) else position
            with shift(net, stream="block.1", position=own, by=by[number]):
                alone = net(input_ids=row[None]).logits[0]
            got = together[number, mask[number]]
            torch.testing.assert_close(got, alone, atol=2e-5, rtol=1e-4)
            assert not torch.allclose(plain[number, mask[number]], alone, atol=1e-4)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("side", ["alone", "left"])
def test_generated_text_is_that_of_one_pass_over_it_under_the_same_edit(name, cached, side):
    """The oracle: one pass over prompt and text, with edits at absolute tokens."""
    if side == "left" and name in IGNORE_LEFT:
        pytest.skip("the model itself reads padding on the left")
    if name == "rwkv" and cached:
        pytest.skip("with its cache the model itself writes another text than without")
    net = architectures.build(name)
    net.generation_config.pad_token_id, net.generation_config.eos_token_id = 0, None
    rows, given = padded([7, 7] if side == "alone" else [7, 4], "left")
    by = 3 * torch.randn(2, 32, generator=torch.Generator().manual_seed(2))
    plain = net.generate(**given, max_new_tokens=5, do_sample=False, use_cache=cached)
    changed = 0
    for position, absolute in (
        (Onwards(-1), lambda n: Onwards(n - 1)),
        (-1, lambda n: n - 1),
        (torch.tensor([1, -2]), None),
    ):
        with shift(net, stream="block.1", position=position, by=by):
            text = net.generate(**given, max_new_tokens=5, do_sample=False, use_cache=cached)
        changed += not torch.equal(text, plain)
        for number, row in enumerate(rows):
            whole = torch.cat([row, text[number, -5:]])
            at = absolute(len(row)) if absolute else (1, len(row) - 2)[number]
            with shift(net, stream="block.1", position=at, by=by[number]), torch.no_grad():
                wanted = net(input_ids=whole[None]).logits[0, len(row) - 1 : -1].argmax(-1)
            assert torch.equal(text[number, -5:], wanted)
    assert changed or name in ("rwkv", "bloom", "ctrl")  # fresh ones hardly listen
    assert untouched(net)


def test_a_cache_filled_by_hand_is_followed_and_one_filled_outside_too():
    net = architectures.build("llama")
    rows, _ = padded([8], "right")
    ids = rows[0][None]
    by = torch.randn(32, generator=torch.Generator().manual_seed(3))
    for position in (6, Onwards(5), Onwards(-2), 1):
        with torch.no_grad():
            negative = isinstance(position, Onwards) and position.start < 0
            whole = Onwards(3) if negative else position  # counted from the prompt's end, at 5
            if position == 6:
                with (
                    pytest.raises(BadInput, match="position 6 is beyond row 0"),
                    shift(net, stream="block.0", position=position, by=by),
                ):
                    net(input_ids=ids[:, :5])
                continue
            with shift(net, stream="block.0", position=whole, by=by):
                wanted = net(input_ids=ids).logits
            with shift(net, stream="block.0", position=position, by=by):
                first = net(input_ids=ids[:, :5], use_cache=True)
                cache = getattr(first, "cache", None) or first.past_key_values
                keyword = "cache" if hasattr(first, "cache") else "past_key_values"
                then = net(input_ids=ids[:, 5:], **{keyword: cache}).logits
        torch.testing.assert_close(torch.cat([first.logits, then], 1), wanted)


def test_many_interventions_on_a_probe_are_each_what_they_are_on_each_row_alone():
    net = architectures.build("llama")
    prompts = random_probe("mixed")
    random = torch.Generator().manual_seed(0)
    by = torch.randn(len(prompts), 32, generator=random)
    end = prompts.positions["instruction_end"]
    states = nc.capture(net, prompts).at("block.1", "instruction_end")
    other = torch.randperm(len(prompts), generator=random)
    eraser = Eraser.subspace(by[:3], states.mean(0))

    def made(rows) -> list:
        return [
            [],
            shift(net, stream="block.1", position=end[rows], by=by[rows]),
            shift(net, stream="block.1", position="last", by=by[0]),
            [
                patch(net, stream="block.1", position=end[rows], to=states[other][rows]),
                erase(net, stream=Onwards("block.1"), position="all", eraser=eraser),
            ],
            knock_out(net, stream=["block.1", "block.2"], query="last", key=end[rows]),
        ]

    found = logits_under(net, prompts, made(slice(None)), batch=5)
    assert found.shape == (5, 16, architectures.VOCABULARY)
    torch.testing.assert_close(found, logits_under(net, prompts, made(slice(None)), batch=64))
    few = logits_under(net, prompts, made(slice(None)), vocabulary=[5, 3])
    torch.testing.assert_close(few, found[:, :, [5, 3]])
    for row in range(len(prompts)):
        ids = torch.from_numpy(prompts.ids[row, : prompts.prompt_lengths[row]])[None].long()
        for number, one in enumerate(made(slice(row, row + 1))):
            entered = one if isinstance(one, list) else [one]
            with torch.no_grad(), ExitStack() as stack:
                for intervention in entered:
                    stack.enter_context(intervention)
                alone = net(ids).logits[0, -1]
            torch.testing.assert_close(found[number, row], alone, atol=1e-5, rtol=1e-4)
    assert (found[1:] - found[:1]).abs().amax((1, 2)).min() > 1e-3


def test_rows_that_are_in_another_batch_are_refused_and_others_found():
    net = architectures.build("llama")
    prompts = random_probe("mixed")
    turned = torch.arange(len(prompts)).roll(1)
    one = [patch(net, stream="block.1", position="last", rows=turned)]
    with pytest.raises(BadInput, match=r"not in the batch of 4 rows; capture its states"):
        logits_under(net, prompts, one, batch=4)
    states = nc.capture(net, prompts).at("block.1", "last")
    given = [patch(net, stream="block.1", position="last", to=states[turned])]
    torch.testing.assert_close(logits_under(net, prompts, one), logits_under(net, prompts, given))


def test_hooks_go_when_the_model_breaks_inside_and_when_the_intervention_does():
    net = model().eval()
    before = logits(net)
    with pytest.raises(RuntimeError, match="boom"), shift(net, stream="embed", position=0, by=BY):
        raise RuntimeError("boom")
    assert untouched(net)
    broken = edit(net, stream="block.0", position="all", change=lambda states: 1 / 0)
    with pytest.raises(ZeroDivisionError), broken:
        logits(net)
    assert untouched(net)
    with pytest.raises(ZeroDivisionError), broken:
        net.generate(IDS, max_new_tokens=2, pad_token_id=0)
    assert untouched(net)
    assert torch.equal(logits(net), before)


REFUSED = {
    "stream": (r"no stream named 'block\.7'", {"stream": "block.7"}),
    "no stream": ("no stream is named", {"stream": []}),
    "onwards": (r"no stream named 'block\.9'", {"stream": Onwards("block.9")}),
    "width": ("the shift is of shape .5,., the states are 16 wide", {"by": torch.zeros(5)}),
    "rows": ("the shift is given for 3 rows, the model reads 2", {"by": torch.zeros(3, 16)}),
    "slots": ("has 1 vectors a row, 2 tokens are chosen",
              {"by": torch.zeros(2, 1, 16), "position": [0, 1]}),
    "beyond": ("position 4 is beyond row 0, which has 4 tokens", {"position": 4}),
    "before": ("position -5 is beyond row 0", {"position": [0, -5]}),
    "row's": ("position 9 is beyond row 1", {"position": torch.tensor([0, 9])}),
    "row count": ("the position is given for 3 rows", {"position": torch.tensor([0, 1, 2])}),
    "row of none": ("array of torch.int64 of shape .2, 1, 1.",
                    {"position": torch.zeros(2, 1, 1, dtype=torch.long)}),
    "booleans": ("array of torch.bool", {"position": torch.tensor([True, False])}),
    "nothing": (r"the shift is of shape \(0,\)", {"by": []}),
    "four dimensions": ("the shift is of shape .1, 1, 1, 16", {"by": torch.zeros(1, 1, 1, 16)}),
    "complex": ("the shift is a tensor of torch.complex64", {"by": BY + 1j}),
    "sparse": ("torch.sparse_coo", {"by": BY.to_sparse()}),
    "meta": ("on meta; give real numbers", {"by": BY.to("meta")}),
    "infinite": (r"inf stands in the shift at \[2\]", {"by": BY / (torch.arange(16) != 2)}),
    "name": ("is no position of a forward pass", {"position": "instruction_end"}),
    "fraction": ("array of torch.float32", {"position": torch.tensor([0.5, 1])}),
    "onwards of several": ("Onwards begins at 2 tokens",
                           {"position": Onwards(torch.zeros(2, 2, dtype=torch.long))}),
}  # fmt: skip


def test_what_is_no_position_at_all_is_refused_in_a_sentence():
    with pytest.raises(BadInput, match=r"1\.5 is no position"):
        _as_tokens(1.5)


WRONG_KINDS = """
import numpy as np, torch, nucleate as nc
from nucleate.intervene import Eraser, edit, erase, patch, shift, steer
from small import model

net, by, ids = model().eval(), torch.ones(16), torch.tensor([[5, 6, 7, 8], [6, 5, 9, 10]])
at = {"stream": "block.0", "position": 0}
calls = {
    "model": lambda: shift("gpt2", **at, by=by),
    "no model": lambda: shift(None, **at, by=by),
    "stream": lambda: shift(net, stream=3, position=0, by=by),
    "streams": lambda: shift(net, stream=[None], position=0, by=by),
    "position": lambda: shift(net, stream="block.0", position=None, by=by),
    "by": lambda: shift(net, **at, by=None),
    "number": lambda: shift(net, **at, by=3.0),
    "fractions": lambda: patch(net, **at, rows=[0.5, 1.0]),
    "text": lambda: patch(net, **at, rows="ab"),
    "one row": lambda: patch(net, **at, rows=1),
    "made none": lambda: edit(net, **at, change=lambda _: None),
    "made array": lambda: edit(net, **at, change=lambda _: np.zeros((2, 16))),
    "made narrow": lambda: edit(net, **at, change=lambda _: torch.zeros(2, 5)),
    "much": lambda: steer(net, **at, by=by, scale="much", data=by[None]),
    "list": lambda: steer(net, **at, by=by, scale=[1.0, 2.0], data=by[None]),
    "eraser": lambda: erase(net, **at, eraser=by),
}
for name, call in calls.items():
    try:
        with torch.no_grad(), call():
            net(ids)
    except nc.BadInput as error:
        print(f"{name}: {error}")
"""


def test_arguments_of_the_wrong_kind_are_refused_in_a_sentence():
    # In a process of its own: here all types are checked before.
    done = subprocess.run(
        [sys.executable, "-c", WRONG_KINDS], cwd=Path(__file__).parents[1], check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert not done.stderr.strip(), done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    for name, beginning in {
        "model": "model is a str and no torch module", "no model": "model is a NoneType and no",
        "stream": "no stream named '3'", "streams": "no stream named 'None'",
        "position": "None is no position", "by": "the shift is a NoneType that holds no array",
        "number": "the shift is of shape (1,), the states are 16 wide; pass vectors",
        "fractions": "rows= is [0.5, 1.0]; give one whole number per row",
        "text": "rows= is 'ab'; give one", "one row": "rows= is 1; give one",
        "made none": "change= returned a NoneType for states of shape [2, 16]",
        "made array": "change= returned a ndarray for states",
        "made narrow": "change= returned a Tensor of shape [2, 5] for states",
        "much": "scale= is 'much'; give a finite", "list": "scale= is [1.0, 2.0]; give a finite",
        "eraser": "eraser= is a Tensor; make an eraser with",
    }.items():  # fmt: skip
        assert said.pop(name).startswith(beginning), name
    assert not said


def test_numbers_that_fit_no_row_no_scale_and_no_subspace_are_refused_in_a_sentence():
    net, at = model().eval(), {"stream": "block.0", "position": 0}
    for rows, said in (
        ([1, -1], "row -1, whose states are wanted, is not in the batch of 2 rows"),
        ([0, 1, 1], "rows is given for 3 rows, the model reads 2"),
    ):
        with pytest.raises(BadInput, match=said), patch(net, **at, rows=rows):
            logits(net)
    for scale in (float("nan"), float("inf")):
        with pytest.raises(BadInput, match=r"scale= is (nan|inf); give a finite number"):
            steer(net, **at, by=BY, scale=scale, data=BY[None])
    with pytest.raises(BadInput, match=r"a basis of shape \[16\] and a mean of shape \[16\]"):
        Eraser.subspace(BY, BY)
    with edit(net, **at, change=lambda _: BY.double()):
        assert logits(net).dtype == torch.float32


def test_a_trial_of_the_model_within_an_edit_runs_without_it():
    net = model(seed=7).eval()
    with (
        shift(net, stream="block.0", position=3, by=BY),
        patch(net, stream="block.0", position=2, rows=[1, 0]),  # the trial has rows of its own
        knock_out(net, stream="block.1", query=-1, key=0),
    ):
        during = logits(net)
    both = knock_out(net, stream="block.1", query=-1, key=0)
    with (
        shift(net, stream="block.0", position=3, by=BY),
        patch(net, stream="block.0", position=2, rows=[1, 0]),
        both,
    ):
        torch.testing.assert_close(logits(net), during)


def test_gradients_flow_through_every_kind_of_edit_to_the_weights():
    net = model("gpt2").eval()
    place = {"stream": "block.0", "position": 1}
    eraser = Eraser.subspace(torch.eye(16)[:2], BY)
    for one in (
        shift(net, **place, by=BY), erase(net, **place, eraser=eraser),
        patch(net, **place, rows=[1, 0]), edit(net, **place, change=lambda states: 2 * states),
    ):  # fmt: skip
        net.zero_grad()
        with one:
            net(IDS).logits[:, -1].square().sum().backward()
        weight = net.transformer.h[0].mlp.c_fc.weight
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        slope, values = (weight.grad * direction).sum(), []
        for step in (1e-2, -1e-2):
            with torch.no_grad():
                weight += step * direction
                with one:
                    values.append(logits(net)[:, -1].double().square().sum())
                weight -= step * direction
        assert float((values[0] - values[1]) / 2e-2) == pytest.approx(float(slope), rel=0.05)


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_in_a_sentence(what):
    net = model().eval()
    message, wrong = REFUSED[what]
    right = {"stream": "block.0", "position": 0, "by": BY}
    with pytest.raises(BadInput, match=message), shift(net, **(right | wrong)):
        logits(net)
    assert untouched(net)


def test_a_model_in_training_mode_is_refused_and_left_alone():
    net = model().train()
    with (
        pytest.raises(BadInput, match="is in training mode"),
        shift(net, stream="block.0", position=0, by=BY),
    ):
        pass
    assert net.training
    assert untouched(net)


def test_training_mode_and_copies_inside_an_edit_are_refused_in_a_sentence():
    net = model().eval()
    with shift(net, stream="block.0", position=0, by=BY):
        net.train()
        with pytest.raises(BadInput, match=r"is in training mode.*call model\.eval\(\) first"):
            logits(net)
        net.eval()
        with pytest.raises(BadInput, match="is copied inside an edit, and the copy would keep"):
            copy.deepcopy(net)
        logits(net)
    assert torch.equal(logits(copy.deepcopy(net)), logits(net))


def test_patches_without_one_source_are_refused_in_a_sentence():
    net = model().eval()
    for given in ({}, {"to": BY, "rows": torch.tensor([1, 0])}):
        with pytest.raises(BadInput, match="give one"):
            patch(net, stream="block.0", position=0, **given)
    uneven = patch(net, stream="block.0", position=[0, 1], rows=torch.tensor([1, 0]), source=[0])
    with pytest.raises(BadInput, match="has fewer chosen tokens"), uneven:
        logits(net)
    nowhere = patch(net, stream="block.0", position=0, rows=torch.tensor([1, 7]))
    with pytest.raises(BadInput, match="row 7, whose states are wanted"), nowhere:
        logits(net)


def test_masks_that_hide_what_is_padding_are_refused_unless_all_tokens_are_meant():
    net = model().eval()
    mask = torch.zeros(2, 1, 4, 4).masked_fill(~torch.ones(4, 4).tril().bool(), -torch.inf)
    with (
        pytest.raises(BadInput, match="more than two dimensions"),
        shift(net, stream="block.0", position=-1, by=BY),
    ):
        logits(net, attention_mask=mask)
    with shift(net, stream="block.0", position="all", by=BY):
        wanted = logits(net)
        torch.testing.assert_close(logits(net, attention_mask=mask), wanted)


def test_streams_have_the_names_that_capture_gives_them():
    net = model().eval()
    assert stream_names(net) == STREAMS
    prompts = ids_probe(IDS)
    for stream in STREAMS:
        with shift(net, stream=stream, position="all", by=BY):
            moved = nc.capture(net, prompts).at(stream, "last")
        torch.testing.assert_close(moved, nc.capture(net, prompts).at(stream, "last") + BY)
