from dataclasses import replace

import pytest

from intervene.handmade import handmade, rows
from nucleate import BadInput
from nucleate.intervene import dose_response, look_closely, redirections
from nucleate.intervene._doses import DOSES

CODE = {"stream": "block.1", "position": "last"}
DECOY = {"stream": "block.1", "position": "instruction_end"}


@pytest.fixture(scope="module")
def net():
    return handmade()


def curve(table, edit, column="redirected"):
    rows_ = table[table["edit"] == edit].set_index("dose")
    return rows_[column]


def test_a_code_that_decides_is_turned_by_a_whole_dose_and_by_no_half(net):
    """mu_B - mu_A takes one code away and gives the other: at half a dose they are even."""
    table = dose_response(net, rows(), **CODE)
    shift = curve(table, "shift")
    assert tuple(shift.index) == DOSES
    assert shift[[0.0, 0.25]].tolist() == [0, 0]
    assert shift[[0.75, 1.0, 1.5]].tolist() == [1, 1, 1]
    assert curve(table, "shift", "accuracy")[0.0] == 1
    assert curve(table, "shift", "accuracy")[1.0] == 0
    assert (curve(table, "random_direction")[:1.0] == 0).all()
    assert (table["redirected_low"] <= table["redirected"]).all()
    assert (table["redirected"] <= table["redirected_high"]).all()
    assert table["chance"].tolist() == pytest.approx([1 / 3] * len(table))  # one of three others


def test_a_decoy_takes_any_dose(net):
    table = dose_response(net, rows(), **DECOY)
    assert (table["redirected"] == 0).all()
    assert (table["accuracy"] == 1).all()


def test_far_doses_leave_the_norms_of_the_data(net):
    beyond = curve(dose_response(net, rows(), **CODE), "shift", "beyond")
    assert beyond[1.0] == 0
    assert beyond[3.0] == 1


def test_every_task_becomes_every_other_one_and_none_itself(net):
    table = redirections(net, rows(), **CODE)
    assert len(table) == 4 * 3
    assert (table["task"] != table["target"]).all()
    assert (table[["redirected", "low", "high"]] == 1).all(axis=None)
    assert (table["rows"] == 5 * 4).all()
    assert (redirections(net, rows(), **DECOY)["redirected"] == 0).all()


def test_the_tables_are_files_of_the_folder(net, tmp_path):
    look_closely(net, rows(), *CODE.values(), folder=tmp_path, rows=40)
    names = ["causal_doses.csv", "causal_redirections.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_places_and_probes_that_cannot_be_asked_are_refused_in_a_sentence(net):
    with pytest.raises(BadInput, match=r"no stream named 'block\.9'"):
        dose_response(net, rows(), stream="block.9", position="last")
    with pytest.raises(BadInput, match="no position named 'middle'"):
        redirections(net, rows(), stream="block.1", position="middle")
    with pytest.raises(BadInput, match="is in training mode"):
        dose_response(handmade().train(), rows(), **CODE)
    alone = rows()
    own = {**alone.labels, "input": tuple(f"{n}" for n in range(len(alone)))}
    with pytest.raises(BadInput, match="needs inputs that tasks share"):
        dose_response(net, replace(alone, labels=own), **CODE)


def test_a_seed_decides_what_is_drawn(net):
    first, again = (dose_response(net, rows(), rows=40, seed=3, **CODE) for _ in range(2))
    assert first.equals(again)
    other = dose_response(net, rows(), rows=40, seed=4, **CODE)
    assert not other.equals(first)
