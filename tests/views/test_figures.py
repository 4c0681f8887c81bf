"""Figures for a paper: in place of given axes, readable in a column, and equal to their CSV."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from nucleate import BadInput, views
from nucleate.views._drawn import drawn
from nucleate.views._figures import save
from nucleate.views._style import figure_style, page_width

DRAWN = {
    "curves": lambda run, ax=None: views.curves_figure([run], ax=ax),
    "heat-maps": lambda run, ax=None: views.heat_maps_figure([run], ax=ax),
    "places": lambda run, ax=None: views.places_figure(run, title="own", ax=ax),
    "causal-map": lambda run, ax=None: views.causal_map_figure(run, title="own", ax=ax),
    "causal-doses": lambda run, ax=None: views.doses_figure(run, title="own", ax=ax),
    "states": lambda run, ax=None: views.pictures_figure(run, title="own", ax=ax),
    "labels": lambda run, ax=None: views.labels_figure(run, title="own", ax=ax),
}
SLACK = 2.0
"""Pixels: ink of glyphs and antialiasing."""


@pytest.fixture(scope="module")
def run(make_view):
    return make_view("own", "own")


def _ink(figure, axes):
    """What the axes and their labels cover, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    return [box for ax in axes if (box := ax.get_tightbbox(renderer)) is not None]


def _outside(box, area):
    return [
        over
        for over in (area.x0 - box.x0, box.x1 - area.x1, area.y0 - box.y0, box.y1 - area.y1)
        if over > SLACK
    ]


@pytest.mark.parametrize("kind", DRAWN)
def test_a_figure_stays_within_the_axes_in_whose_place_it_stands(run, kind):
    figure = Figure(figsize=(20, 15), layout="none")
    ax, other = figure.subplots(1, 2)
    assert DRAWN[kind](run, ax=ax) is figure
    panels = [each for each in figure.axes if each not in (ax, other)]
    assert panels
    assert not other.has_data()
    assert not [_outside(box, ax.bbox) for box in _ink(figure, panels) if _outside(box, ax.bbox)]


def test_a_figure_stands_in_axes_of_a_subfigure(run):
    figure = Figure(figsize=(9, 12))
    left, _ = figure.subfigures(1, 2, width_ratios=(8, 1))
    ax = left.add_axes((0, 0, 1, 1))
    assert views.causal_map_figure(run, ax=ax) is figure
    panels = [each for each in figure.axes if each is not ax]
    assert all(not _outside(box, left.bbox) for box in _ink(figure, panels))


@pytest.mark.parametrize("kind", DRAWN)
def test_axes_that_are_too_small_are_refused_with_the_size_that_is_needed(run, kind):
    ax = Figure(figsize=(3, 2)).add_axes((0, 0, 1, 1))
    with pytest.raises(BadInput, match=r"ax is 3\.0 x 2\.0 inches .* at least .*larger"):
        DRAWN[kind](run, ax=ax)


@pytest.mark.parametrize("inches", [3.35, 7.0])
@pytest.mark.parametrize("kind", DRAWN)
def test_nothing_is_cut_or_below_6_points_at_the_width_of_print(run, kind, inches):
    with figure_style(), page_width(inches):
        figure = DRAWN[kind](run)
    if kind != "causal-map":  # needs the page
        assert figure.get_figwidth() <= inches + 0.01
    assert not [_outside(box, figure.bbox) for box in _ink(figure, figure.axes)
                if _outside(box, figure.bbox)]  # fmt: skip
    texts = [text for text in figure.findobj(mpl.text.Text) if text.get_text()]
    assert texts
    assert min(text.get_fontsize() for text in texts) >= 6


def _lines(ax):
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in ax.lines}


def _meshes(figure):
    return [each for ax in figure.axes for each in ax.collections if isinstance(each, QuadMesh)]


def _same(shown, numbers):
    np.testing.assert_allclose(np.ma.filled(np.ma.asarray(shown, float), np.nan), numbers)


@pytest.mark.parametrize("inches", [None, 3.35])
def test_the_curves_are_the_numbers_of_their_table(run, inches):
    table = drawn("curves", [run])
    with page_width(inches):
        figure = views.curves_figure([run])
    shown = [ax for ax in figure.axes if ax.lines]
    kinds = [("accuracy", ""), ("loss", ""), *(("ari", p) for p in run.positions)]
    for ax, (kind, position) in zip(shown, kinds, strict=True):
        rows = table[table["curve"] == kind]
        rows = rows[rows["position"] == position] if position else rows
        lines = _lines(ax)
        for series, of_one in rows.groupby("series"):
            _same(lines[series.replace("_", " ") if not position else series],
                  of_one.sort_values("step")["value"])  # fmt: skip
        if position:
            thick = rows[rows["series"] == run.chosen_stream(position)].sort_values("step")
            for column, name in {"n0_q99": "N0 (99 %)", "n1_max": "N1 (max)"}.items():
                _same(lines[name], thick[column])


def test_the_heat_maps_are_the_numbers_of_their_table(run):
    table = drawn("heat-maps", [run])
    meshes = _meshes(views.heat_maps_figure([run]))
    for mesh, position in zip(meshes, run.positions, strict=False):
        wide = table[table["position"] == position].pivot(
            index="stream", columns="step", values="value"
        )
        _same(mesh.get_array(), wide.loc[run.streams])


def test_the_maps_of_places_are_the_numbers_of_their_table(run):
    table = drawn("places", [run])
    wide = table.pivot(index="stream", columns="position", values="ari")
    first = _meshes(views.places_figure(run))[0]
    _same(first.get_array(), np.clip(wide.loc[run.streams, run.positions], 0, 1))
    table = drawn("causal-map", [run])
    for mesh, position in zip(_meshes(views.causal_map_figure(run)), run.positions, strict=False):
        rows = table[table["position"] == position].set_index("stream")
        rows = rows.reindex([each for each in run.streams if each in rows.index])
        cells = rows[["ari", "shift", "patch", "erase"]].astype(float)
        _same(mesh.get_array(), np.clip(cells, 0, 1))


def test_doses_and_redirections_are_the_numbers_of_their_table(run):
    table = drawn("causal-doses", [run])
    curves, matrix = views.doses_figure(run).axes[:2]
    of_edit = table[table["edit"].notna()]
    lines = [line for line in curves.lines if len(line.get_xdata()) > 2]
    shown = [(edit, of_edit[of_edit["edit"] == edit].sort_values("dose"))
             for edit in ("shift", "shuffled", "random_direction")]  # fmt: skip
    for line, (_, rows) in zip(lines, shown, strict=True):
        _same(line.get_xdata(), rows["dose"])
        _same(line.get_ydata(), rows["redirected"])
    wide = table[table["task"].notna()].pivot(index="task", columns="target", values="redirected")
    _same(matrix.images[0].get_array(), wide)


@pytest.mark.parametrize("inches", [None, 3.35])
def test_the_points_of_states_are_those_of_their_table(run, inches):
    with page_width(inches):
        figure = views.pictures_figure(run)
    points = np.concatenate([dots.get_offsets() for ax in figure.axes for dots in ax.collections])
    table = drawn("states", [run])[["x", "y"]].to_numpy(float)
    assert len(points) == len(table)
    _same(np.sort(points, axis=0), np.sort(table, axis=0))


def test_the_dots_of_labels_and_their_bars_are_those_of_their_table(run):
    table = drawn("labels", [run])
    figure = views.labels_figure(run)
    bars = np.sort([bar.get_width() for ax in figure.axes for bar in ax.patches])
    dots = table[table["mark"] == "dot"]
    _same(bars[np.isfinite(bars)], np.sort(dots["null"].dropna()))
    shown = [np.ma.filled(each.get_offsets()[:, 0], np.nan) for ax in figure.axes
             for each in ax.collections]  # fmt: skip
    rings = table[table["mark"] != "dot"]
    wanted = [*table["value"], *rings["null"]]
    _same(np.sort([x for each in shown for x in each if np.isfinite(x)]),
          np.sort(pd.Series(wanted, dtype=float).dropna()))  # fmt: skip


def test_the_arrow_to_earlier_steps_ends_before_the_axis(run):
    with page_width(3.35), figure_style():
        figure = views.curves_figure([run])
    figure.draw(FigureCanvasAgg(figure).get_renderer())
    for ax in figure.axes:
        for note in ax.texts:
            if getattr(note, "arrow_patch", None) is not None:
                ends = note.arrow_patch.get_window_extent()
                assert ends.x0 > ax.bbox.x0


def test_text_stays_text_in_svg_and_pdf(run, tmp_path):
    with figure_style():
        save(views.places_figure(run), tmp_path / "a")
    assert b"/Type42" in (pdf := (tmp_path / "a.pdf").read_bytes()) or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert b"final_norm</text>" in (tmp_path / "a.svg").read_bytes()


def test_names_of_many_tasks_do_not_lie_on_each_other(run):
    with page_width(3.35), figure_style():
        matrix = views.doses_figure(run).axes[1]
    renderer = FigureCanvasAgg(matrix.figure).get_renderer()
    matrix.figure.draw(renderer)
    heights = [label.get_window_extent(renderer) for label in matrix.get_yticklabels()]
    tops = sorted((box.y0, box.y1) for box in heights)
    assert len(tops) > 2
    assert all(below[1] <= above[0] + SLACK for below, above in pairwise(tops))
