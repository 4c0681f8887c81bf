"""Rows as people have them: texts with a class, one instruction a task, words of one's own.

The model is the one whose every weight is set by hand, so that it is known what each place does.
"""

from dataclasses import replace

import numpy as np
import pytest

from intervene.handmade import handmade, rows
from nucleate import PromptSet, causal_map
from nucleate.findings import judge_places, rows_to_decide
from nucleate.intervene import dose_response, redirections
from nucleate.intervene._outlook import time_needed
from small import material, model


def chosen(prompts: PromptSet, keep: np.ndarray, **labels) -> PromptSet:
    """Some rows of a prompt set, with other labels."""
    at = np.flatnonzero(keep)
    own = {name: tuple(np.array(column)[at].tolist()) for name, column in labels.items()}
    some = prompts.take(at)
    return replace(some, labels=some.labels | own)


def texts_with_a_class(form: str) -> PromptSet:
    """A word tells the task, and nothing stands beside it: the input token is always the same."""
    prompts = rows()
    words, count = prompts.labels["instruction"], len(prompts)
    labels = {
        "no input": {"input": ("",) * count},
        "one input": {},
        "one instruction": {"instruction": ("Classify.",) * count, "input": words},
        "no instruction": {"instruction": ("",) * count, "input": words},
        "split": {"input": ("",) * count, "split": ("mine", "yours") * (count // 2)},
    }[form]
    return chosen(prompts, np.array(prompts.labels["input"]) == "x0", **labels)


@pytest.mark.parametrize(
    "form", ["no input", "one input", "one instruction", "no instruction", "split"]
)
def test_texts_with_a_class_are_asked_and_the_code_that_decides_is_found(form):
    prompts, said = texts_with_a_class(form), []
    found = causal_map(handmade(), prompts, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("the text alone tells the task, without an input beside it")
    assert (found.table["not_asked"] == "").all()
    table = judge_places(found).set_index(["position", "stream"])
    for stream in ("block.0", "block.1", "block.2", "final_norm"):
        place = table.loc["last", stream]
        assert (place["accuracy"], place["shift"], place["patch"]) == (1, 1, 1)
        assert place["other_input"] == place["wrong_task"] == place["random_erase"] == 0
        assert place["erase"] >= 0.75  # at most one task keeps its answer
        assert place["verdict"] == "used"
    for stream in ("block.0", "block.1", "block.2"):
        decoy = table.loc["instruction_end", stream]
        assert decoy["shift"] == decoy["patch"] == decoy["erase"] == 0
        assert decoy["verdict"] == "present but not used"
    assert table.loc["last", "embed"]["verdict"] == "absent"
    place = {"stream": "block.0", "position": "last"}
    doses = dose_response(handmade(), prompts, **place, doses=(0.0, 1.0))
    assert doses["redirected"].tolist()[:2] == [0, 1]
    assert (redirections(handmade(), prompts, **place)["redirected"] == 1).all()


def test_what_is_fitted_on_texts_with_a_class_never_comes_from_the_text_it_is_applied_to():
    from nucleate.intervene._cast import cast

    roles = cast(texts_with_a_class("no input"), None, np.random.default_rng(0))
    assert roles.folds == 5
    assert len(set(zip(roles.string, roles.fold, strict=True))) == len(set(roles.string))
    assert (roles.string[roles.other] != roles.string[roles.tested]).all()
    assert (roles.task[roles.other] == roles.task[roles.tested]).all()


def test_one_instruction_a_task_is_asked_and_the_rows_that_would_decide_are_said_before():
    prompts = rows()
    first = np.array([name.endswith(" 0") for name in prompts.labels["instruction"]])
    said = []
    found = causal_map(handmade(), chosen(prompts, first), say=said.append)
    assert said == [
        "use stays undecided at every place: the 16 tested rows that decide have 4 instruction "
        "strings, and verdicts need 20; about 80 rows, with instructions as varied as these, would "
        "suffice"
    ]
    table = judge_places(found)
    code = table[(table["position"] == "last") & (table["stream"] == "block.0")].iloc[0]
    assert (code["shift"], code["patch"], code["erase"]) == (1, 1, 0.75)
    assert (table["use"] == "undecided").all()
    assert rows_to_decide(table).startswith("use is undecided at 10 of 10 places; if the effects")
    enough = judge_places(causal_map(handmade(), prompts, say=said.append))
    assert len(said) == 1
    assert (enough["use"] != "undecided").sum() == 8


def test_two_tasks_have_no_third_answer_and_are_asked_about_removal_alone():
    prompts, said = rows(), []
    two = chosen(prompts, np.isin(prompts.labels["task"], ["task 0", "task 1"]))
    table = causal_map(handmade(), two, say=said.append).table
    reason = "no input has different answers of three tasks"
    assert any(each.startswith("shift and patch cannot decide: " + reason) for each in said)
    assert table["not_asked"].str.startswith(f"shift and patch: {reason}").all()
    assert table[["shift", "shift_excess_low", "patch"]].isna().all().all()
    assert table[["erase", "erase_excess_low"]].notna().all().all()


def test_more_tasks_than_dimensions_are_asked_about_all_but_removal():
    prompts, said = material()[2], []
    strings = prompts.labels["instruction"]
    many = replace(prompts, labels=prompts.labels | {"task": strings})
    net = model(width=8).eval()
    assert len(set(strings)) > 8
    found = causal_map(net, many, rows=12, say=said.append)
    assert any("tasks can span all dimensions of the states" in each for each in said)
    names = ["erase", "random_erase", "displaced", "ablate", "erase_onward", "erase_excess_low"]
    assert found.table[names].isna().all().all()
    assert found.table["not_asked"].str.contains("erase: ").all()
    assert (found.table["erase_strings"] == 0).all()
    judge_places(found)


def test_reasons_come_back_from_files_and_maps_of_earlier_versions_have_none(tmp_path):
    from nucleate.intervene import CausalMap

    prompts = rows()
    two = chosen(prompts, np.isin(prompts.labels["task"], ["task 0", "task 1"]))
    found = causal_map(handmade(), two, rows=8, say=lambda _: None)
    found.save(tmp_path)
    again = CausalMap.load(tmp_path)
    assert again.table["not_asked"].tolist() == found.table["not_asked"].tolist()
    assert again.about["remarks"] == found.about["remarks"]
    earlier = replace(found, table=found.table.drop(columns="not_asked"), about={})
    assert rows_to_decide(judge_places(earlier)) is not None


def test_minutes_are_said_where_there_are_some():
    assert time_needed(59.0) is None
    assert time_needed(1260.0) == "the causal map takes about 21 minutes"
