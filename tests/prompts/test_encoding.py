import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from nucleate._core.errors import BadInput
from nucleate.prompts import Encoder
from nucleate.tasks import (
    geo,
    synthetic,
    tokenizer_hash,
    train_tokenizer,
)

SYNTHETIC = synthetic(seed=0)
GEO = geo(wordings_per_pair=1, seed=0)
GEO_TOKENIZER = train_tokenizer(GEO, 1024)
NATURAL = Encoder.for_taskset(GEO_TOKENIZER, GEO)


def test_padding_is_zero_and_the_specials_come_first():
    for taskset in (SYNTHETIC, GEO):
        tokenizer = train_tokenizer(taskset)
        ids = [tokenizer.token_to_id(t) for t in ("<pad>", "<sep>", "<cue>", "<end>", "<unk>")]
        assert ids == [0, 1, 2, 3, 4]


def test_one_symbol_is_one_token_and_so_is_each_atom():
    encoder = Encoder.for_taskset(train_tokenizer(SYNTHETIC), SYNTHETIC)
    assert not encoder.end
    for row in SYNTHETIC.examples[::50]:
        ids, _ = encoder.prompt(row.instruction, row.input)
        assert len(ids) == len(row.instruction) + 2
        assert len(encoder.answer_part(row.output)) == 1
        assert encoder.decode([*ids, *encoder.answer_part(row.output)]) == (
            row.instruction + row.input + row.output
        )
    atoms = {encoder.answer_part(atom)[0] for atom in SYNTHETIC.atoms}
    assert len(atoms) == len(SYNTHETIC.atoms)
    assert encoder.unk_id not in atoms


@given(st.text())
def test_natural_text_comes_back_unchanged_whatever_it_is(text):
    encoder = NATURAL
    assert encoder.decode(encoder.answer_part(text)) == text


@pytest.mark.parametrize("text", ["<sep>", "a<end>b", "<pad><cue>"])
def test_special_tokens_written_in_a_text_stay_text(text):
    for encoder in (NATURAL, Encoder.for_taskset(train_tokenizer(SYNTHETIC), SYNTHETIC)):
        ids = encoder.answer_part(text)
        assert not {0, 1, 2, 3} & set(ids[: len(ids) - encoder.end])


def test_parts_stand_in_the_order_of_the_contract():
    tokenizer = train_tokenizer(SYNTHETIC)
    a, x, y = (tokenizer.token_to_id(token) for token in ("a", "x0", "y0"))
    before = Encoder(tokenizer, order="before", cue=False, end=False)
    assert before.prompt("aa", "x0") == ([a, a, 1, x], {"instruction_end": 2, "last": 3})
    cued = Encoder(tokenizer, order="before", cue=True, end=True)
    assert cued.prompt("aa", "x0") == ([a, a, 1, x, 2], {"instruction_end": 2, "last": 4})
    assert cued.answer_part("y0") == [y, 3]
    after = Encoder(tokenizer, order="after", cue=True, end=False)
    assert after.prompt("aa", "x0") == ([x, 1, a, a, 1, 2], {"instruction_end": 4, "last": 5})


def test_answers_of_several_tokens_get_an_end():
    assert NATURAL.end
    assert NATURAL.answer_part("Europe/Berlin")[-1] == NATURAL.end_id


def test_the_tokenizer_itself_adds_nothing():
    for taskset in (SYNTHETIC, GEO):
        tokenizer = train_tokenizer(taskset)
        assert tokenizer.encode("ab").ids == tokenizer.encode("ab", add_special_tokens=False).ids
        assert not {0, 1, 2, 3} & set(tokenizer.encode("ab").ids)


def test_one_set_gives_one_tokenizer():
    assert tokenizer_hash(GEO_TOKENIZER) == tokenizer_hash(train_tokenizer(GEO, 1024))
    assert tokenizer_hash(train_tokenizer(SYNTHETIC)) != tokenizer_hash(GEO_TOKENIZER)


def test_longer_atoms_are_not_cut_at_shorter_ones():
    taskset = synthetic(tasks=30, seed=0)
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    assert len(encoder.answer_part("y149")) == 1


def test_what_has_no_room_or_no_specials_is_refused():
    with pytest.raises(BadInput, match="vocab_size is 200"):
        train_tokenizer(GEO, 200)
    bare = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(BadInput, match="'<pad>'"):
        Encoder(bare, order="before", cue=False, end=False)
