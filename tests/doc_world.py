"""What the docs' code takes as given: a model, prompts and a folder of runs, all tiny and real."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

import nucleate as nc
from trainers import settings

STREAMS = 4
_VERBS = ("name", "give", "tell", "say", "write")
_TASKS = {
    "color": {"sky": "blue", "grass": "green", "coal": "black", "snow": "white"},
    "size": {"sky": "huge", "grass": "small", "coal": "little", "snow": "wide"},
    "place": {"sky": "above", "grass": "below", "coal": "under", "snow": "north"},
}


def rows() -> list[dict[str, str]]:
    """Three tasks in ten wordings each, over shared inputs."""
    return [
        {
            "task": task,
            "instruction": f"{verb} {the} {task} of",
            "input": given,
            "output": answer,
        }
        for task, answers in _TASKS.items()
        for verb in _VERBS
        for the in ("the", "its")
        for given, answer in answers.items()
    ]


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    words = sorted({word for row in rows() for text in row.values() for word in text.split()})
    known = {word: number for number, word in enumerate(["<unk>", "<end>", "<pad>", *words])}
    bare = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, unk_token="<unk>", eos_token="<end>", pad_token="<pad>"
    )


def model(vocabulary: int) -> PreTrainedModel:
    """Four blocks of random weights."""
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=32, num_hidden_layers=STREAMS,
        num_attention_heads=2, max_position_embeddings=64, bos_token_id=None, eos_token_id=1,
        pad_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def build(folder: Path) -> dict[str, Any]:
    """Lay the folder out as the docs name it, and make the names that their code uses."""
    words = tokenizer()
    net = model(len(words))
    net.save_pretrained(folder / "my-model")
    words.save_pretrained(folder / "my-model")
    lines = "".join(json.dumps(row) + "\n" for row in rows())
    (folder / "prompts.jsonl").write_text(lines, encoding="utf-8")
    (folder / "my.jsonl").write_text(lines, encoding="utf-8")
    prompts = nc.PromptSet.from_records(
        folder / "prompts.jsonl", words, positions=["instruction_end", "last"]
    )
    _reviewed(folder / "reviewed")
    for name, seed, each in (("known", 0, 120), ("train", 1, 40), ("requests", 2, 20)):
        given = "".join(json.dumps(row) + "\n" for row in _requests(seed, each))
        (folder / f"{name}.jsonl").write_text(given, encoding="utf-8")
    for name, page in _studies():
        (folder / name).write_text(page, encoding="utf-8")
    names = _arrays(net, words, prompts)
    for number, name in enumerate(("mine", "no-task", "other")):
        _record(folder / "runs" / name, net, prompts, number)
    run = nc.Run(folder / "runs" / "mine")
    for name in ("no-task", "other", "mine"):
        panel = nc.measure(folder / "runs" / name, n_bootstraps=20, n_init=2)
    encoded = [words(f"{row['instruction']} {row['input']}").input_ids for row in rows()]
    examples = [{"input_ids": ids, "labels": ids} for ids in encoded]
    arguments = TrainingArguments(**settings(folder / "runs" / "sft", save_strategy="steps",
                                             save_steps=4))  # fmt: skip
    trainer = Trainer(model(len(words)), arguments, train_dataset=examples, processing_class=words)
    trainer.train()
    return names | {
        "nc": nc, "model": net, "tokenizer": words, "prompts": prompts, "run": run, "panel": panel,
        "args": arguments, "rows": examples, "np": np, "torch": torch,
    }  # fmt: skip


def _requests(seed: int, each: int) -> list[dict[str, str]]:
    """Requests in the words of a task, with some that all tasks share."""
    draw = np.random.default_rng(seed)
    found = []
    for task, answers in _TASKS.items():
        own, shared = [task, *answers.values()], [*_VERBS, *answers, "the", "its", "of"]
        for _ in range(each):
            words = [*draw.choice(own, 4), *draw.choice(shared, 4)]
            found.append({"text": " ".join(draw.permutation(words)), "task": task, "time": "1"})
    return found


def _reviewed(folder: Path) -> None:
    """Requests as they are scored, with what people said of them; one group fares worse."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    lines = ["request,cluster,lang,age,wrong,outside"]
    for row in range(600):
        task, lang, age = (
            draw.choice(names) for names in (list(_TASKS), ["en", "ja"], ["<40", ">=40"])
        )
        wrong = draw.random() < (0.4 if lang == "ja" else 0.1)
        lines.append(f"{row:016x},{task},{lang},{age},{int(wrong)},{draw.random() < 0.05}")
    (folder / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _studies() -> Iterator[tuple[str, str]]:
    """Names and contents of the pages that docs/studies.md prints, as a reader would save them."""
    text = (Path(__file__).parents[1] / "docs" / "studies.md").read_text(encoding="utf-8")
    for page in text.split("```yaml\n")[1:]:
        content = page.partition("```")[0]
        yield content.partition("\n")[0].removeprefix("# "), content


def _arrays(net: PreTrainedModel, words: Any, prompts: nc.PromptSet) -> dict[str, Any]:
    states = nc.capture(net, prompts)
    x = states.at("block.3", "last")
    task = np.array(prompts.labels["task"])
    return {
        "states": states, "x": x, "tasks": task, "layer_3": x,
        "layer_5": states.at("block.2", "last"),
        "folds": nc.metrics.grouped_folds(task, prompts.labels["instruction"], 3),
        "mu_a": x[task == "color"].mean(0), "mu_b": x[task == "size"].mean(0),
        "prompt": words("name the color of sky", return_tensors="pt"),
        "batch": words(["name the color of sky"], return_tensors="pt"),
    }  # fmt: skip


def _record(folder: Path, net: PreTrainedModel, prompts: nc.PromptSet, seed: int) -> None:
    """Nine snapshots of weights that drift."""
    drifting = model(net.config.vocab_size)
    generator = torch.Generator().manual_seed(seed)
    with nc.Recorder(folder, prompts, nc.Schedule.every(1)) as recorder:
        for step in range(9):
            recorder.step(drifting, step, loss=3.0 - step / 4)
            for weights in drifting.parameters():
                weights.data += 0.02 * torch.randn(weights.shape, generator=generator)
