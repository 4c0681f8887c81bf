"""Adapters of all shapes are read with what they add, or refused with the right remedy."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import nucleate as nc
from activations.prompt_sets import random_probe
from nucleate import BadInput, capture

peft = pytest.importorskip("peft")
# PEFT's own, about arguments that it passes on.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

CAUSAL = {"task_type": "CAUSAL_LM"}
PROJECTIONS = {"target_modules": ["q_proj", "v_proj"], **CAUSAL}
SHAPES = {
    "LoRA on the embedding": lambda: peft.LoraConfig(
        r=2, **(PROJECTIONS | {"target_modules": ["embed_tokens", "q_proj"]})
    ),
    "LoRA on embedding and head": lambda: peft.LoraConfig(
        r=2, target_modules=["embed_tokens", "lm_head"], **CAUSAL
    ),
    "trainable tokens beside LoRA": lambda: peft.LoraConfig(
        r=2, trainable_token_indices=[5, 7], **PROJECTIONS
    ),
    "trainable tokens": lambda: peft.TrainableTokensConfig(
        token_indices=[5, 7], target_modules=["embed_tokens"], **CAUSAL
    ),
    "copies of embedding, norm and head": lambda: peft.LoraConfig(
        r=2, modules_to_save=["embed_tokens", "norm", "lm_head"], **PROJECTIONS
    ),
    "blocks that are repeated": lambda: peft.LoraConfig(
        r=2, layer_replication=[[0, 2], [1, 3]], **PROJECTIONS
    ),
    "DoRA": lambda: peft.LoraConfig(
        r=2, use_dora=True, target_modules=["embed_tokens", "v_proj"], **CAUSAL
    ),
    "IA3": lambda: peft.IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], **CAUSAL
    ),
    "LoHa": lambda: peft.LoHaConfig(r=2, **PROJECTIONS),
    "LoKr": lambda: peft.LoKrConfig(r=2, **PROJECTIONS),
    "VeRA": lambda: peft.VeraConfig(r=2, **PROJECTIONS),
    "AdaLoRA": lambda: peft.AdaLoraConfig(r=2, total_step=10, **PROJECTIONS),
    "OFT": lambda: peft.OFTConfig(r=0, oft_block_size=4, **PROJECTIONS),
    "BOFT": lambda: peft.BOFTConfig(boft_block_size=4, **PROJECTIONS),
    "norms": lambda: peft.LNTuningConfig(target_modules=["norm", "input_layernorm"], **CAUSAL),
    "adaption prompts": lambda: peft.AdaptionPromptConfig(
        adapter_len=3, adapter_layers=2, **CAUSAL
    ),
}
VIRTUAL = {
    "prompt tuning": lambda: peft.PromptTuningConfig(num_virtual_tokens=3, **CAUSAL),
    "prefix tuning": lambda: peft.PrefixTuningConfig(num_virtual_tokens=3, **CAUSAL),
    "P-tuning": lambda: peft.PromptEncoderConfig(
        num_virtual_tokens=3, encoder_hidden_size=8, **CAUSAL
    ),
}


def base() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=97, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
            num_attention_heads=2,
        )
    ).eval()  # fmt: skip


def moved(model: torch.nn.Module) -> torch.nn.Module:
    """The model with adapters that do something: fresh ones change nothing."""
    torch.manual_seed(1)
    known = {name for name, _ in base().named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
            if plain.replace(".original_module", "") not in known and parameter.is_floating_point():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def assert_read(model: torch.nn.Module) -> torch.Tensor:
    """Every state equals that of the adapted model's own forward pass of the row alone."""
    prompts = random_probe("mixed")
    states = capture(model, prompts)
    for row in range(0, len(prompts), 4):
        ids = torch.as_tensor(prompts.ids[row, : prompts.lengths[row]], dtype=torch.long)[None]
        with torch.no_grad():
            *below, final = model(input_ids=ids, output_hidden_states=True).hidden_states
        last = prompts.positions["last"][row]
        wanted = torch.stack([hidden[0, last] for hidden in [*below, final]])
        got = states.values[[*range(len(below)), -1], 1, row]
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    return states.values


@pytest.mark.parametrize("shape", SHAPES)
def test_states_are_those_of_the_adapted_model(shape):
    adapted = moved(peft.get_peft_model(base(), SHAPES[shape]()))
    values = assert_read(adapted)
    plain = capture(base(), random_probe("mixed")).values
    assert values.shape != plain.shape or not torch.allclose(values, plain, atol=1e-3)


@pytest.mark.parametrize("shape", ["LoRA on the embedding", "trainable tokens"])
def test_a_recorder_reads_an_adapted_embedding_at_its_first_step(shape, tmp_path):
    adapted = moved(peft.get_peft_model(base(), SHAPES[shape]()))
    prompts = random_probe("mixed")
    with nc.Recorder(tmp_path / "run", prompts, nc.Schedule.every(1)) as recorder:
        recorder.step(adapted, 0)
    assert recorder.error is None
    stored = nc.Run(tmp_path / "run").states(0).values.float()
    torch.testing.assert_close(stored, capture(adapted, prompts).values, atol=1e-2, rtol=1e-2)


def test_a_compiled_adapter_is_recorded(tmp_path):
    adapted = torch.compile(moved(peft.get_peft_model(base(), SHAPES["DoRA"]())), backend="eager")
    with nc.Recorder(tmp_path / "run", random_probe("mixed"), nc.Schedule.every(1)) as recorder:
        recorder.step(adapted, 0)
    assert recorder.error is None
    assert_read(adapted)


def test_grown_vocabularies_are_read_with_their_new_tokens():
    grown = base()
    grown.resize_token_embeddings(120)
    adapted = moved(peft.get_peft_model(grown, SHAPES["copies of embedding, norm and head"]()))
    prompts = nc.PromptSet.from_records([{"ids": [3, 119]}], None, positions=["last"])
    ids = torch.tensor([[3, 119]])
    with torch.no_grad():
        wanted = adapted(input_ids=ids, output_hidden_states=True).hidden_states[0][0, 1]
    assert torch.equal(capture(adapted, prompts).at("embed", "last")[0], wanted)
    beyond = nc.PromptSet.from_records([{"ids": [3, 120]}], None, positions=["last"])
    with pytest.raises(BadInput, match="knows ids below 120"):
        capture(adapted, beyond)


def test_several_adapters_are_read_as_they_are_switched():
    adapted = peft.get_peft_model(base(), SHAPES["LoRA on the embedding"]())
    adapted.add_adapter("second", peft.LoraConfig(r=3, **PROJECTIONS))
    moved(adapted)
    first = assert_read(adapted)
    adapted.set_adapter("second")
    second = assert_read(adapted)
    with adapted.disable_adapter():
        none = assert_read(adapted)
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, none)
    torch.testing.assert_close(none, capture(base(), random_probe("mixed")).values)


def test_mixed_adapters_are_read_together():
    mixed = peft.PeftMixedModel(base(), peft.LoraConfig(r=2, **PROJECTIONS), "a")
    mixed.add_adapter("b", peft.LoHaConfig(r=2, **PROJECTIONS))
    mixed.set_adapter(["a", "b"])
    both = assert_read(moved(mixed))
    mixed.set_adapter("a")
    assert not torch.allclose(assert_read(mixed), both)


def test_merged_adapters_are_read():
    adapted = moved(peft.get_peft_model(base(), SHAPES["DoRA"]()))
    before = assert_read(adapted)
    adapted.merge_adapter()
    torch.testing.assert_close(assert_read(adapted), before, atol=1e-4, rtol=1e-3)
    unloaded = adapted.merge_and_unload()
    torch.testing.assert_close(assert_read(unloaded), before, atol=1e-4, rtol=1e-3)


def test_a_model_that_was_read_before_it_was_adapted_is_read_anew():
    model, prompts = base(), random_probe("mixed")
    capture(model, prompts)
    assert_read(moved(peft.get_peft_model(model, SHAPES["trainable tokens"]())))


def test_an_adapter_on_an_adapter_is_read():
    inner = peft.get_peft_model(base(), peft.LoraConfig(r=2, **PROJECTIONS))
    assert_read(moved(peft.get_peft_model(inner, SHAPES["IA3"]())))


@pytest.mark.parametrize("shape", VIRTUAL)
def test_virtual_tokens_are_refused_and_the_remedy_reads(shape):
    adapted = peft.get_peft_model(base(), VIRTUAL[shape]()).eval()
    prompts = random_probe("mixed")
    with pytest.raises(BadInput, match=r"tokens of its own before every prompt.*get_base_model"):
        capture(adapted, prompts)
    plain = capture(base(), prompts).values
    assert np.allclose(capture(adapted.get_base_model(), prompts).values, plain, atol=1e-6)
    with adapted.disable_adapter():
        assert np.allclose(capture(adapted, prompts).values, plain, atol=1e-6)
