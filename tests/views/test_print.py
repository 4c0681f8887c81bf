"""Figures at the width of print: nothing cut, nothing too small, text that stays text."""

import dataclasses
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nucleate import views
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


def _same(shown, numbers):
    np.testing.assert_allclose(np.ma.filled(np.ma.asarray(shown, float), np.nan), numbers)


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


@pytest.mark.parametrize("high", [1, 6, 100])
def test_the_arrow_to_earlier_steps_ends_before_the_axis(run, high):
    clusters = run.summary.clusters["last"]
    early = clusters.onset.model_copy(update={"step": 1, "low": 0, "high": high, "first_step": 0})
    found = clusters.model_copy(update={"onset": early, "verdict": "clusters"})
    summary = run.summary.model_copy(update={"clusters": {"last": found}})
    ax = Figure(figsize=(3.35, 2)).add_axes((0.2, 0.2, 0.7, 0.7))
    figure = views.cluster_curves(
        dataclasses.replace(run, summary=summary), "last", ax=ax, legend=False
    )
    figure.draw(FigureCanvasAgg(figure).get_renderer())
    arrows = [note.arrow_patch for note in ax.texts if getattr(note, "arrow_patch", None)]
    assert arrows or high == 1
    assert all(arrow.get_window_extent().x0 > ax.bbox.x0 + 2 for arrow in arrows)


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
