"""Prompt and answer have the tokens of their whole text, wherever its spaces are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from nucleate.prompts import PromptSet, TextEncoder
from tasks.made import CORPUS, STORIES, Slow, fast, stories

KINDS = ("words", "bytes", "trimmed", "pieces")
words = st.sampled_from(["the", "Paris", "Name it.", "yes", "7", "é", "then?", "a:"])
spaces = st.sampled_from(["", " ", "\n", "  ", " \n"])


def _pair(tokenizer: object, prompt: str, completion: str) -> tuple[list[int], list[int]]:
    found, answer = TextEncoder(tokenizer).encode_completion(prompt, completion)
    return found.ids, answer


@pytest.mark.parametrize("kind", KINDS)
@given(start=words, before=spaces, after=spaces, end=words)
@settings(max_examples=80, deadline=None)
def test_the_ids_of_prompt_and_answer_are_those_of_the_whole_text(kind, start, before, after, end):
    tokenizer = fast(kind, bos=True)
    if kind == "words" and not before + after:
        before = " "  # else the whole text is one unknown word
    prompt, answer = _pair(tokenizer, start + before, after + end)
    assert prompt + answer == tokenizer(start + before + after + end)["input_ids"]
    decode = TextEncoder(tokenizer).decode
    # White space goes where the tokenizer puts it; all other text stays on its side.
    if kind != "words" and not TextEncoder(tokenizer).encode_completion(start, end)[0].torn:
        assert decode(prompt).strip() == start
        assert decode(answer).strip() == end


@pytest.mark.parametrize(
    ("prompt", "completion", "last", "first"),
    [
        ("Name the capital of", " France", " of", " France"),
        ("Name the capital of ", "France", " of", " France"),
        ("Name the capital", "\nof", " capital", "\n"),
    ],
)
def test_a_space_is_the_answers_wherever_it_was_written(prompt, completion, last, first):
    tokenizer = fast()
    ids, answer = _pair(tokenizer, prompt, completion)
    assert (tokenizer.decode(ids[-1]), tokenizer.decode(answer[0])[: len(first)]) == (last, first)


def _merging(*merges: tuple[str, str]) -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*letters, *("".join(m) for m in merges)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_a_token_with_text_of_both_is_the_answers_and_that_is_said():
    tokenizer = _merging((":", "/"))
    rows = [{"prompt": "go:", "completion": "/x"}, {"prompt": "go", "completion": ":/x"}]
    with pytest.warns(UserWarning, match=r"in 1 of 2 rows \(row 0 first\) one token holds"):
        prompts = PromptSet.from_records(rows, tokenizer)
    assert prompts.prompt_lengths.tolist() == [2, 2]
    assert prompts.ids[0].tolist() == prompts.ids[1].tolist() == tokenizer("go:/x")["input_ids"]
    assert prompts.positions["instruction_end"].tolist() == [1, 1]


def test_a_line_break_that_joins_the_prompts_last_token_is_the_prompts():
    tokenizer = _merging((".", "Ċ"))
    row = {"instruction": "go.", "output": "x"}
    prompts = PromptSet.from_records([row], tokenizer)
    assert tokenizer.decode(prompts.ids[0, : prompts.prompt_lengths[0]]) == "go.\n"
    assert prompts.positions["instruction_end"][0] == prompts.prompt_lengths[0] - 1
    assert prompts.ids[0].tolist() == tokenizer("go.\nx")["input_ids"]


def test_a_prompt_that_is_all_in_one_token_with_its_answer_keeps_its_own():
    tokenizer = _merging(("g", "o"))
    prompt, answer = _pair(tokenizer, "g", "o")
    assert (prompt, answer) == (tokenizer("g")["input_ids"], tokenizer("o")["input_ids"])


def test_a_slow_tokenizer_divides_the_whole_text_as_well():
    tokenizer = Slow(("the", " yes", ".\n", ":/"))
    for prompt, completion, cut in [
        ("the", " yes", "the"), ("the ", "yes", "the"), ("the.", "\nyes", "the.\n"),
        ("the:", "/x", "the"),
    ]:  # fmt: skip
        ids, answer = _pair(tokenizer, prompt, completion)
        assert ids + answer == tokenizer(prompt + completion)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == cut


@pytest.mark.skipif(not STORIES.exists(), reason="the shared data is not here")
@given(st.sampled_from(CORPUS), spaces, spaces, st.sampled_from(["Lily", "a big dog", "."]))
@settings(max_examples=40, deadline=None)
def test_a_real_sentencepiece_tokenizer_sees_the_whole_text(start, before, after, end):
    prompt, answer = _pair(stories(), start + before, after + end)
    assert prompt + answer == stories()(start + before + after + end)["input_ids"]
