"""Prompts with tokenizers that models come with."""

import copy
import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from nucleate._core.errors import BadInput
from nucleate.prompts import TextEncoder
from nucleate.tasks import tokenizer_hash, train_tokenizer
from small import material
from tasks.made import CHAT, CORPUS, STORIES, Slow, backend, fast, stories

KINDS = ("words", "bytes", "trimmed", "pieces")
ENCODERS = {
    (kind, bos): TextEncoder(fast(kind, bos=bos)) for kind in KINDS for bos in (False, True)
}
CHATS = {kind: TextEncoder(fast(kind, chat_template=CHAT), template="chat") for kind in KINDS[1:]}
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="<>{}\x00", exclude_categories=["Cc"])
    | st.sampled_from("the \nP.:é😀")
).filter(str.strip)


def _end(encoder: TextEncoder, instruction: str, input: str) -> tuple[str, str]:
    """What the tokens say up to the instruction's end, and up to the token before it."""
    ids, positions = encoder.prompt(instruction, input)
    end = positions["instruction_end"]
    assert positions["last"] == len(ids) - 1
    return encoder.decode(ids[: end + 1]), encoder.decode(ids[:end])


@pytest.mark.parametrize("kind", ["bytes", "trimmed", "pieces"])
@pytest.mark.parametrize("bos", [False, True])
@given(instruction=texts, input=st.just("") | texts)
@settings(max_examples=60, deadline=None)
def test_instruction_end_is_the_token_with_the_instructions_last_character(
    kind, bos, instruction, input
):
    said, before = _end(ENCODERS[kind, bos], instruction, input)
    whole = instruction.rstrip()
    # One token may hold what follows the end, such as a line break behind a full stop.
    assert said.startswith(whole)
    assert not said[len(whole) :].strip()
    assert not before.startswith(whole)


@pytest.mark.parametrize("kind", list(CHATS))
@given(instruction=texts, input=st.just("") | texts)
@settings(max_examples=60, deadline=None)
def test_in_a_chat_the_instruction_ends_within_the_users_message(kind, instruction, input):
    encoder = CHATS[kind]
    said, before = _end(encoder, instruction, input)
    opening = "<|user|>\n"
    whole = opening + instruction.strip()
    assert said.startswith(whole)
    assert not said[len(whole) :].strip()
    assert not before.startswith(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bos", [False, True])
@given(instruction=texts, input=st.just("") | texts)
@settings(max_examples=40, deadline=None)
def test_a_prompt_is_what_the_tokenizer_makes_of_the_whole_text(kind, bos, instruction, input):
    tokenizer = fast(kind, bos=bos)
    text = f"{instruction}\n{input}".rstrip() if input else instruction.rstrip()
    prompt = ENCODERS[kind, bos].encode_prompt(instruction, input)
    assert prompt.ids == tokenizer(text)["input_ids"]


@pytest.mark.parametrize(
    ("kind", "template"),
    [("bytes", "{instruction}\n{input}\n{output}"), ("bytes", "Q: {instruction} A:{output}"),
     ("bytes", "{instruction} Answer: {output}"), ("pieces", "{instruction}\n{output}"),
     ("pieces", "{instruction} Answer: {output}"), ("trimmed", "{instruction} {output}"),
     ("words", "{instruction} {output}")],
)  # fmt: skip
@pytest.mark.parametrize("output", ["Paris", "yes the", "Käse", "7 7"])
def test_an_answer_has_the_tokens_that_it_has_in_the_whole_text(kind, template, output):
    tokenizer = fast(kind, bos=True)
    encoder = TextEncoder(tokenizer, template=template)
    ids, _ = encoder.prompt("Is it true?", "")
    whole = template.replace("\n{input}", "").replace("{instruction}", "Is it true?")
    whole = whole.replace("{output}", output)
    assert ids + encoder.answer_part(output) == tokenizer(whole)["input_ids"]


def test_an_anchor_never_swallows_a_part_of_the_answer():
    """Unknown characters are fused into one token, with the anchor before them as well."""
    tokenizer = backend("words")
    tokenizer.pre_tokenizer = None
    encoder = TextEncoder(tokenizer, template="{instruction}{output}")
    assert encoder.answer_part("Paris") == [tokenizer.token_to_id("Paris")]
    assert encoder.answer_part("Oslo") == [0]


def _state(tokenizer) -> dict[str, object]:
    state = {
        name: copy.deepcopy(value)
        for name, value in vars(tokenizer).items()
        if name not in ("_tokenizer", "tokens_trie")
    }
    if tokenizer.is_fast:
        own = tokenizer.backend_tokenizer
        state |= {"json": own.to_str(), "special": own.encode_special_tokens}
    return state


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("template", [None, "chat"])
@pytest.mark.parametrize("make", [fast, Slow])
def test_a_users_tokenizer_is_left_as_it_was(side, template, make):
    tokenizer = make(padding_side=side, truncation_side=side, model_max_length=3)
    tokenizer.chat_template = CHAT
    tokenizer.pad_token = "</s>"
    if tokenizer.is_fast:
        # Padding and truncation stay switched on in the backend after such a call.
        tokenizer(["the", "the capital of France"], padding=True, truncation=True)
        assert tokenizer.backend_tokenizer.padding
    before = _state(tokenizer)
    encoder = TextEncoder(tokenizer, template=template)
    ids, _ = encoder.prompt("Name the capital", "of France")
    encoder.answer_part("Paris")
    encoder.decode(ids)
    encoder.encode_text("the then")
    assert encoder.vocab_size > 3
    assert len(ids) > 3
    assert _state(tokenizer) == before


@pytest.mark.parametrize("make", [fast, Slow])
def test_padding_and_truncation_settings_change_neither_tokens_nor_hash(make):
    plain, changed = make(), make(padding_side="left", truncation_side="left", model_max_length=2)
    changed.pad_token = changed.eos_token
    changed(["the", "the capital of France"], padding="longest", truncation=True)
    assert tokenizer_hash(plain) == tokenizer_hash(changed)
    one, other = TextEncoder(plain), TextEncoder(changed)
    assert one.prompt("Name the capital", "x") == other.prompt("Name the capital", "x")
    assert one.answer_part("the the the the") == other.answer_part("the the the the")


def test_the_hash_tells_tokenizers_and_chat_templates_apart():
    hashes = {tokenizer_hash(fast(kind, bos=bos)) for kind in KINDS for bos in (False, True)}
    hashes |= {tokenizer_hash(Slow()), tokenizer_hash(Slow(("th",)))}
    assert len(hashes) == 10
    chats = [fast(chat_template=CHAT + more) for more in ("", " ")]
    assert tokenizer_hash(chats[0]) == tokenizer_hash(chats[1]) == tokenizer_hash(fast())
    with_chat = {tokenizer_hash(chat, chat=True) for chat in chats}
    assert len(with_chat | {tokenizer_hash(fast())}) == 3


def test_a_tokenizer_of_the_library_keeps_its_hash_and_shares_it_with_one_around_it():
    own = backend("bytes")
    assert tokenizer_hash(own) == hashlib.sha256(own.to_str().encode()).hexdigest()
    around = fast()
    assert tokenizer_hash(around) == tokenizer_hash(around.backend_tokenizer)
    assert TextEncoder(own).prompt("the", "then")[0] == TextEncoder(around).prompt("the", "then")[0]


def test_specials_that_close_a_text_do_not_stand_between_prompt_and_answer():
    tokenizer = fast(bos=True, eos=True)
    encoder = TextEncoder(tokenizer)
    ids, positions = encoder.prompt("Name it", "")
    assert ids == tokenizer("Name it")["input_ids"][:-1]
    assert positions["last"] == len(ids) - 1
    assert encoder.encode_text("Name it").ids == tokenizer("Name it")["input_ids"]
    # One that the user's own text ends with is text, and stays.
    assert encoder.prompt("Name it </s>", "")[0][-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("template", "instruction", "input", "prompt", "answer"),
    [
        (None, "do", "x", "do\nx", "\nY"),
        (None, "do", "", "do", "\nY"),
        ("{instruction}", "do", "", "do", ""),
        ("{input}\n{instruction}\n{output}", "do", "", "do", "\nY"),
        ("In: {input}\nQ: {instruction} A: {output}.", "do", "", "Q: do A:", " Y."),
        ("In: {input}\nQ: {instruction} A: {output}.", "do", "x", "In: x\nQ: do A:", " Y."),
        ("Q: {instruction}\nIn: {input}\n\nA:{output}", "do", "", "Q: do\n\nA:", "Y"),
        ("{{{instruction}}} {output}", "do", "", "{do}", " Y"),
        (None, "do", "x \n", "do\nx", "\nY"),
        (None, "{input}", "{x", "{input}\n{x", "\nY"),
    ],
)
def test_templates_put_parts_together_and_leave_no_trace_of_a_missing_input(
    template, instruction, input, prompt, answer
):
    encoder = TextEncoder(fast(), template=template)
    ids, positions = encoder.prompt(instruction, input)
    assert encoder.decode(ids) == prompt
    assert encoder.decode(encoder.answer_part("Y")) == answer
    assert encoder.decode(ids[: positions["instruction_end"] + 1]).endswith(instruction)


@pytest.mark.parametrize(
    ("template", "said"),
    [("{instruction", "not a format string"), ("{question}", "other fields"),
     ("{instruction}{instruction}", "other fields"), ("{instruction!r}", "other fields"),
     ("{instruction:>9}", "other fields"), ("{}", "other fields"), ("{input}", "needs"),
     ("{output} {instruction}", "needs"), ("", "needs"), ("words", "needs")],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_refused(template, said):
    with pytest.raises(BadInput, match=said):
        TextEncoder(fast(), template=template)


def test_an_input_without_a_place_is_not_dropped_in_silence():
    with pytest.raises(BadInput, match="no place for the input 'x'"):
        TextEncoder(fast(), template="{instruction} {output}").prompt("do", "x")


@pytest.mark.parametrize("bos", [False, True])
def test_a_chat_has_the_tokens_of_its_template_and_no_others(bos):
    tokenizer = fast(bos=bos, eos=bos, chat_template=CHAT)
    encoder = TextEncoder(tokenizer, template="chat")
    ids, _ = encoder.prompt("Name it.", "cheese")
    messages = [{"role": "user", "content": "Name it.\ncheese"}]
    assert ids == tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert tokenizer.bos_token_id not in ids
    assert encoder.decode(encoder.answer_part("Paris")) == "Paris"


def test_words_that_the_template_uses_itself_are_not_taken_for_the_instruction():
    encoder = TextEncoder(fast(chat_template="a user says a: " + CHAT), template="chat")
    for instruction in ("a", "user", "assistant", "a\n\n", "  user"):
        said, _ = _end(encoder, instruction, "user a assistant")
        assert said.rstrip() == "a user says a: <|user|>\n" + instruction.strip()


def test_a_chat_template_that_changes_or_refuses_messages_is_named():
    loud = CHAT.replace("| trim", "| upper")
    encoder = TextEncoder(fast(chat_template=loud), template="chat")
    with pytest.raises(BadInput, match="chat template that changes the message"):
        encoder.prompt("do", "x")
    assert encoder.decode(encoder.encode_prompt("do", "x").ids).startswith("<|user|>\nDO")
    refusing = "{{ raise_exception('no users here') }}"
    with pytest.raises(BadInput, match=r"messages of user \(no users here"):
        TextEncoder(fast(chat_template=refusing), template="chat").prompt("do", "x")


def test_a_tokenizer_without_a_chat_template_or_with_too_many_is_refused():
    with pytest.raises(BadInput, match="no chat template"):
        TextEncoder(fast(), template="chat")
    with pytest.raises(BadInput, match="no chat template"):
        TextEncoder(backend("bytes"), template="chat")
    several = fast(chat_template={"one": CHAT, "two": CHAT})
    with pytest.raises(BadInput, match="several chat templates"):
        TextEncoder(several, template="chat")
    named = fast(chat_template={"default": CHAT, "two": "x"})
    encoder = TextEncoder(named, template="chat")
    assert encoder.tokenizer_hash == tokenizer_hash(fast(chat_template=CHAT), chat=True)


@pytest.mark.parametrize("wrong", ["gpt2", None, 3, dict])
def test_what_is_no_tokenizer_is_refused(wrong):
    with pytest.raises(BadInput, match="give a Hugging Face tokenizer"):
        TextEncoder(wrong)


def test_slow_tokenizers_find_the_end_where_one_token_holds_it():
    plain = TextEncoder(Slow(("th",)))
    ids, positions = plain.prompt("the th", "x")
    assert ids[0] == 1
    assert plain.decode(ids[: positions["instruction_end"] + 1]) == "the th"
    assert plain.decode(plain.answer_part("th")) == "\nth"
    over = TextEncoder(Slow(("th", "e\nx")))
    ids, positions = over.prompt("the", "xy")
    assert over.decode(ids[: positions["instruction_end"] + 1]) == "the\nx"

    wide = TextEncoder(Slow(("he\n",)))
    ids, positions = wide.prompt("the", "x")
    assert wide.decode(ids[: positions["instruction_end"] + 1]) == "the\n"


def test_slow_tokenizers_refuse_an_end_that_they_cannot_tell():
    torn = TextEncoder(Torn())
    with pytest.raises(BadInput, match="a tokenizer without offsets cannot tell"):
        torn.prompt("the", "x")
    assert torn.decode(torn.encode_prompt("the", "x").ids) == "x\neht"


class Torn(Slow):
    """Writes a text from its end, so that no beginning of a text is a beginning of its tokens."""

    def _tokenize(self, text: str, **_: object) -> list[str]:
        return [*super()._tokenize(text)][::-1]


def test_a_special_token_in_a_text_is_what_the_tokenizer_makes_of_it():
    for split in (False, True):
        tokenizer = fast(split_special_tokens=split)
        text = "the </s> then"
        ids = TextEncoder(tokenizer).prompt(text, "")[0]
        assert ids == tokenizer(text)["input_ids"]
        assert (tokenizer.eos_token_id in ids) != split


@pytest.mark.skipif(not STORIES.exists(), reason="the shared data is not here")
@given(st.sampled_from(CORPUS), st.sampled_from(["", "Lily 😀", "a big, red ball\n"]))
@settings(max_examples=15, deadline=None)
def test_a_real_tokenizer_with_a_space_before_every_text(instruction, input):
    tokenizer = stories()
    encoder = TextEncoder(tokenizer)
    ids, positions = encoder.prompt(instruction, input)
    assert encoder.max_length == 512
    assert encoder.vocab_size == 512
    assert ids[0] == tokenizer.bos_token_id
    assert encoder.decode(ids[: positions["instruction_end"] + 1]) == instruction
    text = "\n".join(part.rstrip() for part in (instruction, input, "She said") if part)
    assert ids + encoder.answer_part("She said") == tokenizer(text)["input_ids"]


def test_a_template_that_writes_the_date_still_shows_where_the_instruction_is():
    dated = "{{ strftime_now('%Y') }}" + CHAT
    encoder = TextEncoder(fast(chat_template=dated), template="chat")
    said, _ = _end(encoder, "do", "x")
    assert said == f"{datetime.now(tz=UTC).astimezone().year}<|user|>\ndo"


def test_what_is_done_to_a_tokenizer_later_does_not_change_an_encoder():
    tokenizer = fast()
    encoder = TextEncoder(tokenizer)
    tokenizer.backend_tokenizer.add_tokens(["capital of"])
    assert (
        encoder.prompt("the capital of", "")[0]
        == TextEncoder(fast()).prompt("the capital of", "")[0]
    )


def test_a_tokenizer_that_transformers_wraps_is_still_the_probes_own():
    taskset, _, prompts = material()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(taskset))
    prompts.check_tokenizer(wrapped)
