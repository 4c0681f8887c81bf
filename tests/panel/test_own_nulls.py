"""Nulls of the user's: labels of their own, or models of their own, beside every number."""

from dataclasses import dataclass

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.panel import Metric, Null, Panel, Permuted, measure
from nucleate.runs import Run

QUICK = {"metrics": ["agreement", "separation"], "n_bootstraps": 10, "n_init": 2}


@dataclass(frozen=True)
class Shifted(Null):
    """Every row has the task of another row, by turns."""

    name = "shifted"
    asks = "does it matter which row has which task?"
    needs = "nothing"
    draws: int = 30

    def permuted(self, labels, strings, rng):  # noqa: ARG002
        return np.stack([rng.permutation(labels) for _ in range(self.draws)])


@dataclass(frozen=True)
class Twin(Null):
    """Models that were trained on something else."""

    name = "twin"
    asks = "do other models do it as well?"
    needs = "their states"
    states: tuple = ()

    def models(self):
        return self.states


class Wrong(Null):
    name = "wrong"
    asks = needs = "?"

    def permuted(self, labels, strings, rng):  # noqa: ARG002
        return np.zeros((3, 2), dtype=int)


class Named(Null):
    name = "N1"
    asks = needs = "?"


@pytest.fixture(scope="module")
def prompts(make_probe):
    return make_probe(tasks=4, inputs=2)


def ari(panel):
    return panel.select("ari", label="task", position="last", view="raw", half="all")


def test_a_null_of_labels_lays_its_99_percent_point_beside_each_number(prompts, make_states):
    states = make_states(prompts, {"task": 3.0})
    panel = measure(states, prompts, nulls=(Permuted(99), Shifted()), **QUICK)
    row = ari(panel).iloc[0]
    assert row["value"] > 0.9
    # Rows permuted one by one agree less than strings permuted as a whole.
    assert -0.1 < row["shifted_q99"] < row["n0_q99"]
    cdnv = panel.select("cdnv", position="last", view="raw").iloc[0]
    assert cdnv["shifted_q99"] > cdnv["value"] or np.isnan(cdnv["shifted_q99"])


def test_labels_that_are_the_tasks_themselves_reach_every_value(prompts, make_states):
    class Same(Shifted):
        name = "same"

        def permuted(self, labels, strings, rng):  # noqa: ARG002
            return np.stack([labels] * 3)

    rows = ari(measure(make_states(prompts, {"task": 1.0}), prompts, nulls=(Same(),), **QUICK))
    assert rows["same_q99"].to_numpy() == pytest.approx(rows["value"].to_numpy())
    assert rows["n0_q99"].isna().all()


def test_a_null_of_models_lays_the_most_among_them_beside_each_number(prompts, make_states):
    states = make_states(prompts, {"task": 3.0})
    twins = (make_states(prompts, {}, seed=5), states)
    rows = ari(measure(states, prompts, nulls=(Twin(twins),), **QUICK))
    assert rows["twin_max"].to_numpy() == pytest.approx(rows["value"].to_numpy(), abs=0.1)


def test_it_comes_back_from_disk_and_other_draws_are_measured_anew(tmp_path, prompts, make_states):
    run = Run.create(tmp_path / "run", prompts, {"name": "run"})
    run.save_snapshot(0, make_states(prompts, {"task": 1.0}), {})
    first = measure(run, nulls=(Shifted(),), **QUICK)
    again = measure(run, nulls=(Shifted(),), **QUICK)
    other = measure(run, nulls=(Shifted(draws=5),), **QUICK)
    assert again.table["shifted_q99"].equals(first.table["shifted_q99"])
    assert not other.table["shifted_q99"].equals(first.table["shifted_q99"])
    assert Panel.of(run).table["shifted_q99"].notna().any()
    assert other.settings["nulls"] == {"shifted": 1}


def test_without_a_method_it_adds_nothing_and_may_say_why(prompts, make_states):
    class Nothing(Null):
        name = "nothing"
        asks = needs = "?"

        def missing(self, metrics):  # noqa: ARG002
            return "it has no models yet"

    panel = measure(make_states(prompts, {}), prompts, nulls=(Nothing(),), **QUICK)
    assert panel.missing["nothing"] == "it has no models yet"
    assert not [name for name in panel.table if name.startswith("nothing")]


@pytest.mark.parametrize(
    ("nulls", "said"),
    [
        ((Wrong(),), "the null 'wrong' gave labels of shape"),
        ((Named(),), "two nulls are named 'N1'"),
        ((Shifted(), Shifted(3)), "two nulls are named 'shifted'"),
    ],
)
def test_a_null_that_does_not_fit_is_refused_in_a_sentence(prompts, make_states, nulls, said):
    with pytest.raises(BadInput, match=said):
        measure(make_states(prompts, {}), prompts, nulls=nulls, **QUICK)


def test_models_of_other_streams_are_refused_with_the_nulls_name(prompts, make_states):
    other = make_states(prompts, {}, streams=("elsewhere",))
    with pytest.raises(BadInput, match="model 0 of the null twin"):
        measure(make_states(prompts, {}), prompts, nulls=(Twin((other,)),), **QUICK)


def test_it_stands_beside_a_users_metric_as_well(prompts, make_states):
    def gap(x, labels):
        means = np.stack([x[labels == c].mean(0) for c in np.unique(labels)])
        return float(np.square(means - means.mean(0)).sum())

    panel = measure(
        make_states(prompts, {"task": 3.0}), prompts, nulls=(Shifted(),), n_bootstraps=0,
        metrics=[Metric.of("gap", gap)],
    )  # fmt: skip
    row = panel.select("gap", position="last", view="raw").iloc[0]
    assert 0 < row["shifted_q99"] < row["value"]
