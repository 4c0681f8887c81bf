"""`nucleate record` as a user meets it: one model, a series, a crash, and bad input."""

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from in_process import runner
from nucleate import (
    PromptSet,
    Recorder,
    Run,
    Schedule,
    capture,
)
from trained import adam, trained, weights

STEPS = list(range(0, 25, 2))
WORDS = ["<unk>", "<pad>", *"abcdefghijklmnopqrstuvwxyz"]
ROWS = [
    {"task": task, "instruction": f"{task} {task}", "input": letter, "output": letter}
    for task in "xyz"
    for letter in "abcde"
]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from nucleate.cli import main; main()", *map(str, arguments)]


@pytest.fixture
def record(capfd, monkeypatch):
    before = torch.get_num_threads()
    yield partial(runner(capfd, monkeypatch), "record")
    torch.set_num_threads(before)


def tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(words)}
    bare = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>", pad_token="<pad>")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A series with its tokenizer above it, rows, and the prompt set of the rows."""
    folder = tmp_path_factory.mktemp("made")
    trained(folder / "series", set(STEPS), adam)
    tokenizer(WORDS).save_pretrained(folder / "series")
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    PromptSet.from_records(folder / "rows.jsonl", tokenizer(WORDS)).save(folder / "prompts")
    return folder


def test_one_model_gives_a_run_with_what_capture_reads(record, made, tmp_path):
    folder = shutil.copytree(made / "series" / "checkpoint-4", tmp_path / "net")
    tokenizer(WORDS).save_pretrained(folder)
    done = record(folder, "--prompts", made / "rows.jsonl", "--out", tmp_path / "run", "--json",
                    "--positions", "last, -2,mean:instruction", "--step", 40, "--quiet",
                    "--template", "{instruction} {input}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["steps"], said["present"], said["rows"]) == ([40], [], 15)
    run = Run(tmp_path / "run")
    assert run.steps == [40]
    assert list(run.prompts.positions) == said["positions"] == ["last", "-2", "mean:instruction"]
    net = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(run.states(40).values, capture(net, run.prompts).values.half())


def test_a_series_gives_the_run_that_a_live_recorder_would_have_left(record, made, tmp_path):
    done = record("--series", made / "series", "--prompts", made / "prompts", "--out",
                    tmp_path / "run", "--threads", 1)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "13 checkpoints recorded" in done.stdout
    assert "checkpoints: 13/13, took" in done.stderr
    with Recorder(
        tmp_path / "live", PromptSet.load(made / "prompts"), Schedule.every(2).within(None)
    ) as live:
        for step in range(25):
            if step % 2 == 0:
                net = AutoModelForCausalLM.from_pretrained(made / "series" / f"checkpoint-{step}")
            live.step(net, step)
    there, here = Run(tmp_path / "live"), Run(tmp_path / "run")
    assert there.steps == here.steps == STEPS
    for step in there.steps:
        assert torch.equal(there.states(step).values, here.states(step).values)
    assert there.manifest["prompts_hash"] == here.manifest["prompts_hash"]


def test_killed_with_9_it_goes_on_and_records_no_step_twice(record, made, tmp_path):
    arguments = [
        "--series",
        made / "series",
        "--prompts",
        made / "prompts",
        "--out",
        tmp_path / "run",
    ]
    process = subprocess.Popen(command("record", "--quiet", *arguments), stderr=subprocess.PIPE)
    journal = tmp_path / "run" / "journal.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_text().count('"snapshot"') >= 2:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = Run(tmp_path / "run").steps
    assert process.returncode == -signal.SIGKILL
    assert 2 <= len(before) < 13
    for step in before:  # a checkpoint that is loaded again would fail
        weights(made / "series", step).rename(weights(made / "series", step).with_suffix(".away"))
    try:
        done = record(*arguments, "--no-check", "--json")
    finally:
        for step in before:
            weights(made / "series", step).with_suffix(".away").rename(
                weights(made / "series", step)
            )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["present"] == before
    run = Run(tmp_path / "run")
    assert [r["step"] for r in run.journal.live("snapshot")] == STEPS
    whole = record(*arguments[:-1], tmp_path / "whole")
    assert whole.returncode == 0
    for step in run.steps:
        assert torch.equal(run.states(step).values, Run(tmp_path / "whole").states(step).values)


def test_a_flagged_series_is_refused_unless_it_is_wanted(record, made, tmp_path):
    series = shutil.copytree(made / "series", tmp_path / "series")
    shutil.copy(weights(series, 0), weights(series, 2))
    arguments = [
        "--series",
        series,
        "--prompts",
        made / "prompts",
        "--out",
        tmp_path / "run",
        "--quiet",
    ]
    done = record(*arguments)
    assert done.returncode == 2
    assert "steps 0 and 2 hold the same weights" in done.stderr
    assert not (tmp_path / "run").exists()
    assert record(*arguments, "--keep-flagged").returncode == 0
    assert Run(tmp_path / "run").steps == STEPS


def test_bad_input_leaves_with_2_one_sentence_and_no_folder(record, made, tmp_path):
    net = made / "series" / "checkpoint-4"
    other = tmp_path / "other"
    tokenizer(WORDS[::-1]).save_pretrained(other)
    encoder = tmp_path / "encoder"
    config = BertConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=16, max_position_embeddings=32)  # fmt: skip
    BertForMaskedLM(config).save_pretrained(encoder)
    tokenizer(WORDS).save_pretrained(encoder)
    alone = shutil.copytree(net, tmp_path / "deep" / "alone")
    pickled = shutil.copytree(net, tmp_path / "step7")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    rows, prompts = made / "rows.jsonl", made / "prompts"
    for arguments, sentence in [
        (
            [net, "--prompts", prompts, "--tokenizer", other],
            "is not the one that the prompts were made",
        ),
        ([encoder, "--prompts", rows], "Bert"),
        ([alone, "--prompts", prompts], "no tokenizer beside"),
        ([pickled, "--prompts", rows, "--tokenizer", made / "series"], "as a pickle only"),
        ([net, "--prompts", rows, "--positions", "last,77"], "77"),
        ([net, "--prompts", prompts, "--positions", "mean"], "--positions mean"),
        ([net, "--prompts", tmp_path / "nothing.jsonl"], "nothing.jsonl"),
        ([net, "--prompts", rows, "--device", "nodevice"], "nodevice"),
        ([tmp_path / "nowhere", "--prompts", rows], "nowhere"),
        (["--prompts", rows], "name one model"),
        ([net, "--series", made / "series", "--prompts", rows], "name one model"),
        (["--series", made / "series", "--step", 3, "--prompts", rows], "--step 3"),
    ]:
        done = record(*arguments, "--out", tmp_path / "run", "--quiet")
        assert done.returncode == 2, (arguments, done.stderr)
        assert sentence in done.stderr
        assert done.stderr.startswith("nucleate: "), done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_a_run_of_another_probe_is_refused_and_a_full_disk_leaves_with_4(record, made, tmp_path):
    arguments = ["--out", tmp_path / "run", "--quiet", made / "series" / "checkpoint-4"]
    assert record("--prompts", made / "prompts", *arguments).returncode == 0
    other = record("--prompts", made / "rows.jsonl", "--positions", "last", *arguments)
    assert other.returncode == 2
    assert "other prompts" in other.stderr
    shutil.rmtree(tmp_path / "run" / "states")
    (tmp_path / "run" / "states").write_text("no folder: nothing can be written there")
    later = record("--prompts", made / "prompts", *arguments, "--step", 9)
    assert later.returncode == 4
    assert "step 9" in later.stderr
