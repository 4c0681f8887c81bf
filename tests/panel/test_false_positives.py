"""The verdict "clusters": rare where there are none, and frequent where there are some.

The quick tests take a few data sets of the kinds that one rung alone holds back; the slow ones are
the benchmark's table.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

_PATH = Path(__file__).parents[2] / "benchmarks" / "false_positives.py"
_spec = importlib.util.spec_from_file_location("false_positives", _PATH)
assert _spec is not None
assert _spec.loader is not None
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)

QUICK = 5


@pytest.mark.parametrize(
    ("kind", "rung"), [("families", "N0"), ("words", "N2"), ("order", "N1")], ids=str
)
def test_null_data_pass_for_clusters_as_soon_as_the_rung_against_them_is_ignored(kind, rung):
    most = binom.ppf(0.99, QUICK, 0.05)
    found = [made.judged(made.NULL_KINDS[kind], seed) for seed in range(QUICK)]
    assert sum(each["panel"] for each in found) <= most
    assert sum(each[f"without {rung}"] for each in found) > most
    assert sum(each["naive"] for each in found) > most


def test_naive_ari_finds_tasks_in_one_gaussian_and_the_panel_does_not():
    found = made.judged(made.NULL_KINDS["gaussian"], 0)
    assert found["naive"]
    assert not found["panel"]


def test_tasks_that_lie_apart_are_called_clusters():
    assert all(made.judged(made.clusters(0.8), seed)["panel"] for seed in range(QUICK))


def test_data_without_the_parts_that_are_ignored_are_judged_as_the_panel_does():
    """The benchmark ignores a part by what it puts in its place: the verdict must not balk."""
    row = pd.Series({"note": "", "value": 0.5, "low": 0.4, "n0_q99": 0.6, "n1_max": 0.6, "n2": 0.6})
    assert made.cluster_verdict(row) == "none"
    without = {name: cell for ignored in made.GUARDS.values() for name, cell in ignored.items()}
    assert set(without) < set(row.index)
    assert made.cluster_verdict({**row, **without}) == "clusters"


def test_the_rate_that_is_allowed_is_five_percent_and_its_margin():
    assert made.most_allowed(200) == 18 / 200
    assert 1 - binom.cdf(18, 200, 0.05) < 0.01 <= 1 - binom.cdf(17, 200, 0.05)


def test_null_data_are_what_they_are_called():
    """Words that lean, or their order, tell the task; nothing else does."""
    for name, kind in made.NULL_KINDS.items():
        prompts = made.prompts_of(np.random.default_rng(0), kind)
        data = made.Data(prompts)
        assert len(prompts) == sum(kind.shape.strings) * kind.shape.families * kind.shape.inputs
        bags = {tuple(sorted(words.tolist())) for words in data.words}
        assert (len(bags) == 1) == (name == "order")


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(made.NULL_KINDS))
def test_null_data_are_called_clusters_in_at_most_one_set_in_twenty(kind):
    found = made.rates(made.NULL_KINDS[kind], 200, workers=2)
    assert found["panel"] <= made.most_allowed(200)


@pytest.mark.slow
def test_clusters_at_the_stated_separation_are_found_in_nine_sets_of_ten():
    found = made.rates(made.clusters(0.6), 100, workers=2)
    assert found["panel"] >= 0.9
    assert found["separation"] == pytest.approx(0.7, abs=0.1)
