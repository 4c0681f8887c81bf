"""Figures: drawn from tables, into given axes, and the same each time."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nucleate import BadInput, views
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


WHOLE = {
    "curves": lambda run, ax: views.curves_figure([run], ax=ax),
    "heat-maps": lambda run, ax: views.heat_maps_figure([run], ax=ax),
    "places": lambda run, ax: views.places_figure(run, title="t", ax=ax),
    "causal-map": lambda run, ax: views.causal_map_figure(run, title="t", ax=ax),
    "causal-doses": lambda run, ax: views.doses_figure(run, title="t", ax=ax),
    "states": lambda run, ax: views.pictures_figure(run, title="t", columns=2, ax=ax),
    "labels": lambda run, ax: views.labels_figure(run, title="t", ax=ax),
}


@pytest.fixture(scope="module")
def whole_run(runs):
    """A run of which every figure can be drawn."""
    return runs[0]


def _inside(figure, ax, before):
    """Whether all that was added lies within the box of `ax`, apart from names at its edge."""
    box = ax.get_position()
    added = [each.get_position() for each in figure.axes if each not in before]
    assert added
    return all(
        box.x0 - 0.01 <= each.x0 <= each.x1 <= box.x1 + 0.01
        and box.y0 - 0.01 <= each.y0 <= each.y1 <= box.y1 + 0.01
        for each in added
    )


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_figure_takes_the_room_of_given_axes_and_leaves_others_alone(whole_run, kind):
    figure = Figure(figsize=(22, 16))
    left, right = figure.subplots(1, 2)
    right.plot([0, 1], [0, 1])
    kept = right.get_position().bounds
    assert WHOLE[kind](whole_run, left) is figure
    assert not left.axison
    assert _inside(figure, left, (left, right))
    assert right.get_position().bounds == kept
    assert len(right.lines) == 1


def test_a_whole_figure_fits_into_a_part_of_a_figure_and_under_a_layout_engine(whole_run):
    figure = Figure(figsize=(18, 7))
    _, part = figure.subfigures(1, 2)
    ax = part.subplots()
    views.places_figure(whole_run, ax=ax)
    assert all(each.get_position().x0 > 0.5 for each in figure.axes if each is not ax)
    engine = Figure(figsize=(10, 12), layout="constrained")
    ax = engine.subplots()
    views.causal_map_figure(whole_run, ax=ax)
    assert _inside(engine, ax, (ax,))


def test_axes_with_too_little_room_are_refused_with_what_is_needed(whole_run):
    figure = Figure(figsize=(5, 3))
    with pytest.raises(
        BadInput, match=r"needs [6-9]\.\d x \d+\.\d inches.*the axes have 3\.9 x 2\.3"
    ):
        views.causal_map_figure(whole_run, ax=figure.subplots())


def _table(folder, kind):
    path = next(folder.glob(f"{kind}*.csv"))
    return pd.read_csv(path)


@pytest.fixture(scope="module")
def written(whole_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    views.write_figures([whole_run], folder, width=7.0)
    return folder


def test_lines_of_the_curves_are_the_numbers_beside_the_figure(whole_run, written):
    table = _table(written, "curves")
    axes = views.curves_figure([whole_run]).axes
    drawn = 0
    for row, ax in zip(views._curves.curve_rows([whole_run]), axes, strict=True):
        curve = row if row in ("accuracy", "loss") else "ari"
        here = table[table["curve"] == curve]
        here = here[here["position"] == row] if curve == "ari" else here
        for line in ax.lines:
            name = line.get_label().replace(" ", "_")
            rows = here[here["series"] == name].sort_values("step")
            if rows.empty or len(line.get_xdata()) != len(rows):
                continue
            np.testing.assert_array_equal(line.get_xdata(), rows["step"])
            np.testing.assert_allclose(np.asarray(line.get_ydata(), float), rows["value"])
            drawn += 1
    assert drawn == table[table["curve"] != "onset"].groupby(
        ["curve", "position", "series"], dropna=False).ngroups  # fmt: skip


def test_cells_of_the_maps_are_the_numbers_beside_the_figures(whole_run, written):
    cells = _table(written, "heat-maps")
    for position, ax in zip(
        whole_run.positions, views.heat_maps_figure([whole_run]).axes, strict=False
    ):
        wide = cells[cells["position"] == position].pivot(
            index="stream", columns="step", values="value"
        )
        shown = np.ma.filled(ax.collections[0].get_array(), np.nan)
        np.testing.assert_allclose(shown, wide.loc[list(whole_run.streams)].to_numpy(float))
    places = _table(written, "places")
    wide = places.pivot(index="stream", columns="position", values="ari")
    shown = np.ma.filled(views.places_figure(whole_run).axes[0].collections[0].get_array(), np.nan)
    wide = wide.loc[list(whole_run.streams), list(whole_run.positions)]
    np.testing.assert_allclose(shown, np.clip(wide.to_numpy(float), 0, 1))


def test_the_causal_map_shows_the_numbers_beside_it(whole_run, written):
    table = _table(written, "causal-map")
    ax = views.causal_map_figure(whole_run).axes[0]
    first = table[table["position"] == whole_run.positions[0]].set_index("stream")
    wide = first.loc[[label.get_text() for label in ax.get_yticklabels()]]
    shown = np.ma.filled(ax.collections[0].get_array(), np.nan)
    wanted = np.clip(wide[["ari", "shift", "patch", "erase"]].to_numpy(float), 0, 1)
    np.testing.assert_allclose(shown, wanted)


def test_doses_and_dots_are_the_numbers_beside_the_figures(whole_run, written):
    table = _table(written, "causal-doses")
    curves = views.doses_figure(whole_run).axes[0].lines
    for edit, line in zip(("shift", "shuffled", "random_direction"), curves, strict=False):
        rows = table[table["edit"] == edit]
        np.testing.assert_allclose(line.get_xydata(), rows[["dose", "redirected"]])
    dots = _table(written, "labels")
    for position in whole_run.positions:
        rows = dots.query("position == @position and label == 'task' and mark == 'dot'")
        ax = views.label_dots(whole_run, position, "task").axes[0]
        filled = next(each for each in ax.collections if each.get_zorder() == 3)
        np.testing.assert_allclose(np.sort(filled.get_offsets()[:, 0]), np.sort(rows["value"]))


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
