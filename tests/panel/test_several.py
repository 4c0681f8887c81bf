"""Several runs measured at once are what each is alone, told apart by a column."""

import pandas as pd
import pytest

import nucleate as nc
from any_runs import make
from nucleate import BadInput

QUICK = {"metrics": ["agreement"], "n_bootstraps": 20, "n_init": 2}


def test_the_panel_of_several_runs_holds_each_ones_own_numbers(tmp_path):
    runs = [make(tmp_path / name, seed=k, steps=(0, 4)) for k, name in enumerate("ab")]
    both = nc.measure([runs[0], str(runs[1].path)], **QUICK)
    assert next(iter(both.table)) == "run"
    for run in runs:
        own = nc.Panel.of(run).table
        here = both.table[both.table["run"] == run.path.name].drop(columns="run")
        pd.testing.assert_frame_equal(here.reset_index(drop=True), own, check_dtype=False)


def test_a_run_twice_and_a_mixed_list_are_refused(tmp_path):
    run = make(tmp_path / "a", steps=(0,))
    with pytest.raises(BadInput, match="named twice"):
        nc.measure([run, run.path])
    with pytest.raises(BadInput, match="something else"):
        nc.measure([run, (0, run.states(0))])
