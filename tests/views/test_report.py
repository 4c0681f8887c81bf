"""The report and its figures: whole, the same each time, inert, and quiet on the network."""

import dataclasses
import hashlib
import html.parser
import itertools
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nucleate import views
from nucleate._core.errors import BadInput
from nucleate.findings import cluster_verdict, words

SECONDS = {"training": 61.0, "panel": 9.0}
CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "<script>document.title='owned'</script>\"'&$x_{2$\x00\u202e"


@pytest.fixture(scope="module")
def runs(make_view):
    return [make_view("own", "own"), make_view("shared", "shared")]


@pytest.fixture(scope="module")
def report(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return views.write_report(runs, folder, title="Do clusters form?", seconds=SECONDS)


@pytest.fixture(scope="module")
def hostile_report(make_view, tmp_path_factory):
    run = make_view("own", "own")
    named = run.summary.model_copy(update={"name": HOSTILE, "tasks": HOSTILE, "model": HOSTILE})
    picture = run.picture.assign(task=run.picture["task"].replace({"t00": HOSTILE, "t01": "_x"}))
    bad = dataclasses.replace(
        run,
        summary=named,
        picture=picture,
        patterns={HOSTILE: (HOSTILE,)},
        examples=[(HOSTILE,) * 4],
        config={HOSTILE: {"a": HOSTILE}},
        provenance={HOSTILE: HOSTILE},
    )
    folder = tmp_path_factory.mktemp("hostile")
    return views.write_report([bad], folder, title=HOSTILE, seconds={HOSTILE: 1.0})


@pytest.fixture(scope="module")
def null_report(make_view, tmp_path_factory):
    run = make_view("scrambled", "own", False)
    return views.write_report([run], tmp_path_factory.mktemp("null"), title="t", seconds={})


class _Page(html.parser.HTMLParser):
    """Tags in order, checked for balance; text of headings; text of everything."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_every_figure_and_table_is_written_and_named_on_the_page(report):
    source = report.read_text()
    stems = ["curves", "heat-maps"]
    stems += [
        f"{kind}-{run}" for run in ("own", "shared") for kind in ("causal-map", "states", "labels")
    ]
    for stem in stems:
        for ending in ("png", "svg", "pdf"):
            assert (report.parent / "figures" / f"{stem}.{ending}").stat().st_size > 1000
            assert f"figures/{stem}.{ending}" in source
    for run in ("own", "shared"):
        panel = pd.read_csv(report.parent / "tables" / f"{run}-panel.csv")
        assert {"n0_q99", "n1_max", "n2"} < set(panel.columns)


def test_the_page_is_well_formed_with_headings_in_order_and_alternatives(report):
    page = _Page(report.read_text())
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(image["alt"] for image in page.all("img"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all("scope" in cell for cell in page.all("th"))
    anchors = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}
    assert anchors <= {str(tag[1].get("id")) for tag in page.tags}


def test_the_page_forbids_itself_the_network(report):
    page = _Page(report.read_text())
    policy = next(meta for meta in page.all("meta") if "http-equiv" in meta)
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert page.all("script") == []
    assert all(image["src"].startswith("data:") for image in page.all("img"))


def test_the_words_of_the_runs_and_their_nulls_stand_on_the_page(report, runs):
    source = re.sub(r"<[^>]+>", "", report.read_text())
    for run in runs:
        for line in words(run.summary):
            assert line.replace("'", "&#x27;") in source
    assert "N0 0.06 · N1 0.19 · N2 0.12" in source


def test_the_same_run_gives_the_same_bytes(make_view, null_report, tmp_path):
    again = make_view("scrambled", "own", False)
    views.write_report([again], tmp_path, title="t", seconds={})
    for path in sorted(null_report.parent.rglob("*.*")):
        twin = tmp_path / path.relative_to(null_report.parent)
        assert (
            hashlib.sha256(twin.read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest()
        ), path.name


def test_hostile_names_are_inert(hostile_report):
    source = hostile_report.read_text()
    page = _Page(source)
    assert page.all("script") == []
    assert "&lt;script&gt;" in source
    assert "\x00" not in source
    assert "\u202e" not in source
    for svg in (hostile_report.parent / "figures").glob("*.svg"):
        assert "<script" not in svg.read_text()


def test_a_run_that_found_nothing_says_so_first(null_report):
    source = null_report.read_text()
    assert "<b>The states group by task at none of 16 places in the network; none matters" in source
    assert "Used at" not in source


def test_a_run_without_pictures_and_interventions_still_has_a_report(make_view, tmp_path):
    run = make_view()
    bare = dataclasses.replace(
        run,
        picture=run.picture.iloc[:0],
        places=run.places.drop(columns=["use", "verdict"]),
        summary=untested(run.summary),
        patterns={},
        examples=[],
    )
    assert (
        "was not tested" in views.write_report([bare], tmp_path, title="t", seconds={}).read_text()
    )


def untested(summary):
    places = [p.model_copy(update={"effects": None, "verdict": None}) for p in summary.places]
    verdict = summary.verdict.model_copy(update={"used": "not tested"})
    return summary.model_copy(update={"places": places, "verdict": verdict})


def test_no_runs_are_refused(tmp_path):
    with pytest.raises(BadInput, match="0 runs"):
        views.write_report([], tmp_path, title="t", seconds={})


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


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()


@pytest.mark.parametrize("which", ["report", "hostile_report"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_it_opens_from_a_file_without_requests_errors_or_overflow(
    browser, request, which, scheme, width
):
    path = request.getfixturevalue(which)
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert complaints == []
    assert page.title() != "owned"
    images = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert images
    assert all(images)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
