"""Settings travel with tables; a panel is asked for, selected from and shown."""

import json

import numpy as np
import pandas as pd
import pytest

from nucleate._core.errors import BadInput
from nucleate._core.seeds import component_seed
from nucleate.panel import (
    Gaussian,
    Panel,
    PanelSettings,
    Permuted,
    SurfaceText,
    measure,
    settings_differences,
    settings_of,
)
from nucleate.runs import Run

QUICK = {"nulls": (Permuted(29), SurfaceText()), "n_bootstraps": 15, "n_init": 2, "keyframes": 2,
         "seed": 3, "metrics": ["agreement", "separation"]}  # fmt: skip
CONFIG = {"seed": 7, "panel": {"n_init": 2, "n_permutations": 19, "n_bootstraps": 12,
                               "keyframes": 3,
                               "metrics": ["agreement", "margin"]}}  # fmt: skip


@pytest.fixture
def make_run(tmp_path, make_probe, make_states):
    def make(**manifest):
        prompts = make_probe(tasks=3, inputs=2)
        run = Run.create(tmp_path / "run", prompts, {"name": "run", **manifest})
        for step in (0, 5):
            run.save_snapshot(step, make_states(prompts, {"task": step / 2}, seed=step), {})
        return run

    return make


def test_a_panel_is_measured_with_the_settings_of_the_runs_configuration(make_run):
    run = make_run(config=CONFIG)
    panel = measure(run)
    assert panel.settings == {
        "metrics": ["agreement", "margin"], "nulls": {"N0": 19, "N2": 1, "N5": 1},
        "n_bootstraps": 12, "n_init": 2, "keyframes": 3, "seed": component_seed(7, "panel"),
    }  # fmt: skip
    draws = panel.draws["last", "raw"]
    assert draws.shape[2] == 12


def test_names_of_version_0_1_in_a_stored_configuration_are_understood(make_run):
    old = {"restarts": 3, "permutations": 29, "bootstraps": 31, "untrained": 5, "metrics": None}
    found = settings_of(make_run(config={"seed": 1, "panel": old}))
    assert (found.n_init, found.n_bootstraps, found.nulls["N0"]) == (3, 31, 29)


def test_measured_again_without_settings_a_run_keeps_those_of_its_last_panel(make_run):
    run = make_run()
    first = measure(run, **QUICK)
    again = measure(run)
    assert again.settings == first.settings
    pd.testing.assert_frame_equal(again.table, first.table)


def test_a_run_without_configuration_or_panel_and_states_in_memory_have_our_defaults(make_run):
    run = make_run()
    assert settings_of(run) == PanelSettings()
    panel = measure(
        run.states(5), run.prompts, metrics=["separation"], nulls=(Permuted(5),), n_bootstraps=0
    )
    assert (panel.settings["n_init"], panel.settings["seed"]) == (20, 0)


def test_the_hash_stands_beside_the_table_and_follows_each_setting(make_run):
    run = make_run()
    panel = measure(run, **QUICK)
    about = json.loads((run.path / "panel.json").read_text())
    assert about["settings_hash"] == panel.settings_hash == Panel.of(run).settings_hash
    assert len(panel.settings_hash) == 64
    base = PanelSettings()
    others = [PanelSettings(metrics=("agreement",)), PanelSettings(nulls={"N0": 199}),
              PanelSettings(n_bootstraps=1), PanelSettings(n_init=1), PanelSettings(keyframes=9),
              PanelSettings(seed=1)]  # fmt: skip
    assert len({each.content_hash for each in (base, *others)}) == 7


def test_a_panel_of_other_settings_than_the_runs_is_told_by_name_and_values(make_run):
    run = make_run(config=CONFIG)
    assert settings_differences(run) == []
    own = measure(run)
    assert settings_differences(run) == settings_differences(run, own) == []
    other = measure(run, nulls=(Permuted(29), Gaussian(3)), n_bootstraps=13)
    assert settings_differences(run) == [
        "n_bootstraps is 13 in the panel and 12 in the run",
        "N0 is 29 in the panel and 19 in the run",
        "N2 is not set in the panel and 1 in the run",
        "N3 is 3 in the panel and not set in the run",
        "N5 is not set in the panel and 1 in the run",
    ]
    assert settings_differences(run, other) == settings_differences(run)
    assert settings_of(run).nulls["N0"] == 19


@pytest.fixture
def panel(make_run):
    return measure(make_run(), **QUICK)


def test_rows_are_selected_by_one_value_or_several(panel):
    found = panel.select(metric="ari", label="task", position="last", view="raw",
                         stream="block.0", half=["choose", "report"], step=[0, 5])  # fmt: skip
    assert list(found["step"]) == [0, 0, 5, 5]
    assert set(found["half"]) == {"choose", "report"}
    assert list(found.columns) == list(panel.table.columns)
    assert len(panel.select()) == len(panel.table)
    found["value"] = 0.0
    assert not (panel.select("ari")["value"] == 0).all()


def test_selecting_an_unknown_value_names_the_known_ones(panel):
    with pytest.raises(BadInput, match=r"no metric 'arl'; it has .*'ari'"):
        panel.select("arl")
    with pytest.raises(BadInput, match=r"no step 3; it has .*0, .*5"):
        panel.select("ari", step=3)
    assert len(panel.select("ari", step=np.int64(5))) == len(panel.select("ari", step=5))


def test_a_panel_is_shown_in_a_line_and_in_a_notebook_as_a_table(panel):
    assert repr(panel).startswith("Panel(2 steps 0 to 5, ")
    assert len(repr(panel)) < 200
    html = panel._repr_html_()
    assert html.count("<tr") == 1 + len(panel.select("ari", label="task", half="all", step=5))


def test_the_panel_of_a_run_is_one_call_by_run_or_folder(make_run):
    run = make_run()
    with pytest.raises(BadInput, match="holds no panel; measure the run first"):
        Panel.of(run)
    table = measure(run, **QUICK).table
    for given in (run, run.path, str(run.path)):
        pd.testing.assert_frame_equal(Panel.of(given).table, table, check_dtype=False)
