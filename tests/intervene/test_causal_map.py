from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from intervene.handmade import handmade, rows
from nucleate import (
    BadInput,
    PromptSet,
    Recorder,
    Run,
    Schedule,
    causal_map,
    measure,
)
from nucleate.activations import capture
from nucleate.findings import judge_places, place_verdict
from nucleate.findings._rules import use_of
from nucleate.intervene import EDITS, CausalMap, dose_response
from nucleate.intervene._cast import NOBODY, cast
from nucleate.intervene._controls import Editor
from nucleate.panel import Permuted, SurfaceText
from nucleate.training import Batches, TrainingConfig, train
from small import material, model


@pytest.fixture(scope="module")
def by_hand():
    return causal_map(handmade(), rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    taskset, encoder, prompts = material()
    run = Run.create(tmp_path_factory.mktemp("run") / "run", prompts, {})
    config = TrainingConfig(steps=250, batch_size=64, learning_rate=1e-2, device="cpu")
    net = model("gpt2", width=32)
    with Recorder(run, None, Schedule.at([])) as recorder:
        batches = Batches(taskset, encoder, batch_size=64, seed=0)
        train(net, batches, config, run, recorder, seed=0)
    return net.eval()


def enough() -> PromptSet:
    """Prompts with enough instruction strings for a verdict."""
    taskset, encoder, _ = material()
    return PromptSet.from_taskset(taskset, encoder, rows=72, seed=0)


@pytest.fixture(scope="module")
def table(trained):
    return judge_places(causal_map(trained, enough(), seed=0))


def verdicts(found: CausalMap) -> dict[tuple[str, str], str]:
    table = judge_places(found)
    keys = zip(table["position"], table["stream"], strict=True)
    return dict(zip(keys, table["verdict"], strict=True))


def at(table: pd.DataFrame, stream: str, position: str) -> pd.Series:
    return table[(table["stream"] == stream) & (table["position"] == position)].iloc[0]


# A model of which everything is known.


def test_the_code_that_decides_is_used_and_the_decoy_is_present_but_not_used(by_hand):
    found = verdicts(by_hand)
    for stream in ("block.0", "block.1"):
        assert found["last", stream] == "used"
        assert found["instruction_end", stream] == "present but not used"
    for stream in ("block.2", "final_norm"):
        assert found["instruction_end", stream] == "present but not used"
        # Only the answer to one input is read there: neither the code nor nothing.
        assert found["last", stream] == "undecided"
    assert found["last", "embed"] == found["instruction_end", "embed"] == "absent"


def test_a_model_without_a_code_has_nothing_anywhere():
    found = causal_map(handmade(copies=False), rows())
    assert set(verdicts(found).values()) == {"absent"}


def test_the_effects_at_the_code_are_those_that_the_construction_gives(by_hand):
    code = at(by_hand.table, "block.1", "last")
    assert code["accuracy"] == code["shift"] == code["patch"] == code["patch_subspace"] == 1
    assert code["agreement"] == 1
    assert code["task_blind"] == 0.25
    # With all codes at a quarter every task gets the same answer, that of the last task.
    assert code["erase"] == 0.75
    for control in ("wrong_task", "random_direction", "shuffled", "other_input"):
        assert code[control] == 0
    assert code["random_erase"] == code["displaced"] == 0
    assert code["chance"] == pytest.approx(1 / 3)


def test_whole_states_redirect_where_the_span_of_the_task_means_does_not(by_hand):
    # The answer to one input lies outside the means of other inputs: the dormant part is shown.
    place = at(by_hand.table, "block.2", "last")
    assert (place["patch"], place["patch_subspace"], place["agreement"]) == (1, 0, 0)


# A model that was trained.


def test_every_place_of_the_model_has_a_row_and_every_edit_a_line(trained):
    found = causal_map(trained, material()[2], rows=12)
    streams = ("embed", "block.0", "block.1", "final_norm")
    wanted = {(s, p) for s in streams for p in ("instruction_end", "last")}
    assert set(zip(found.table["stream"], found.table["position"], strict=True)) == wanted
    lines = found.edits.groupby(["stream", "position"])["edit"].apply(tuple)
    assert len(lines) == len(wanted)
    assert set(lines) == {tuple(EDITS)}
    assert (found.table["rows"] == 12).all()


def test_every_number_of_places_done_is_told_once_and_in_order(trained):
    told = []
    causal_map(trained, material()[2], rows=12, progress=lambda *both: told.append(both))
    assert told == [(done, 8) for done in range(1, 9)]


def test_places_that_nothing_reads_are_never_used(table):
    # The last block's output at the instruction goes nowhere; the last token's embedding is the
    # same for all tasks.
    for stream in ("block.1", "final_norm"):
        row = at(table, stream, "instruction_end")
        assert row["erase"] == row["random_erase"] == row["erase_onward"] == 0
        assert row["use"] == "not used"
        assert row["shift"] <= 1 - row["accuracy"]


def test_what_decides_the_answer_is_used(table):
    last = at(table, "final_norm", "last")
    assert last["accuracy"] > 0.9
    assert last["verdict"] == "used"
    assert last["shift"] > 0.5 > last["random_direction"]
    assert last["shift_low"] <= last["shift"] <= last["shift_high"]
    assert last["wrong_task"] < 0.2


def test_chance_is_one_over_the_other_tasks_where_outputs_are_their_own(table):
    assert table["chance"].to_numpy() == pytest.approx(1 / 3)
    assert table["task_blind"].to_numpy() == pytest.approx(1 / 4)


def test_an_untrained_model_uses_nothing():
    found = causal_map(model(seed=4).eval(), material(outputs="shared")[2], seed=1)
    assert not (judge_places(found)["use"] == "used").any()


def test_the_map_is_the_same_again_and_leaves_the_model_alone(trained, table):
    weights = [p.clone() for p in trained.parameters()]
    again = causal_map(trained, enough(), seed=0)
    assert judge_places(again).equals(table)
    assert all(map(torch.equal, trained.parameters(), weights))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in trained.modules())
    assert not trained.training


def test_a_map_comes_back_from_its_files_as_it_was(by_hand, tmp_path):
    by_hand.save(tmp_path)
    again = CausalMap.load(tmp_path)
    pd.testing.assert_frame_equal(again.table, by_hand.table)
    pd.testing.assert_frame_equal(again.edits, by_hand.edits)
    assert again.about == by_hand.about
    (tmp_path / "causal_map.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        CausalMap.load(tmp_path)


def test_a_panels_numbers_stand_beside_and_decide_what_is_present():
    net, prompts = handmade(), rows()
    prompts = replace(prompts, labels=prompts.labels | {"output": prompts.labels["input"]})
    panel = measure(
        capture(net, prompts), prompts, metrics=["agreement"], nulls=(Permuted(49), SurfaceText())
    )
    found = causal_map(net, prompts)
    table = judge_places(found, panel)
    decoy = at(table, "block.0", "instruction_end")
    assert decoy["ari"] == 1
    # Without untrained models a panel cannot say that there are clusters.
    assert decoy["clusters"] == "undecided"
    assert decoy["verdict"] == "undecided"
    assert at(table, "embed", "instruction_end")["verdict"] == "absent"
    one = replace(panel, table=panel.table[panel.table["position"] == "last"])
    with pytest.raises(BadInput, match=r"the panel has no ARI\(task\) at embed, instruction_end"):
        judge_places(found, one)


def test_a_map_prints_in_one_line(by_hand):
    assert repr(by_hand).startswith("CausalMap(10 places, ")
    assert "\n" not in repr(by_hand)
    assert by_hand._repr_html_().count("<tr") == len(by_hand.table) + 1


# Roles and controls.


def test_roles_are_what_they_are_called():
    prompts = rows()
    roles = cast(prompts, None, np.random.default_rng(0))
    task, inputs = (np.array(prompts.labels[name]) for name in ("task", "input"))
    assert (roles.donor != NOBODY).all()
    assert (roles.task[roles.donor] == roles.target).all()
    assert (inputs[roles.donor] == inputs[roles.tested]).all()
    assert (task[roles.donor] != task[roles.tested]).all()
    assert (task[roles.other] == task[roles.tested]).all()
    assert (inputs[roles.other] != inputs[roles.tested]).all()
    answers = [np.array(roles.wanted[name])[:, 0] for name in ("own", "target", "third")]
    assert (answers[1] == prompts.ids[roles.donor, 4]).all()
    assert all(len({*three}) == 3 for three in zip(*answers, strict=True))


def test_nothing_that_is_fitted_comes_from_the_inputs_that_are_tested():
    prompts = rows()
    roles = cast(prompts, None, np.random.default_rng(0))
    states = torch.randn(2, len(prompts), 12, generator=torch.Generator().manual_seed(0))
    before = Editor(states, roles, 0).fitted[1]
    tested = roles.fold == 0
    states[:, torch.as_tensor(tested)] += 100 * torch.randn(2, int(tested.sum()), 12)
    after = Editor(states, roles, 0).fitted[1]
    inputs = np.array(prompts.labels["input"])
    assert not set(inputs[tested]) & set(inputs[~tested])
    for name in ("centroids", "mean", "shuffled"):
        assert torch.equal(getattr(before, name)[0], getattr(after, name)[0])
        assert not torch.equal(getattr(before, name)[1], getattr(after, name)[1])
    for kind in ("erasers", "spans"):
        assert torch.equal(getattr(before, kind)[0].read, getattr(after, kind)[0].read)


def test_words_of_the_users_own_in_a_column_of_splits_leave_no_row_out():
    prompts = rows()
    words = ("train", "validation", "test", "dev", "holdout", "0")
    plain = cast(prompts, None, np.random.default_rng(0))
    split = tuple(words[row % len(words)] for row in range(len(prompts)))
    own = replace(prompts, labels=prompts.labels | {"split": split})
    found = cast(own, None, np.random.default_rng(0))
    np.testing.assert_array_equal(found.tested, plain.tested)
    apart = ("unseen_family", *("train",) * (len(prompts) - 1))
    left = cast(replace(own, labels=own.labels | {"split": apart}), None, np.random.default_rng(0))
    assert 0 not in left.tested
    assert len(left.tested) == len(prompts) - 1


@pytest.fixture(scope="module")
def editor():
    prompts = rows()
    roles = cast(prompts, None, np.random.default_rng(0))
    states = torch.randn(3, len(prompts), 12, generator=torch.Generator().manual_seed(1))
    states[1] += torch.nn.functional.one_hot(torch.as_tensor(roles.task), 12) * 5
    return Editor(states, roles, 0)


def test_controls_have_the_norms_of_what_they_control(editor):
    made = dict(zip(EDITS, editor.edited(1).unbind(1), strict=True))
    own = editor.states[1][torch.as_tensor(editor.roles.tested)]
    norms = {name: (edited - own).norm(dim=-1) for name, edited in made.items()}
    torch.testing.assert_close(norms["random_direction"], norms["shift"])
    torch.testing.assert_close(norms["shuffled"], norms["shift"])
    torch.testing.assert_close(norms["displaced"], norms["erase"])


def test_patches_are_lent_states_whole_or_within_the_span_of_the_means(editor):
    made = dict(zip(EDITS, editor.edited(1).unbind(1), strict=True))
    own = editor.states[1][torch.as_tensor(editor.roles.tested)]
    lent = editor.states[1][torch.as_tensor(editor.roles.donor)]
    assert torch.equal(made["patch"], lent)
    for fold, span in enumerate(editor.fitted[1].spans):
        inside = editor.fold == fold
        basis = span.read
        part, whole = made["patch_subspace"][inside], lent[inside]
        torch.testing.assert_close(part @ basis.T, whole @ basis.T, atol=1e-4, rtol=1e-4)
        outside = torch.eye(12) - basis.T @ basis
        torch.testing.assert_close(part @ outside, own[inside] @ outside, atol=1e-4, rtol=1e-4)


def test_random_subspaces_have_the_rank_of_the_span_of_the_means(editor):
    made = dict(zip(EDITS, editor.edited(1).unbind(1), strict=True))
    own = editor.states[1][torch.as_tensor(editor.roles.tested)]
    shared = editor._basis_of == 0  # rows with the same random subspace
    moved = (made["random_erase"] - own)[shared]
    assert torch.linalg.matrix_rank(moved, atol=1e-3) == editor.roles.tasks - 1


def test_onward_edits_go_on_at_every_stream_and_all_others_pass(editor):
    some = torch.arange(5)
    states = torch.randn(5, len(EDITS), 12)
    after = editor.onward(2, states, some)
    names = list(EDITS)
    untouched = [k for k, name in enumerate(names) if not name.endswith("_onward")]
    assert torch.equal(after[:, untouched], states[:, untouched])
    erased, displaced = (
        (after - states)[:, names.index(f"{name}_onward")] for name in ("erase", "displaced")
    )
    assert erased.norm(dim=-1).min() > 0
    torch.testing.assert_close(displaced.norm(dim=-1), erased.norm(dim=-1))


# Rules.


@pytest.mark.parametrize(
    ("decisive", "silent", "use"),
    [
        ([(0.11, 0.5), (-0.1, 0.05)], [], "used"),
        ([(0.09, 0.5), (-0.1, 0.05)], [], "undecided"),
        ([(-0.1, 0.09), (-0.1, 0.05)], [(0.0, 0.05)], "not used"),
        ([(-0.1, 0.09), (-0.1, 0.05)], [(0.0, 0.2)], "undecided"),
        ([(np.nan, np.nan), (-0.1, 0.05)], [(np.nan, np.nan)], "not used"),
    ],
)
def test_a_place_is_used_or_not_by_the_ends_of_its_intervals(decisive, silent, use):
    assert use_of(decisive, silent) == use


def test_only_a_place_without_use_is_called_present_or_absent():
    assert place_verdict("clusters", "not used") == "present but not used"
    assert place_verdict("none", "not used") == "absent"
    assert place_verdict("undecided", "not used") == "undecided"
    assert place_verdict("clusters", "used") == "used"
    assert place_verdict("undecided", "used") == "used"
    assert place_verdict("none", "used") == "used without clusters"


# Bad input, and what is not defined.


def test_tasks_without_common_inputs_get_no_shift_but_a_removal(trained):
    prompts = material()[2]
    inputs = [
        f"{t} {x}" for t, x in zip(prompts.labels["task"], prompts.labels["input"], strict=True)
    ]
    apart = replace(prompts, labels=prompts.labels | {"input": tuple(inputs)})
    said = []
    table = causal_map(trained, apart, say=said.append).table
    assert table["not_asked"].str.contains("nobody knows what another task would answer").all()
    assert any(each.startswith("shift, patch and erase cannot decide: ") for each in said)
    assert table[["shift", "chance", "wrong_task", "patch", "agreement"]].isna().all().all()
    assert table[["erase", "random_erase", "displaced"]].notna().all().all()


def test_one_task_and_rows_without_answers_are_refused(trained):
    prompts = material()[2]
    same = replace(prompts, labels=prompts.labels | {"task": ("one",) * len(prompts)})
    with pytest.raises(BadInput, match=r"at least two tasks.*finds 'one' alone"):
        causal_map(trained, same)
    with pytest.raises(BadInput, match="no row of a trained instruction has an answer"):
        causal_map(trained, replace(prompts, lengths=prompts.prompt_lengths))


def test_positions_that_cannot_be_edited_are_left_out_with_a_note(trained):
    prompts = material()[2]
    span = np.stack([np.zeros_like(prompts.lengths), prompts.prompt_lengths], axis=1)
    more = replace(
        prompts,
        positions={"mean": span, **prompts.positions, "late": prompts.prompt_lengths},
    )
    said = []
    found = causal_map(trained, more, rows=12, say=said.append)
    wanted = causal_map(trained, prompts, rows=12)
    pd.testing.assert_frame_equal(found.table, wanted.table)
    assert said[:2] == found.about["remarks"][:2] == [
        "position 'mean' is left out: it is a mean over tokens, and only a token can be changed",
        "position 'late' is left out: it is within the answer of some rows",
    ]  # fmt: skip
    doses = dose_response(trained, more, stream="block.1", position="last", rows=12)
    pd.testing.assert_frame_equal(
        doses, dose_response(trained, prompts, stream="block.1", position="last", rows=12)
    )
    with pytest.raises(BadInput, match=r"no position can be edited.*'mean': it is a mean"):
        causal_map(trained, replace(prompts, positions={"mean": span}))


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(BadInput, match=r"in training mode.*call model\.eval\(\)"):
        causal_map(model().train(), material()[2])


def test_scored_by_likelihood_the_map_of_a_model_that_is_sure_is_the_same(by_hand):
    likely = causal_map(handmade(), rows(), scored="likelihood")
    assert verdicts(likely) == verdicts(by_hand)
    code = at(likely.table, "block.1", "last")
    assert code["accuracy"] == code["shift"] == 1
    assert likely.about["scored"] == "likelihood"
