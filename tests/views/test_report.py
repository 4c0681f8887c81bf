"""Figures: drawn from tables, into given axes, and the same each time."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from nucleate import views
from nucleate.findings import cluster_verdict


@pytest.fixture(scope="module")
def runs(make_view):
    return [make_view("own", "own"), make_view("shared", "shared")]


def test_figures_draw_into_given_axes_and_leave_settings_alone(runs):
    before = dict(mpl.rcParams)
    figure = Figure()
    ax = figure.add_subplot()
    assert views.heat_map(runs[0], "last", ax=ax) is figure
    assert views.accuracy_curves(runs[0], ax=figure.add_subplot()) is figure
    assert views.cluster_curves(runs[0], "last", ax=figure.add_subplot()) is figure
    assert views.label_dots(runs[0], "last", "task", ax=figure.add_subplot()) is figure
    assert isinstance(views.causal_map_figure(runs[0]), Figure)
    assert isinstance(views.heat_map(runs[0], "last"), Figure)
    assert dict(mpl.rcParams) == before


def test_a_missing_cell_is_hatched_and_a_cell_within_the_nulls_is_dotted(runs):
    figure = views.heat_map(runs[0], "instruction_end")
    mesh, hatch, dots = figure.axes[0].collections
    run, position = runs[0], "instruction_end"
    rows = run.numbers(position, "raw")
    assert len(hatch.get_paths()) == rows["value"].isna().sum() == 1
    within = sum(
        cluster_verdict(row) != "clusters" for _, row in rows.dropna(subset="value").iterrows()
    )
    assert len(dots.get_offsets()) == within
    assert mesh.get_clim() == (0, 1)


def test_positions_with_pictures_of_different_steps_get_no_empty_frames(runs):
    table = runs[0].picture
    gone = (table["position"] == "last") & table["step"].isin([0, 3, 72])
    figure = views.pictures_figure(dataclasses.replace(runs[0], picture=table[~gone]))
    steps = [[ax.get_title(loc="left").split(" ·")[0] for ax in row] for row in _rows_of(figure)]
    assert steps[0][0] == "step 0"
    assert "step 0" not in steps[1]
    assert all(len(set(row)) == 4 for row in steps)
    assert all(ax.collections for row in _rows_of(figure) for ax in row)


def test_frames_of_one_place_share_their_scale(runs):
    for row in _rows_of(views.pictures_figure(runs[0])):
        assert len({ax.get_xlim() for ax in row} | {ax.get_ylim() for ax in row}) == 1


def _rows_of(figure):
    return [figure.axes[:4], figure.axes[4:8]]


def test_step_0_is_on_the_axis_of_the_curves(runs):
    ax = views.cluster_curves(runs[0], "last").axes[0]
    low, high = ax.get_xlim()
    assert low <= 0 < 400 <= high
    assert ax.get_xscale() == "symlog"
    line = ax.get_lines()[0]
    assert np.isfinite(ax.transData.transform(np.column_stack(line.get_data()))[0]).all()
