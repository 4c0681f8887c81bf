"""What `generate` is told decides which token is the prompt's last, however it goes about it.

The oracle is one pass over the prompt and the text that was written, edited at tokens that are
counted from the front: nothing in it has to find out where the prompt ends.
"""

import functools
import inspect
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    StaticCache,
    TextIteratorStreamer,
    pipeline,
)

import nucleate as nc
from activations import architectures
from nucleate.intervene import Onwards, knock_out, patch, shift

STORIES = Path(__file__).parents[3] / "shared" / "data" / "model_stories260k"
NEW = 6
BY = 3 * torch.randn(2, 32, generator=torch.Generator().manual_seed(2))
PROMPT = torch.tensor([[5, 6, 7, 8, 9, 5, 6, 7, 8, 9, 5, 6]])
ROWS = (PROMPT[0], PROMPT[0, :7] + 3)


@pytest.fixture(scope="module")
def net():
    return build()


def build(name: str = "llama", **more):
    made = architectures.build(name, **more)
    made.generation_config.pad_token_id = 0
    return made


def cache_of(net) -> str:
    """What the forward pass calls a cache; its name changed in transformers 5.24."""
    known = inspect.signature(type(net).forward).parameters
    return "cache" if "cache" in known else "past_key_values"


def written(net, row: torch.Tensor, by: torch.Tensor, onwards: bool) -> torch.Tensor:
    """Greedy text, token by token in passes over all of it, edited at tokens from the front."""
    ids, last = row[None], len(row) - 1
    for _ in range(NEW):
        with (
            torch.no_grad(),
            shift(net, stream="block.1", position=Onwards(last) if onwards else last, by=by),
        ):
            token = net.forward(input_ids=ids).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, token[None]], 1)
    return ids[0, len(row) :]


def batch() -> dict[str, torch.Tensor]:
    """Both rows, padded on the left."""
    longest = max(map(len, ROWS))
    ids, mask = torch.zeros(2, 2, longest, dtype=torch.long)
    for number, row in enumerate(ROWS):
        ids[number, longest - len(row) :], mask[number, longest - len(row) :] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


# How one row can be generated: what is given to `generate` beside it.
WAYS = {
    "plain": {},
    "prompt lookup": {"prompt_lookup_num_tokens": 3},
    "assistant": {"assistant_model": "another"},
    "assisted by itself": {"assistant_model": "itself"},
    "chunks": {"prefill_chunk_size": 5},
    "chunks that end with the prompt": {"prefill_chunk_size": 4},
    "chunks of one": {"prefill_chunk_size": 1},
    "chunk longer than the prompt": {"prefill_chunk_size": 50},
    "static": {"cache_implementation": "static"},
    "static chunks": {"cache_implementation": "static", "prefill_chunk_size": 5},
    "no cache": {"use_cache": False},
    "max_length": {"max_length": len(PROMPT[0]) + NEW, "max_new_tokens": None},
    "one beam": {"num_beams": 1, "num_return_sequences": 1},
    "scores": {"return_dict_in_generate": True, "output_scores": True},
    "hidden states": {"return_dict_in_generate": True, "output_hidden_states": True},
}
EDITS = pytest.mark.parametrize("onwards", [False, True], ids=["last", "onwards"])


def ask(net, given: dict, way: dict, generate=None) -> torch.Tensor:
    """The text that is written under whatever edit is in force."""
    others = {"another": lambda: build(seed=1), "itself": lambda: net}
    more = {name: others[value]() if name == "assistant_model" else value
            for name, value in way.items()}  # fmt: skip
    settings = {"max_new_tokens": NEW, "do_sample": False} | more
    out = (generate or net.generate)(**given, **settings)
    sequences = out if isinstance(out, torch.Tensor) else out.sequences
    start = given["input_ids"].shape[1] if "input_ids" in given else 0
    return sequences[:, start:]


def at_last(net, onwards: bool, by: torch.Tensor):
    return shift(net, stream="block.1", position=Onwards(-1) if onwards else "last", by=by)


@EDITS
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_the_prompts_last_token_is_edited_however_the_text_is_generated(arch, way, onwards):
    if arch == "gpt2" and "static" in way:
        pytest.skip("too short a list of positions for a static cache")
    net = build(arch)
    wanted = written(net, PROMPT[0], BY[0], onwards)
    assert not torch.equal(wanted, written(net, PROMPT[0], 0 * BY[0], onwards))
    with at_last(net, onwards, BY[0]):
        assert ask(net, {"input_ids": PROMPT}, WAYS[way])[0].tolist() == wanted.tolist()


@EDITS
@pytest.mark.parametrize(
    "way", ["plain", "chunks", "chunks of one", "static", "static chunks", "no cache"]
)
def test_rows_of_a_padded_batch_are_each_edited_at_their_own_last_token(net, way, onwards):
    wanted = [written(net, row, by, onwards).tolist() for row, by in zip(ROWS, BY, strict=True)]
    with at_last(net, onwards, BY):
        assert ask(net, batch(), WAYS[way]).tolist() == wanted
    if way == "plain":  # the mask is told by the padding
        with at_last(net, onwards, BY):
            assert ask(net, {"input_ids": batch()["input_ids"]}, {}).tolist() == wanted


@EDITS
@pytest.mark.parametrize("way", ["plain", "no cache", "chunks", "prompt lookup"])
@pytest.mark.parametrize("taken", ["bound", "partial", "class"])
def test_a_method_that_was_taken_before_the_edit_is_edited_alike(net, way, taken, onwards):
    generate = {
        "bound": lambda: net.generate,
        "partial": lambda: functools.partial(net.generate, temperature=None),
        "class": lambda: functools.partial(type(net).generate, net),
    }[taken]()
    wanted = written(net, PROMPT[0], BY[0], onwards)
    with at_last(net, onwards, BY[0]):
        found = ask(net, {"input_ids": PROMPT}, WAYS[way], generate)
        assert found[0].tolist() == wanted.tolist()
        # And once it is over a longer prompt is a prompt, not one that has grown.
        longer = torch.cat([PROMPT, found[:, :2]], 1)
        got = net(longer, use_cache=False).logits
    with shift(net, stream="block.1", position=Onwards(13) if onwards else 13, by=BY[0]):
        torch.testing.assert_close(net(longer, use_cache=False).logits, got)


@EDITS
@pytest.mark.parametrize("padded", [False, True])
def test_embeddings_in_place_of_tokens_are_a_prompt_as_well(net, padded, onwards):
    given = batch() if padded else {"input_ids": PROMPT}
    embeds = {"inputs_embeds": net.get_input_embeddings()(given["input_ids"]).detach()}
    embeds |= {"attention_mask": given["attention_mask"]} if padded else {}
    rows, by = (ROWS, BY) if padded else (PROMPT, BY[:1])
    wanted = [written(net, row, one, onwards).tolist() for row, one in zip(rows, by, strict=True)]
    with at_last(net, onwards, by):
        assert ask(net, embeds, {}).tolist() == wanted


@EDITS
@pytest.mark.parametrize("full", [True, False], ids=["all tokens", "new tokens"])
@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_cache_that_is_given_holds_the_beginning_of_the_prompt(net, kind, chunk, full, onwards):
    wanted = written(net, PROMPT[0], BY[0], onwards)
    cache = DynamicCache(config=net.config) if kind == "dynamic" else StaticCache(net.config, 30)
    name = cache_of(net)
    with torch.no_grad():
        net(PROMPT[:, :7], use_cache=True, **{name: cache})
    ids = PROMPT if full else PROMPT[:, 7:]
    given = {"input_ids": ids, "attention_mask": torch.ones_like(PROMPT)}
    with at_last(net, onwards, BY[0]):
        found = ask(net, given, {name: cache, "prefill_chunk_size": chunk})
    assert found[0].tolist() == wanted.tolist()


@pytest.mark.parametrize("position", ["last", Onwards(-1), "all", 3])
def test_beams_and_several_sequences_are_edited_as_copies_of_their_row(net, position):
    def texts(given, by) -> list[list[int]]:
        with shift(net, stream="block.1", position=position, by=by):
            return net.generate(
                **given, max_new_tokens=NEW, num_beams=3, num_return_sequences=2, do_sample=False
            )[:, given["input_ids"].shape[1] :].tolist()

    together = texts(batch(), BY)
    for number, row in enumerate(ROWS):
        assert together[2 * number : 2 * number + 2] == texts({"input_ids": row[None]}, BY[number])
    with shift(net, stream="block.1", position=position, by=BY):
        several = net.generate(**batch(), max_new_tokens=2, do_sample=True, num_return_sequences=3)
    assert len(several) == 6


def test_beams_get_the_states_of_the_same_beam_of_the_row_they_are_patched_with(net):
    for beams in (1, 3):
        settings = {"max_new_tokens": NEW, "do_sample": False, "num_beams": beams}
        plain = net.generate(**batch(), **settings)
        with patch(net, stream="block.1", position="all", rows=torch.tensor([0, 1])):
            assert net.generate(**batch(), **settings).tolist() == plain.tolist()
        both = {"input_ids": torch.stack([PROMPT[0], PROMPT[0] + 2])}
        settings["max_new_tokens"] = 1  # later passes read tokens that the patch has chosen
        plain = net.generate(**both, **settings)[:, 12:]
        with patch(net, stream="block.2", position="all", rows=[1, 0]):
            found = net.generate(**both, **settings)[:, 12:]
        assert found[0, 0] == plain[1, 0]
        assert found[1, 0] == plain[0, 0]


@EDITS
def test_sampled_text_is_that_of_the_same_draws_whatever_the_cache(net, onwards):
    found = []
    for way in ("plain", "no cache", "chunks", "static"):
        torch.manual_seed(0)
        with at_last(net, onwards, BY[0]):
            found.append(ask(net, {"input_ids": PROMPT}, WAYS[way] | {"do_sample": True}).tolist())
    assert all(text == found[0] for text in found)


@EDITS
def test_a_text_that_is_streamed_from_a_thread_is_edited_beside_passes_elsewhere(net, onwards):
    class Words:
        def decode(self, ids, **_) -> str:
            return "".join(f"{int(each)} " for each in ids)

    wanted = written(net, PROMPT[0], BY[0], onwards)
    streamer = TextIteratorStreamer(Words(), skip_prompt=True)
    settings = {"max_new_tokens": NEW, "do_sample": False, "streamer": streamer}
    with at_last(net, onwards, BY[0]):
        thread = threading.Thread(target=net.generate, args=(PROMPT,), kwargs=settings)
        thread.start()
        pieces = []
        for piece in streamer:
            pieces.append(piece)
            with torch.no_grad():  # another prompt in this thread, of another length
                net(PROMPT[:, :4], use_cache=False)
        thread.join()
    assert [int(word) for word in "".join(pieces).split()] == wanted.tolist()


@pytest.mark.parametrize("way", ["plain", "chunks", "static", "prompt lookup", "no cache"])
def test_attention_is_cut_from_the_prompts_last_token_however_the_text_is_generated(net, way):
    with knock_out(net, stream="block.1", query="last", key=[1, 2]):
        found = ask(net, {"input_ids": PROMPT}, WAYS[way])
    ids = PROMPT
    for _ in range(NEW):
        with torch.no_grad(), knock_out(net, stream="block.1", query=11, key=[1, 2]):
            ids = torch.cat([ids, net(ids, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    assert found[0].tolist() == ids[0, 12:].tolist()


@pytest.mark.parametrize("layers", [1, 2])
def test_a_model_that_drafts_with_its_own_early_layers_writes_the_same_text(net, layers):
    wanted = written(net, PROMPT[0], BY[0], True)
    with at_last(net, True, BY[0]):
        found = ask(net, {"input_ids": PROMPT}, {"assistant_early_exit": layers})
    assert found[0].tolist() == wanted.tolist()
    assert net.config.num_hidden_layers == 3


@pytest.mark.parametrize("arch", ["mistral", "gemma2", "jamba", "mamba", "lfm2", "bloom", "opt"])
@pytest.mark.parametrize("way", ["plain", "chunks", "static", "no cache", "prompt lookup"])
def test_windows_and_state_spaces_are_edited_as_in_one_pass_or_refuse_themselves(arch, way):
    net = build(arch)
    try:
        ask(net, {"input_ids": PROMPT}, WAYS[way])
    except (ValueError, TypeError, AttributeError, RuntimeError, IndexError):
        pytest.skip("the model itself cannot")
    if (
        ask(net, {"input_ids": PROMPT}, WAYS[way]).tolist()
        != ask(net, {"input_ids": PROMPT}, {"use_cache": False}).tolist()
    ):
        pytest.skip("the model itself writes another text so")
    wanted = written(net, PROMPT[0], BY[0], False)
    with at_last(net, False, BY[0]):
        assert ask(net, {"input_ids": PROMPT}, WAYS[way])[0].tolist() == wanted.tolist()


@pytest.mark.skipif(not STORIES.exists(), reason="the shared data is not here")
@EDITS
def test_a_pipeline_made_before_the_edit_edits_each_of_its_texts_at_its_end(onwards):
    net = AutoModelForCausalLM.from_pretrained(STORIES).eval()
    tokenizer = AutoTokenizer.from_pretrained(STORIES, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    write = pipeline("text-generation", model=net, tokenizer=tokenizer, device="cpu")
    texts = ["The cat sat. The cat sat. The cat", "Once upon a time", "Tom and Lily were"]
    by = 2 * torch.randn(net.config.hidden_size, generator=torch.Generator().manual_seed(0))
    settings = {"max_new_tokens": 8, "do_sample": False}
    with shift(net, stream="block.2", position=Onwards(-1) if onwards else "last", by=by):
        found = [each[0]["generated_text"] for each in write(texts, batch_size=3, **settings)]
        alone = []
        for text in texts:
            ids = tokenizer(text, return_tensors="pt")
            alone.append(tokenizer.decode(net.generate(**ids, **settings)[0], True))
    assert found == alone
    assert found != [each[0]["generated_text"] for each in write(texts, batch_size=3, **settings)]


def test_two_conversations_by_turns_keep_their_own_prompts(net):
    name = cache_of(net)
    rows = (PROMPT[:, :5], PROMPT[:, 3:12] + 1)
    caches = [DynamicCache(config=net.config) for _ in rows]
    new = torch.tensor([[11]])
    with torch.no_grad(), at_last(net, True, BY[0]):
        for row, cache in zip(rows, caches, strict=True):
            net(row, use_cache=True, **{name: cache})
        found = [net(new, use_cache=True, **{name: cache}).logits for cache in caches]
    for row, logits in zip(rows, found, strict=True):
        whole = torch.cat([row, new], 1)
        place = Onwards(row.shape[1] - 1)
        with torch.no_grad(), shift(net, stream="block.1", position=place, by=BY[0]):
            torch.testing.assert_close(net(whole, use_cache=False).logits[:, -1:], logits)


def test_a_second_text_beside_the_prompt_is_refused_unless_every_token_is_meant(net):
    settings = {"max_new_tokens": 3, "do_sample": False, "guidance_scale": 1.5}
    with (
        pytest.raises(nc.BadInput, match="another text beside the prompt"),
        at_last(net, False, BY[0]),
    ):
        net.generate(PROMPT, **settings)
    negative = {"negative_prompt_ids": torch.tensor([[9] * 20])}
    with (
        pytest.raises(nc.BadInput, match="another text beside the prompt"),
        at_last(net, False, BY[0]),
    ):
        net.generate(PROMPT, **settings, **negative)
    with shift(net, stream="block.1", position="all", by=BY[0]):
        net.generate(PROMPT, **settings)


def test_continuous_batching_is_refused_in_a_sentence(net):
    with (
        pytest.raises(nc.BadInput, match="continuous batching packs the tokens of many requests"),
        at_last(net, False, BY[0]),
    ):
        net.generate_batch([PROMPT[0].tolist()])


def test_the_model_keeps_its_own_methods_in_whatever_order_edits_end(net):
    own = dict(net.__dict__)
    first, second = at_last(net, False, BY[0]), at_last(net, True, BY[1])
    for one in (first, second):
        one.__enter__()
    before = ask(net, {"input_ids": PROMPT}, {})
    first.__exit__(None, None, None)
    with at_last(net, True, BY[1]):
        pass
    alone = ask(net, {"input_ids": PROMPT}, {})
    second.__exit__(None, None, None)
    assert net.__dict__.keys() == own.keys()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    with at_last(net, True, BY[1]):
        assert ask(net, {"input_ids": PROMPT}, {}).tolist() == alone.tolist() != before.tolist()
    with nullcontext():
        assert ask(net, {"input_ids": PROMPT}, {}).tolist() != alone.tolist()


def test_an_error_within_generate_leaves_the_next_prompt_right(net):
    def breaks(*_):
        raise RuntimeError("boom")

    wanted = written(net, PROMPT[0], BY[0], False)
    with at_last(net, False, BY[0]):
        try:
            net.generate(PROMPT[:, :5], max_new_tokens=3, logits_processor=[breaks])
        except RuntimeError:  # its frame is still alive in here
            found = ask(net, {"input_ids": PROMPT}, {"use_cache": False})
    assert found[0].tolist() == wanted.tolist()
