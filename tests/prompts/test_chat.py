"""Chats go to the tokenizer's own template whole, and what it cannot render is said."""

import json

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.prompts import PromptSet, TextEncoder
from tasks.made import CHAT, fast

# Reads all that templates of real models read beside role and content.
WIDE = (
    "{% if tools %}<tools>{{ tools | tojson }}</tools>\n{% endif %}"
    "{% for d in documents or [] %}<doc>{{ d.title }}: {{ d.text }}</doc>\n{% endfor %}"
    "{% for m in messages %}<|{{ m['role'] }}|>{{ '(' + m.name + ')' if m.name }}"
    "{{ '#' + m.tool_call_id if m.tool_call_id }}\n"
    "{{ '<think>' + m.reasoning_content + '</think>\n' if m.reasoning_content }}"
    "{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for part in m.content or [] %}{{ part.text }}{% endfor %}{% endif %}"
    "{% for c in m.tool_calls or [] %}"
    "<call>{{ c.function.name }} {{ c.function.arguments | tojson }}</call>{% endfor %}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n"
    "{% if enable_thinking is false %}<think></think>\n{% endif %}{% endif %}"
)
USER = {"role": "user", "content": "Name the capital."}
CALL = {
    "role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "look", "arguments": {"at": "map"}}}
    ],
}  # fmt: skip
RESULT = {"role": "tool", "tool_call_id": "1", "name": "look", "content": "Paris"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
PARTS = {"role": "user", "content": [{"type": "text", "text": "Name "}, {"type": "text",
         "text": "the capital."}]}  # fmt: skip


def _set(row: dict, template: str = WIDE, **settings: object) -> PromptSet:
    settings.setdefault("positions", ["instruction_end", "last"])
    return PromptSet.from_records([row], fast(bos=True, chat_template=template), **settings)


def _said(prompts: PromptSet, start: int, stop: int) -> str:
    return TextEncoder(fast()).decode(prompts.ids[0, start:stop].tolist())


def _answer(prompts: PromptSet) -> str:
    return _said(prompts, int(prompts.prompt_lengths[0]), int(prompts.lengths[0]))


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ([{**USER, "name": "ann"}], {}),
        ([USER, {"role": "assistant", "content": "Where?", "reasoning_content": "unclear"},
          {"role": "user", "content": "France."}], {}),
        ([USER, CALL, RESULT], {"tools": TOOLS}),
        ([USER, {"role": "assistant", "content": ""}, USER], {}),
        ([PARTS], {}),
        ([USER], {"documents": [{"title": "atlas", "text": "Paris"}]}),
        ([USER], {"chat_template_kwargs": {"enable_thinking": False}}),
        ([{"role": "system", "content": ""}, USER], {}),
        ([{"role": "developer", "content": "Be short."}, USER], {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_the_ids_of_a_chat_are_those_of_the_tokenizers_own_template(messages, more, as_json):
    row = {"messages": messages, **more}
    row = {name: json.dumps(value) for name, value in row.items()} if as_json else row
    tokenizer = fast(bos=True, chat_template=WIDE)
    options = {**more.get("chat_template_kwargs", {})} | {
        name: value for name, value in more.items() if name != "chat_template_kwargs"
    }
    wanted = tokenizer.apply_chat_template(messages, add_generation_prompt=True, **options)
    prompts = _set(row)
    assert prompts.ids[0].tolist() == wanted["input_ids"]
    assert prompts.lengths[0] == prompts.prompt_lengths[0]
    end = int(prompts.positions["instruction_end"][0]) + 1
    asked = "France." if "France." in str(messages) else "Name the capital."
    assert _said(prompts, 0, end).endswith(asked)
    assert set(prompts.labels) == {"instruction", "output"}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"role": "assistant", "content": "Paris"}, "Paris"),
        ({"role": "assistant", "content": "Paris", "reasoning_content": "France"},
         "<think>France</think>\nParis"),
        (CALL, '<call>look {"at": "map"}</call>'),
        ({**CALL, "content": "I look."}, 'I look.<call>look {"at": "map"}</call>'),
        ({"role": "assistant", "content": [{"type": "text", "text": "Paris"}]}, "Paris"),
    ],
)  # fmt: skip
def test_an_answer_is_what_the_template_writes_without_the_end_of_the_turn(answer, text):
    prompts = _set({"messages": [USER, answer]})
    assert _answer(prompts) == text
    tokenizer = fast(bos=True, chat_template=WIDE)
    whole = tokenizer.apply_chat_template([USER, answer])["input_ids"]
    length = int(prompts.lengths[0])
    assert prompts.ids[0, :length].tolist() == whole[:length]
    assert _set({"prompt": [USER], "completion": [answer]}) == prompts


# In the manner of models in the field: turns are opened, closed and stripped in several ways.
MANNERS = {
    "thinking": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and loop.last %}<think>\n"
        "{{ (m.reasoning_content or '') | trim }}\n</think>\n\n{% endif %}"
        "{{ m.content | trim }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
        "<think>\n\n</think>\n\nParis",
    ),
    "brackets": (
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] "
        "{{ m.content.strip() }} [/INST]{% else %} {{ m.content.strip() }} {{ eos_token }}"
        "{% endif %}{% endfor %}",
        " Paris",
    ),
    "no line behind the role": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}"
        "{% if loop.last and add_generation_prompt %}<|assistant|>{% endif %}{% endfor %}",
        "\nParis",
    ),
    "colons": (
        "{% for m in messages %}{{ m.role | title }}: {{ m.content }}\n\n{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% endif %}",
        " Paris",
    ),
}


@pytest.mark.parametrize("manner", list(MANNERS))
@pytest.mark.parametrize("kind", ["bytes", "trimmed", "pieces"])
def test_prompt_and_answer_are_the_beginning_of_what_the_template_makes_of_both(manner, kind):
    template, text = MANNERS[manner]
    tokenizer = fast(kind, bos=True, chat_template=template)
    answer = {"role": "assistant", "content": "Paris"}
    for before in ([USER], [USER, answer, {**USER, "content": "And of France?"}]):
        messages = [*before, answer]
        prompts = PromptSet.from_records([{"messages": messages}], tokenizer)
        start, stop = int(prompts.prompt_lengths[0]), int(prompts.lengths[0])
        whole = tokenizer.apply_chat_template(messages)["input_ids"]
        assert prompts.ids[0, :stop].tolist() == whole[:stop]
        opened = tokenizer.apply_chat_template(before, add_generation_prompt=True)["input_ids"]
        assert prompts.ids[0, :start].tolist() == opened
        decoder = TextEncoder(tokenizer)
        assert decoder.decode(prompts.ids[0, start:stop].tolist()).strip(" ") == text.strip(" ")
        end = int(prompts.positions["instruction_end"][0])
        said = decoder.decode(prompts.ids[0, : end + 1].tolist())
        assert said.rstrip().endswith(before[-1]["content"])


def test_an_answer_follows_the_prompt_where_the_template_drops_what_opens_it():
    opened = CHAT.replace("<|assistant|>\n{%", "<|assistant|>\n<think>\n{%")
    prompts = _set({"messages": [USER], "output": "Paris"}, opened)
    assert _said(prompts, 0, int(prompts.prompt_lengths[0])).endswith("<think>\n")
    assert _answer(prompts) == "Paris"


def test_a_begun_answer_belongs_to_the_prompt():
    begun = {"role": "assistant", "content": "It is"}
    kwargs = {"continue_final_message": True}
    prompts = _set({"messages": [USER, begun], "chat_template_kwargs": kwargs, "output": " Paris"})
    tokenizer = fast(bos=True, chat_template=WIDE)
    wanted = tokenizer.apply_chat_template([USER, begun], **kwargs)["input_ids"]
    assert prompts.ids[0, : prompts.prompt_lengths[0]].tolist() == wanted
    assert _answer(prompts) == " Paris"
    as_prompt = _set({"prompt": [USER, begun], "output": " Paris"})
    assert as_prompt == prompts
    bare = _set({"messages": [USER], "chat_template_kwargs": {"add_generation_prompt": False}})
    assert bare.ids[0].tolist() == tokenizer.apply_chat_template([USER])["input_ids"]


def test_shapes_of_other_libraries_give_the_same_rows():
    messages = [{"role": "system", "content": "Be short."}, USER,
                {"role": "assistant", "content": "Paris"}]  # fmt: skip
    wanted = _set({"messages": messages})
    turns = [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": "Paris"}]
    system = {"from": "system", "value": "Be short."}
    rejected = [*messages[:2], {"role": "assistant", "content": "Rome"}]
    for row in (
        {"conversations": [system, *turns]},
        {"conversations": messages},
        {"prompt": messages[:2], "completion": messages[2:]},
        {"messages": np.array(messages, dtype=object)},
    ):
        assert _set(row) == wanted
    with_system = _set({"conversations": turns, "system": "Be short."})
    np.testing.assert_array_equal(with_system.ids, wanted.ids)
    for row in (
        {"prompt": messages[:2], "chosen": messages[2:], "rejected": rejected[2:]},
        {"chosen": messages, "rejected": rejected},
    ):
        found = _set(row)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        assert found.labels["rejected"] == ("Rome",)
    calls = [{"from": "human", "value": "Name the capital."},
             {"from": "function_call", "value": '{"name": "look", "arguments": {"at": "map"}}'},
             {"from": "observation", "value": "Paris"}]  # fmt: skip
    look = {"type": "function", "function": {"name": "look", "arguments": {"at": "map"}}}
    call = {"role": "assistant", "content": None, "tool_calls": [look]}
    wanted = _set({"messages": [USER, call, {"role": "tool", "content": "Paris"}]})
    assert _set({"conversations": calls}) == wanted


def test_a_data_sets_chats_keep_no_keys_that_arrow_adds():
    datasets = pytest.importorskip("datasets")
    row = {"messages": [USER, CALL, RESULT], "tools": TOOLS}
    source = datasets.Dataset.from_list([row, {"messages": [USER], "tools": []}])
    prompts = PromptSet.from_records(source, fast(bos=True, chat_template=WIDE))
    np.testing.assert_array_equal(prompts.ids[0, : prompts.lengths[0]], _set(row).ids[0])


ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("row", "template", "said"),
    [
        ({"messages": [USER, USER]}, ALTERNATE, r"refuses messages of user, user \(roles must alt"),
        ({"messages": [USER]}, "{{ messages[0].name.first }}", "reads something .* do not have"),
        ({"messages": [USER]}, "{{ 1 + messages[0].content }}", "cannot render messages of user"),
        ({"messages": [USER]}, "{% for m in messages %}", "no valid template"),
        ({"messages": [PARTS]}, CHAT.replace(" | trim", ""), "writes the parts of the user's mess"),
        ({"messages": [PARTS]}, CHAT, "writes the parts of the user's message as code"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "image": "x"}]}]}, WIDE,
         "'image' as a part of a message"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, WIDE, "'x' as a part of a message"),
        ({"messages": [{"role": "user", "content": 3}]}, WIDE, "content = 3"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, WIDE, "half a character"),
        ({"messages": [USER], "tools": "look"}, WIDE, "tools = 'look', which is not JSON"),
        ({"messages": [USER], "tools": {"name": "look"}}, WIDE, "tools = .*: give a list"),
        ({"messages": [USER], "tools": ["look"]}, WIDE, "cannot render messages of user"),
        ({"messages": [USER], "chat_template_kwargs": [1]}, WIDE, "give an object"),
        ({"messages": [USER], "chat_template_kwargs": {"tokenize": True}}, WIDE, "cannot render"),
        ({"conversations": [{"from": "robot", "value": "x"}]}, WIDE, "a message from 'robot'"),
        ({"conversations": [{"value": "x"}]}, WIDE, "give each role and content"),
        ({"chosen": "a", "rejected": "b"}, WIDE, "no prompt: give the prompt in a column"),
        ({"chosen": [USER], "rejected": [RESULT]}, WIDE, "without a common beginning"),
        ({"prompt": None}, WIDE, "prompt = None: it must be a text"),
        ({"prompt": "the", "completion": "a", "output": "b"}, WIDE, "completion and output"),
    ],
)  # fmt: skip
def test_what_a_template_cannot_render_is_one_sentence_with_the_row(row, template, said):
    with pytest.raises(BadInput, match=f"row 0.*{said}") as raised:
        _set(row, template)
    assert "\n" not in str(raised.value)


def test_messages_after_texts_are_refused_and_texts_after_messages():
    rows = [{"prompt": "the"}, {"prompt": [USER]}]
    for given in (rows, rows[::-1]):
        with pytest.raises(BadInput, match="row 1"):
            PromptSet.from_records(given, fast(chat_template=WIDE), positions="last")


def test_a_user_message_without_text_has_no_end_of_an_instruction():
    row = {"messages": [{"role": "user", "content": ""}]}
    assert len(_set(row, positions="last")) == 1
    with pytest.raises(BadInput, match="row 0 has no instruction"):
        _set(row)
