"""A training whose rows are not tokenized as the prompts are is told so, and no other is."""

import logging
from functools import cache

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from nucleate import PromptSet, Recorder, Run, Schedule
from nucleate.recording import hf
from nucleate.recording._alike import difference
from trainers import settings

TASKS = {"double": 2, "triple": 3}
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]


def texts(pattern: str) -> list[str]:
    return [
        pattern.format(task=task, number=number, answer=number * factor)
        for task, factor in TASKS.items()
        for number in range(11, 17)
    ]


@cache
def tokenizer(kind: str = "bytes", *, bos: bool = False) -> PreTrainedTokenizerFast:
    """Small ones of the two usual kinds: of bytes, and of words with a mark in front."""
    made = Tokenizer(models.BPE())
    if kind == "bytes":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        made.decoder = decoders.Metaspace(prepend_scheme="first")
        alphabet = list("\n")
    corpus = texts("Please {task} the number {number} now\nQ: {task} {number} A: {answer}") * 20
    made.train_from_iterator(
        corpus,
        trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIALS, initial_alphabet=alphabet),
    )
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        additional_special_tokens=SPECIALS[3:], chat_template=CHAT,
    )  # fmt: skip


def prompt_set(tok, template="Please {instruction} the number {input} now\n{output}", **others):
    rows = [
        {"instruction": task, "input": str(number), "output": str(number * factor), "task": task}
        for task, factor in TASKS.items()
        for number in range(11, 17)
    ]
    return PromptSet.from_records(rows, tok, template=template, **others)


def ids(tok, lines) -> list[list[int]]:
    return [tok(line)["input_ids"] for line in lines]


LINE = "Please {task} the number {number} now\n{answer}"


@pytest.mark.parametrize("kind", ["bytes", "words"])
@pytest.mark.parametrize("bos", [False, True])
def test_rows_that_are_tokenized_alike_are_not_warned_of(kind, bos):
    tok = tokenizer(kind, bos=bos)
    prompts = prompt_set(tok)
    mine = [prompts.ids[row, : prompts.lengths[row]].tolist() for row in range(len(prompts))]
    assert difference(mine, prompts, tok) == ""
    closed = [[*row, tok.eos_token_id] for row in mine]
    assert difference(closed, prompts, tok) == ""
    packed = [[each for row in closed for each in row]]
    assert difference(packed, prompts, tok) == ""


@pytest.mark.parametrize(
    ("pattern", "there", "here"),
    [
        ("Please {task} the number {number} now\n {answer}", r"now\n 22", r"now\n22"),
        ("Please {task} the number {number} now {answer}", "now 22", r"now\n22"),
        ("Please {task}  the number {number} now\n{answer}", "double  the", "double the"),
        ("Please {task} the number {number} now \n{answer}", r"now \n22", r"now\n22"),
    ],
)
def test_a_stray_space_is_named_with_both_texts(pattern, there, here):
    tok = tokenizer()
    said = difference(ids(tok, texts(pattern)), prompt_set(tok), tok)
    assert there in said
    assert here in said
    assert said.startswith("training rows have")


def test_a_stray_space_is_found_although_other_inputs_are_trained():
    tok = tokenizer()
    prompts = prompt_set(tok)
    for gap, fine in ((" ", True), ("  ", False), ("\n", False)):
        lines = [
            f"Please {task}{gap}the number {number} now\n{number}"
            for task in TASKS for number in range(40, 60)
        ]  # fmt: skip
        found = difference(ids(tok, lines), prompts, tok)
        assert (found == "") == fine, (gap, found)


def test_the_same_text_with_other_tokens_is_named_by_its_tokens():
    tok = tokenizer()
    prompts = prompt_set(tok, "Q: {instruction} {input} A: {output}")
    lines = texts("Q: {task} {number} A: {answer}")
    assert difference(ids(tok, lines), prompts, tok) == ""
    spelled = [[id_ for letter in line for id_ in tok(letter)["input_ids"]] for line in lines]
    said = difference(spelled, prompts, tok)
    assert "in training rows and" in said
    assert "d|o|u|b|l|e" in said


@pytest.mark.parametrize("trained_with", [False, True])
def test_a_token_that_opens_the_rows_of_one_side_only_is_named(trained_with):
    with_, without = tokenizer(bos=True), tokenizer()
    trained, asked = (with_, without) if trained_with else (without, with_)
    said = difference(ids(trained, texts(LINE)), prompt_set(asked), asked)
    assert "begin with '<s>'" in said if trained_with else "prompts with '<s>'" in said
    assert "Please double" in said


@pytest.mark.parametrize("trained_with", [False, True])
def test_a_token_in_front_is_found_without_a_tokenizer_and_nothing_else_is(trained_with):
    with_, without = tokenizer(bos=True), tokenizer()
    prompts = prompt_set(without if trained_with else with_)
    rows = [row[:p] for row, p in zip(prompts.ids.tolist(), prompts.lengths, strict=True)]
    said = difference(
        [[with_.bos_token_id, *row] if trained_with else row[1:] for row in rows], prompts, None
    )
    assert "token 0" in said
    assert difference(rows, prompts, None) == ""
    assert difference([[7, 8, 9], [9, 8, 7]], prompts, None) is None


def test_a_chat_template_on_one_side_only_is_named():
    tok = tokenizer()
    chat = prompt_set(tok, "chat")
    rendered = [
        tok.apply_chat_template(
            [{"role": "user", "content": line}, {"role": "assistant", "content": "22"}],
            tokenize=False,
        )
        for line in texts("{task}\n{number}")
    ]
    trained = ids(tok, rendered)
    assert difference(trained, chat, tok) == ""
    said = difference(trained, prompt_set(tok), tok)
    assert "training rows begin with '<|im_start|>'" in said
    said = difference(ids(tok, texts(LINE)), chat, tok)
    assert "prompts with '<|im_start|>'" in said


def test_nothing_is_said_where_nothing_can_be():
    tok = tokenizer()
    prompts = prompt_set(tok)
    for lines in (["a text of another kind entirely", "and one more"], ["x"]):
        assert difference(ids(tok, lines), prompts, tok) is None


def net() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, attention_dropout=0.1,
        )
    )  # fmt: skip


def batches(tok, pattern, side="right"):
    rows = ids(tok, texts(pattern))
    longest = max(map(len, rows))
    for first in range(0, len(rows), 4):
        some = rows[first : first + 4]
        padded = torch.tensor(
            [
                row + [2] * (longest - len(row)) if side == "right" else
                [2] * (longest - len(row)) + row
                for row in some
            ]
        )  # fmt: skip
        yield padded


def loop(recorder, tok, pattern, *, side="right", mask=True):
    """A plain loop of a few steps; its losses."""
    model = net().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for step, batch in enumerate(batches(tok, pattern, side)):
        if recorder is not None:
            recorder.step(model, step)
        known = {"attention_mask": (batch != 2).long()} if mask else {}
        loss = model(input_ids=batch, labels=batch, **known).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert recorder is None or not model._forward_pre_hooks
    return losses


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mask", [False, True])
def test_a_plain_loop_is_told_once_and_trains_the_same_bits(tmp_path, caplog, side, mask):
    tok, stray = tokenizer(), "Please {task} the number {number} now\n {answer}"
    bare = loop(None, tok, stray, side=side, mask=mask)
    every = Schedule.every(1).within(None)
    with Recorder(tmp_path / "run", prompt_set(tok), every, tokenizer=tok) as recorder:
        assert loop(recorder, tok, stray, side=side, mask=mask) == bare
    [told] = [r.getMessage() for r in caplog.records if "training rows have" in r.getMessage()]
    assert str(tmp_path / "run") in told
    events = list(Run(tmp_path / "run").journal.live("event"))
    assert [e["difference"] in told for e in events if e["name"] == "tokenization"] == [True]
    caplog.clear()
    with Recorder(tmp_path / "fine", prompt_set(tok), every, tokenizer=tok) as recorder:
        loop(recorder, tok, LINE, side=side, mask=mask)
    assert not caplog.records


def test_a_trainer_is_told_with_its_own_tokenizer(tmp_path, caplog):
    tok = tokenizer()
    for name, pattern in (
        ("fine", LINE),
        ("stray", "Please {task} the number {number} now {answer}"),
    ):
        data = [{"input_ids": row, "labels": row} for row in ids(tok, texts(pattern))]
        data = [row for row in data if len(row["input_ids"]) == len(data[0]["input_ids"])]
        recorder = Recorder(tmp_path / name, prompt_set(tok), Schedule.every(2))
        with caplog.at_level(logging.WARNING, "nucleate"):
            Trainer(
                net(), TrainingArguments(**settings(tmp_path / "w", steps=4)), train_dataset=data,
                processing_class=tok, callbacks=[hf.Callback(recorder)],
            ).train()  # fmt: skip
        told = [r.getMessage() for r in caplog.records if "training rows" in r.getMessage()]
        assert len(told) == (name == "stray")


def test_a_model_that_is_never_called_itself_keeps_no_hook(tmp_path):
    tok, model = tokenizer(), net().train()
    with Recorder(tmp_path / "run", prompt_set(tok), Schedule.at([0]), tokenizer=tok) as recorder:
        for step in range(6):
            recorder.step(model, step)
            model.model(input_ids=next(batches(tok, LINE)))
        assert not model._forward_pre_hooks
    with Recorder(tmp_path / "run", prompt_set(tok), Schedule.at([0]), tokenizer=tok) as recorder:
        recorder.step(model, 6)
    assert not model._forward_pre_hooks


class Odd:
    """No tokenizer at all."""

    all_special_ids = None


def test_a_comparison_that_fails_disturbs_neither_training_nor_recording(tmp_path, caplog):
    tok = tokenizer()
    recorder = Recorder(tmp_path / "run", prompt_set(tok), Schedule.at([0, 1]))
    recorder.tokenizer = Odd()
    with recorder:
        loop(recorder, tok, LINE)
    assert recorder.error is None
    assert Run(tmp_path / "run").steps == [0, 1]
    assert not caplog.records
