"""What a folder holds is loaded as what it is, or refused in one sentence."""

import json
import shutil
from uuid import uuid4

import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from nucleate import BadInput, PromptSet, capture
from nucleate.checkpoints import Checkpoint

CONFIG = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2,
}  # fmt: skip
PROMPTS = PromptSet.from_records([{"ids": [3, 4, 5]}], None, positions=["last"])
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base") / "model"
    LlamaForCausalLM(LlamaConfig(**CONFIG)).save_pretrained(folder)
    return folder


def load(folder, **options):
    return Checkpoint(step=0, path=folder).load(**options)


def changed(base, tmp_path, **settings):
    """A copy of the folder with other settings in its config.json."""
    folder = tmp_path / f"m{uuid4().hex}"  # transformers keeps code by its folder's name
    shutil.copytree(base, folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder


@pytest.mark.parametrize("kind", [LlamaModel, LlamaForSequenceClassification])
def test_a_model_without_a_vocabulary_head_is_loaded_for_its_states(kind, tmp_path):
    model = kind(LlamaConfig(**CONFIG)).eval()
    model.save_pretrained(tmp_path / "model")
    body = getattr(model, "model", model)
    expected = capture(body, PROMPTS).values
    torch.testing.assert_close(capture(load(tmp_path / "model"), PROMPTS).values, expected)


def test_the_text_part_of_a_multimodal_model_is_read(tmp_path):
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=8, patch_size=4,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=LlamaConfig(**CONFIG), image_token_index=49
    )
    model = LlavaForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path / "model")
    states = capture(load(tmp_path / "model"), PROMPTS)
    assert states.streams == ("embed", "block.0", "block.1", "final_norm")
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([[3, 4, 5]]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(states.at("block.0", "last")[0], hidden[1][0, -1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_hidden_layers": 1}, "weights of more layers than its config.json says"),
        ({"num_hidden_layers": 3}, "lacks 9 of the model's weights"),
        ({"hidden_size": 32}, "other shapes than its config.json says"),
        ({"hidden_size": "big"}, "expected int, got str"),
        ({"num_attention_heads": 0}, "cannot load"),
        ({"model_type": "nothing_like"}, "does not recognize this architecture"),
        ({"model_type": "t5"}, "Unrecognized configuration class"),
        (
            {
                "model_type": "mine",
                "auto_map": {"AutoConfig": "c.C", "AutoModelForCausalLM": "m.M"},
            },
            "needs code that comes with it.*--trust-remote-code",
        ),
    ],
)
def test_a_config_that_is_not_the_weights_own_is_refused(settings, said, base, tmp_path):
    with pytest.raises(BadInput, match=said):
        load(changed(base, tmp_path, **settings))


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_damaged_config_is_named(text, base, tmp_path):
    folder = changed(base, tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(BadInput, match=r"config\.json is damaged"):
        load(folder)


def remote(base, tmp_path, code):
    classes = {"AutoConfig": "config_mine.Mine", "AutoModelForCausalLM": "model_mine.Model"}
    folder = changed(base, tmp_path, model_type=f"mine_{tmp_path.name}", auto_map=classes)
    (folder / "config_mine.py").write_text(
        "from transformers import LlamaConfig\nclass Mine(LlamaConfig):\n    model_type = 'mine'\n"
    )
    (folder / "model_mine.py").write_text(code)
    return folder


OWN = """from transformers import LlamaForCausalLM
from .config_mine import Mine
class Model(LlamaForCausalLM):
    config_class = Mine
"""


def test_code_that_comes_with_a_model_runs_where_it_is_allowed(base, tmp_path):
    model = load(remote(base, tmp_path, OWN), trust_remote_code=True)
    expected = capture(load(base), PROMPTS).values
    torch.testing.assert_close(capture(model, PROMPTS).values, expected)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("class Model(:\n", "invalid syntax"),
        (OWN + "    def __init__(self, config):\n        1 / 0\n", "division by zero"),
    ],
)
def test_code_that_fails_is_refused_with_its_reason(code, said, base, tmp_path):
    with pytest.raises(BadInput, match=said):
        load(remote(base, tmp_path, code), trust_remote_code=True)


def adapter(base, folder, *, grown=0, **settings):
    peft = pytest.importorskip("peft")
    model = LlamaForCausalLM.from_pretrained(base)
    if grown:
        model.resize_token_embeddings(grown)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **settings)
    adapted = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.normal_(0, 0.3)
    adapted.save_pretrained(folder)
    return adapted


@pytest.mark.parametrize("copied", [["embed_tokens", "lm_head"], None])
def test_an_adapter_on_a_grown_vocabulary_is_loaded_with_its_tokens(copied, base, tmp_path):
    adapted = adapter(base, tmp_path / "adapter", grown=57, modules_to_save=copied)
    prompts = PromptSet.from_records([{"ids": [3, 56]}], None, positions=["last"])
    expected = capture(adapted, prompts).values
    torch.testing.assert_close(capture(load(tmp_path / "adapter"), prompts).values, expected)


def test_an_adapter_whose_weights_are_for_other_layers_is_refused(base, tmp_path):
    adapter(base, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"target_modules": ["k_proj"]}))
    with pytest.raises(BadInput, match="lacks 4 of the weights"):
        load(tmp_path / "adapter")


def test_an_adapter_that_does_not_fit_says_where(base, tmp_path):
    adapter(base, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": 4}))
    with pytest.raises(BadInput, match=r"does not fit .*size mismatch"):
        load(tmp_path / "adapter")
