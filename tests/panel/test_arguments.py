"""What `measure` is given: every kind that people give, or one sentence."""

import subprocess
import sys
import tracemalloc
from types import MappingProxyType

import pandas as pd
import pytest
import torch

import nucleate as nc
from crossed import crossed_probe, states_of
from nucleate._core.errors import BadInput
from nucleate.panel import METRIC_NAMES, Permuted, SurfaceText

QUICK = MappingProxyType({"metrics": ["agreement"], "nulls": (), "n_bootstraps": 0})


@pytest.fixture(scope="module")
def prompts():
    return crossed_probe()


@pytest.fixture(scope="module")
def states(prompts):
    return states_of(prompts, {"task": 2.0})


def test_one_metric_and_one_null_need_no_list(states, prompts):
    one = nc.measure(states, prompts, metrics="agreement", nulls=Permuted(9), n_bootstraps=0)
    several = nc.measure(
        states, prompts, metrics=["agreement"], nulls=[Permuted(9)], n_bootstraps=0
    )
    pd.testing.assert_frame_equal(one.table, several.table)


def test_snapshots_may_be_a_mapping_and_a_run_may_be_its_folder(states, prompts, tmp_path):
    pairs = nc.measure([(0, states), (3, states)], prompts, **QUICK)
    held = nc.measure({0: states, 3: states}, prompts, **QUICK)
    pd.testing.assert_frame_equal(held.table, pairs.table)
    with pytest.raises(BadInput, match=r"no run folder"):
        nc.measure(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metrics": []}, "no metric is asked for"),
        ({"metrics": "agrement"}, "agreement"),
        ({"n_bootstraps": -1}, "n_bootstraps is -1; give a whole number of at least 0"),
        ({"n_init": 0}, "n_init is 0"),
        ({"keyframes": 1}, "keyframes is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"n_jobs": 0}, "n_jobs is 0"),
    ],
)
def test_a_number_out_of_range_and_an_unknown_name_are_refused(changed, said, states, prompts):
    with pytest.raises(BadInput, match=said):
        nc.measure(states, prompts, **(QUICK | changed))


# What the types do not allow, in a process that does not check types as the tests do.
WRONG_KINDS = """
import sys
import torch
import nucleate as nc
from nucleate.panel import METRIC_NAMES, Permuted, SurfaceText

rows = [{"ids": [i, 9], "task": "ab"[i % 2], "instruction": str(i)} for i in range(8)]
prompts = nc.PromptSet.from_records(rows, None, positions="last")
states = nc.States(torch.randn(1, 1, 8, 3), ("embed",), ("last",))
cases = [dict(metrics=3), dict(metrics=[3]), dict(nulls="N0"), dict(nulls=[Permuted]),
         dict(n_bootstraps=2.5), dict(keyframes=True), dict(seed="x"), dict(n_jobs=1.5),
         dict(source=None), dict(source=7), dict(source=states.values), dict(source=[("a", 1)]),
         dict(source=[(0, None)]), dict(source={"a": 1}), dict(source=[states]),
         dict(prompts="rows.jsonl")]
for case in cases:
    kept = dict(source=states, prompts=prompts, metrics=["agreement"], nulls=(), n_bootstraps=0)
    try:
        nc.measure(**(kept | case))
        print("accepted", case)
    except nc.BadInput as error:
        print(error)
"""


def test_arguments_of_the_wrong_kind_end_in_a_sentence_each():
    done = subprocess.run(
        [sys.executable, "-c", WRONG_KINDS], capture_output=True, text=True, check=True
    )
    *said, last = done.stdout.splitlines()
    assert [line for line in said if "give" not in line] == []
    assert [line for line in said if "accepted" in line] == []
    assert len(said) == 15
    assert "without their prompt set" in last


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_every_metric_can_be_asked_for_alone(name, states, prompts):
    nulls = [Permuted(9), SurfaceText()]
    alone = nc.measure({0: states, 5: states}, prompts, metrics=name, nulls=nulls, n_bootstraps=3)
    assert set(alone.table["step"]) == {0, 5}
    assert len(alone.table) > 0


def test_a_metric_of_the_users_own_that_returns_no_number_is_named(states, prompts):
    nothing = nc.Metric.of("tightness", lambda x, labels: None)
    with pytest.raises(BadInput, match=r"'tightness' returned None .* return one number"):
        nc.measure(states, prompts, **(QUICK | {"metrics": nothing}))


def test_a_step_given_twice_is_refused(states, prompts):
    with pytest.raises(BadInput, match="step 4 was given twice"):
        nc.measure([(4, states), (4, states)], prompts, **QUICK)


def test_two_long_texts_in_a_column_cost_no_memory():
    long = "x" * 500_000
    rows = [
        {
            "ids": [3 + i % 50, 4 + i // 50, 5],
            "output": [6],
            "task": f"t{i % 4}",
            "instruction": f"{i % 20}",
            "input": long if i in (3, 5) else f"{i // 20}",
            "document": long if i in (3, 5) else "short",
        }
        for i in range(400)
    ]
    held = nc.PromptSet.from_records(rows, None, positions=["last"])
    values = nc.States(torch.randn(1, 1, 400, 8), ("embed",), ("last",))
    tracemalloc.start()
    nc.measure(values, held, metrics=["agreement"], nulls=(), n_bootstraps=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # a column of texts of one width takes 800 MB
