"""A row's states are those that it has alone, whatever a batch would decide together."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from activations.conformance import alone
from activations.prompt_sets import random_probe
from nucleate import PromptSet, Recorder, Run, Schedule, capture, verify
from nucleate.activations import _ways, read
from small import material, model

LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "factor": 5.0, "short_factor": [1.0] * 4,
    "long_factor": [1.0, 4.0, 16.0, 60.0], "original_max_position_embeddings": 12,
}  # fmt: skip


def scaled(net: nn.Module, by: float) -> nn.Module:
    """Weights so large that a mistake shows."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.mul_(by)
    return net.eval()


def longrope() -> nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "phi3", vocab_size=97, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=60,
        original_max_position_embeddings=12, rope_parameters=LONGROPE, pad_token_id=0,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return scaled(AutoModelForCausalLM.from_config(config), 5)


def llama(**settings: object) -> nn.Module:
    torch.manual_seed(0)
    shape = {
        "vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }  # fmt: skip
    return scaled(LlamaForCausalLM(LlamaConfig(**(shape | settings))), 3)


def dynamic() -> nn.Module:
    """Its rotary factors follow the longest sequence that it has ever read."""
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
    return llama(max_position_embeddings=12, rope_parameters=rope)


def quantized() -> nn.Module:
    """Activations of a whole batch get one scale."""
    from torch.ao.quantization import quantize_dynamic

    return quantize_dynamic(llama(), {nn.Linear}, dtype=torch.qint8)


class OneScale(nn.Module):
    """A norm over a whole batch."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x / x.std())


def batch_norm() -> nn.Module:
    net = llama()
    for block in net.model.layers:
        block.mlp = OneScale(block.mlp)
    return net


class FewPlaces(nn.Module):
    """Two experts, each with places for so many of a batch's tokens: who comes late gets none."""

    def __init__(self, inner: nn.Module, share: float) -> None:
        super().__init__()
        self.experts = nn.ModuleList([inner, nn.Linear(32, 32)])
        self.router, self.share = nn.Linear(32, 2), share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(0, -2)
        chosen, out = self.router(tokens).argmax(-1), tokens.clone()
        for number, expert in enumerate(self.experts):
            taken = torch.nonzero(chosen == number)[: int(self.share * len(tokens)) + 1, 0]
            out[taken] += expert(tokens[taken])
        return out.view_as(x)


def experts(share: float = 0.5) -> nn.Module:
    net = llama()
    torch.manual_seed(1)
    for block in net.model.layers:
        block.mlp = FewPlaces(block.mlp, share)
    return net


MODELS = {
    "longrope": longrope, "dynamic": dynamic, "quantized": quantized, "batch norm": batch_norm,
    "experts": experts,
}  # fmt: skip
# torch speaks of its own plans for quantization.
IGNORED = pytest.mark.filterwarnings("ignore:.*quantiz.*")


def worst(make, prompts: PromptSet, values: torch.Tensor) -> float:
    """The largest relative error against each row alone in a model that has read nothing yet."""
    error, fresh = 0.0, make()
    for row in range(len(prompts)):
        wanted = alone(copy.deepcopy(fresh), prompts, row)
        got = values[[*range(values.shape[0] - 2), -1], :, row]
        # The last block's own output is not among the reported states.
        difference = (got - wanted).norm(dim=-1) / wanted.norm(dim=-1)
        error = max(error, float(difference.max()))
    return error


@IGNORED
@pytest.mark.parametrize("kind", ["mixed", "crossed"])
@pytest.mark.parametrize("name", MODELS)
def test_states_do_not_depend_on_the_rows_beside(name, kind):
    prompts = random_probe(kind)
    net = MODELS[name]()
    assert worst(MODELS[name], prompts, capture(net, prompts).values) < 1e-5
    verified = verify(net, prompts)
    assert verified.worst < 1e-5
    faster = set(verified.tried) - {verified.way}
    assert all(verified.tried[way] > 1e-4 for way in faster)
    if kind == "mixed":  # the crossed rows happen to be on one side of the length that matters
        assert verified.way == {"longrope": "equal", "dynamic": "equal"}.get(name, "alone")


def rows_of(*lengths: int, seed: int = 0) -> PromptSet:
    random = np.random.default_rng(seed)
    rows = [{"ids": random.integers(3, 97, n).tolist()} for n in lengths]
    return PromptSet.from_records(rows, None, positions="last")


@pytest.mark.parametrize(
    "lengths",
    [(10, 15), (15, 10), (12, 13), (2, 40), *[(*[9] * 300, 13), (*[30] * 300, 11)], (1, 1, 11, 14)],
)
def test_rows_on_both_sides_of_a_length_are_told_apart_however_few_they_are(lengths):
    prompts = rows_of(*lengths)
    states = capture(longrope(), prompts).at("final_norm", "last")
    for row in {0, len(lengths) // 2, len(lengths) - 1}:
        ids = torch.as_tensor(prompts.ids[row, : lengths[row]], dtype=torch.long)[None]
        with torch.no_grad():
            own = longrope()(ids, output_hidden_states=True).hidden_states[-1][0, -1]
        assert (states[row] - own).norm() < 1e-5 * own.norm()


def test_where_rows_have_one_length_they_are_read_together():
    for lengths in ((8,) * 5, (15,) * 5):
        assert verify(longrope(), rows_of(*lengths)).way == "padded"


def test_a_model_without_such_habits_is_read_in_batches():
    assert verify(llama(), random_probe("mixed")).way == "padded"
    assert verify(llama(), random_probe("crossed")).way == "shared"
    assert verify(llama().bfloat16(), random_probe("mixed")).way == "padded"
    assert verify(llama(), rows_of(5)).way == "alone"


def passes(net: nn.Module, work) -> int:
    seen = []
    handle = net.register_forward_pre_hook(lambda *_: seen.append(1))
    work()
    handle.remove()
    return len(seen)


def test_the_trial_is_remembered_for_a_model_and_a_prompt_set():
    net, prompts = llama(), random_probe("mixed")
    counts = [passes(net, lambda: capture(net, prompts)) for _ in range(16)]
    other = passes(net, lambda: capture(net, random_probe("mixed", seed=1)))
    plain = min(counts)
    assert plain == 1
    # Made again after 4, 8 ... readings.
    assert [k for k, count in enumerate(counts) if count > plain] == [0, 4, 8]
    assert other > plain


def test_experts_that_turn_greedy_during_a_training_are_noticed(tmp_path, caplog):
    """Untrained experts have places for all; later one wants more tokens than it has places for."""
    net, prompts = experts(share=0.8), random_probe("mixed")
    with torch.no_grad():
        for block in net.model.layers:
            block.mlp.router.weight.zero_()
            block.mlp.router.bias.copy_(torch.tensor([0.0, -1e-3]))
            block.mlp.share = 1.0
    schedule = Schedule.every(1).within(None)
    with Recorder(tmp_path / "run", prompts, schedule) as recorder:
        for step in range(6):
            if step == 3:
                for block in net.model.layers:
                    block.mlp.share = 0.3
            recorder.step(net, step)
    assert recorder.error is None
    assert "no longer have the states that they have alone" in caplog.text
    states = Run(tmp_path / "run").states(5).values.float()
    fresh = copy.deepcopy(net)
    assert worst(lambda: fresh, prompts, states) < 1e-3  # half precision


def test_a_reading_leaves_the_length_that_a_model_has_seen_as_it_was():
    """Else a training with dynamic rotary factors would go on with those of the prompts' length."""
    net, prompts = dynamic(), rows_of(10, 40)
    ids = torch.arange(3, 17)[None]
    with torch.no_grad():
        before = net(ids).logits
        capture(net, prompts)
        assert torch.equal(net(ids).logits, before)
    assert net.model.rotary_emb.max_seq_len_cached == 14


def test_what_was_read_before_does_not_change_a_reading():
    net, prompts = dynamic(), rows_of(13, 14)
    wanted = capture(dynamic(), prompts).values
    with torch.no_grad():
        net(torch.arange(3, 60)[None])
    assert torch.equal(capture(net, prompts).values, wanted)
    single = rows_of(13, 14)
    single = replace(
        single, ids=single.ids[:1], lengths=single.lengths[:1],
        prompt_lengths=single.prompt_lengths[:1], chance=single.chance[:1],
        positions={"last": single.positions["last"][:1]}, labels={},
    )  # fmt: skip
    assert torch.equal(capture(net, single).values[:, :, 0], wanted[:, :, 0])


def test_padding_brings_no_token_into_a_batch_that_is_not_the_rows_own():
    net = llama()
    with torch.no_grad():
        net.model.embed_tokens.weight[0] = torch.nan  # the id that padding usually has
    for kind in ("mixed", "crossed"):
        assert capture(net, random_probe(kind)).values.isfinite().all()


@pytest.mark.filterwarnings("ignore:_compile flag:DeprecationWarning")  # transformers' own call
@pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")
def test_flexible_attention_is_read_without_sharing():
    net, prompts = llama(), random_probe("crossed")
    wanted = capture(net, prompts).values
    net.set_attn_implementation("flex_attention")
    assert verify(net, prompts).way == "padded"
    torch.testing.assert_close(capture(net, prompts).values, wanted, atol=1e-5, rtol=1e-4)


def test_rows_so_long_that_no_batch_holds_two_are_tried_within_bounds(monkeypatch):
    monkeypatch.setattr("nucleate.activations._ways.tokens_a_batch", lambda _: 30)
    net, prompts = llama(), rows_of(4, 5, 9, 14, 40, 50)
    sizes: list[int] = []
    hook = net.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    states = capture(net, prompts).values
    hook.remove()
    assert max(sizes) == 50
    assert worst(llama, prompts, states) < 1e-5
    assert worst(longrope, prompts, capture(longrope(), prompts).values) < 1e-5


def test_scores_are_those_of_rows_alone_in_every_way(monkeypatch):
    net, prompts = model().eval(), material()[2]
    wanted = read(net, prompts)
    for way in ("padded", "equal", "alone"):
        monkeypatch.setattr(
            "nucleate.activations._capture.plan_for",
            lambda *_, way=way, **__: _ways.Plan(way, keeps=False),
        )
        got = read(net, prompts)
        torch.testing.assert_close(got.states.values, wanted.states.values, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(got.nll, wanted.nll, equal_nan=True)
        assert torch.equal(got.predicted, wanted.predicted)
