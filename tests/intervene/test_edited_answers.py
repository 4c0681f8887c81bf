"""The answers to every edit, kept so that edits can be shown without a model."""

from pathlib import Path

import numpy as np
import pytest

from intervene.handmade import handmade, pair, rows
from nucleate import BadInput, causal_map
from nucleate.intervene import EDITS, CausalMap


@pytest.fixture(scope="module")
def found() -> CausalMap:
    return causal_map(handmade(), rows())


@pytest.fixture
def folder(found: CausalMap, tmp_path: Path) -> Path:
    found.save(tmp_path)
    return tmp_path


def test_the_answers_make_up_the_shares_of_the_edits(found):
    edits = found.edits.set_index(["stream", "position", "edit"])
    for (stream, position, edit), line in edits.iterrows():
        told = found.answers.at(stream, position, edit)
        lent = ~((edit in ("patch", "patch_subspace")) & (found.answers.target < 0))
        assert (told["answer"][lent] == "target").mean() == pytest.approx(line["redirected"])
        assert (told["answer"] == "own").mean() == pytest.approx(line["accuracy"])
        assert (told["token"] != told["clean_token"]).mean() == pytest.approx(line["flip"])


def test_tokens_are_those_that_the_construction_gives(found):
    told, prompts = found.answers, rows()
    task, x = (np.unique(prompts.labels[n], return_inverse=True)[1] for n in ("task", "input"))
    first = prompts.ids[0, 4]
    assert (told.clean_token == first + pair(task, x)[told.rows]).all()
    shifted = told.at("block.1", "last", "shift")
    assert (shifted["token"] == first + pair(told.target, x[told.rows])).all()
    assert (told.wanted[1, :, 0] == shifted["token"]).all()


def test_answers_come_back_as_they_were_and_are_read_when_asked_for(found, folder):
    again = CausalMap.load(folder)
    for name in ("rows", "target", "wanted", "clean", "clean_token", "answer", "token"):
        np.testing.assert_array_equal(getattr(again.answers, name), getattr(found.answers, name))
    assert (again.answers.streams, again.answers.edits) == (found.answers.streams, tuple(EDITS))
    late = CausalMap.load(folder)
    (folder / "causal_answers.safetensors").write_bytes(b"{")
    with pytest.raises(BadInput, match=r"cannot be read.*make the causal map again"):
        _ = late.answers


def test_they_take_three_bytes_per_row_edit_and_place(folder):
    size = (folder / "causal_answers.safetensors").stat().st_size
    assert size < 1.05 * 3 * 80 * len(EDITS) * 10 + 4000


def test_a_map_that_was_saved_without_answers_says_so(found, folder):
    (folder / "causal_answers.safetensors").unlink()
    old = CausalMap.load(folder)
    with pytest.raises(BadInput, match=r"saved without causal_answers\.safetensors"):
        _ = old.answers
    found.save(folder)
    old.save(folder)  # nobody's answers stay beside another map
    assert not (folder / "causal_answers.safetensors").exists()


def test_an_unknown_place_or_edit_is_refused_with_those_that_are_known(found):
    with pytest.raises(BadInput, match=r"no edit named 'shifts'.*choose one of shift"):
        found.answers.at("block.0", "last", "shifts")
    with pytest.raises(BadInput, match="no stream named"):
        found.answers.at("block.9", "last", "shift")
