"""The report is the app's view in one file: whole, inert, quiet, the same each time, bounded."""

import base64
import dataclasses
import gzip
import hashlib
import html.parser
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import any_runs
from nucleate._core.errors import BadInput
from nucleate.findings import finding
from nucleate.runs import Run
from nucleate.views import RunView, write_report
from served import browsing

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "</script><script>document.title='owned'</script><!--\"'&\u202e"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return any_runs.make(tmp_path_factory.mktemp("report") / "mine", measured=True)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory) -> Path:
    return write_report([RunView(run)], tmp_path_factory.mktemp("page") / "report.html")


class _Page(html.parser.HTMLParser):
    """Elements, the text of each script, and the attributes of everything."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.inside = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):  # noqa: ARG002 - the parser's form
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            about, text = self.scripts[-1]
            self.scripts[-1] = (about, text + data)

    @property
    def parts(self) -> dict[str, bytes]:
        """What the page carries, by path."""
        found = {}
        for about, text in self.scripts:
            folder = about.get("id")
            if folder is None:
                continue
            for line in filter(None, text.split("\n")):
                name, _, written = line.partition(" ")
                data = base64.b64decode(written)
                whole = gzip.decompress(data) if name.endswith(".json") else data
                found[folder.removeprefix("data:") + name] = whole
        return found


def test_it_carries_every_part_of_the_run_byte_for_byte(run, page):
    view = RunView(run)
    carried = _Page(page).parts
    listed = json.loads(carried.pop("runs.json"))
    assert [line["id"] for line in listed["runs"]] == ["mine"]
    assert listed["left_out"] == []
    assert {f"run/mine/{path}" for path in view.paths()} == set(carried)
    for path in view.paths():
        if path.startswith("cloud/"):
            assert json.loads(carried[f"run/mine/{path}"]) == json.loads(view.get(path))
        else:
            assert carried[f"run/mine/{path}"] == view.get(path), path


def test_it_allows_itself_its_own_script_and_no_network(page):
    parsed = _Page(page)
    policy = next(about["content"] for tag, about in parsed.tags if "http-equiv" in about)
    code = next(text for about, text in parsed.scripts if about.get("type") == "module")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert "connect-src" not in rules
    assert not any("src" in about for tag, about in parsed.tags if tag == "script")
    assert [a["href"] for t, a in parsed.tags if t == "link"] == ["data:,"]


def test_a_reader_without_scripts_is_told_what_was_found(run, page):
    source = page.read_text(encoding="utf-8")
    told = re.search(r"<noscript>(.*)</noscript>", source, re.DOTALL)
    assert told
    assert finding(RunView(run).summary).replace("'", "&#x27;") in told[1]


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(run, page, tmp_path):
    moved = Run(shutil.copytree(run.path, tmp_path / "elsewhere" / "mine"))
    again = write_report([RunView(moved)], tmp_path / "again.html")
    assert again.read_bytes() == page.read_bytes()
    assert str(tmp_path).encode() not in again.read_bytes()


def _hostile(folder: Path, streams: tuple[str, ...]) -> Run:
    """A run whose names and texts are all markup."""
    plain = any_runs.prompts_of()
    labels = {name: tuple(HOSTILE + text for text in texts) for name, texts in plain.labels.items()}
    prompts = dataclasses.replace(plain, labels=labels)
    run = Run.create(folder, prompts, {"name": HOSTILE})
    for step in (0, 2):
        run.save_snapshot(step, any_runs.states_of(plain, 3.0 * step, step, streams), {})
    return run


def test_names_and_prompts_cannot_leave_the_data(tmp_path):
    made = _hostile(tmp_path / "mine", ("a/b(1)", "<b>"))
    parsed = _Page(write_report([RunView(made)], tmp_path / "r.html", title=HOSTILE))
    assert sum(about.get("type") == "module" for about, _ in parsed.scripts) == 1
    assert all("id" in about or about.get("type") == "module" for about, _ in parsed.scripts)
    assert any(path.startswith("run/") and "a%2Fb%281%29" in path for path in parsed.parts)
    assert "<script>document" not in parsed.source


def test_runs_of_one_name_do_not_take_each_others_place(run, tmp_path):
    other = any_runs.make(tmp_path / "mine", seed=1, steps=(0, 8), measured=True)
    page = write_report([RunView(run), RunView(other)], tmp_path / "both.html")
    parts = _Page(page).parts
    ids = [line["id"] for line in json.loads(parts["runs.json"])["runs"]]
    assert ids == ["mine-1", "mine-2"]
    for name, each in zip(ids, (run, other), strict=True):
        assert json.loads(parts[f"run/{name}/view.json"])["steps"] == each.steps


@pytest.fixture(scope="module")
def big(tmp_path_factory) -> Run:
    """A run whose clouds are most of it."""
    steps = range(0, 40, 2)
    return any_runs.make(tmp_path_factory.mktemp("big") / "big", steps=steps, measured=True)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Clouds are made once for all sizes."""
    return tmp_path_factory.mktemp("clouds")


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.9, ["bases-told"]), (0.4, ["bases-none"]), (0.2, ["bases-told", "places-told"])],
)
def test_a_size_is_kept_and_what_is_left_out_is_said(big, kept, tmp_path, share, said):
    view = RunView(big, cache=kept)
    whole = write_report([view], tmp_path / "whole.html").stat().st_size
    frames = sum(len(view.get(path)) for path in view.paths()
                 if path.startswith("frames/")) * 4 / 3  # fmt: skip
    most = (whole - (1 - share) * frames + 20_000) / 1e6
    page = write_report([view], tmp_path / "less.html", max_mb=most)
    assert page.stat().st_size <= most * 1e6
    parts = _Page(page).parts
    left = json.loads(parts["runs.json"])["left_out"]
    assert [each["what"] for each in left] == said
    assert "run/big/tables/panel.json" in parts


def test_a_thinned_cloud_says_how_many_of_its_rows_it_shows(big, monkeypatch):
    from nucleate.views import _carried

    extent = _carried.Extent(rows=10, every=4)
    view = RunView(big)
    parts = dict(_carried.carried(view, extent))
    whole = json.loads(view.get("cloud/block.1/last/tasks.json"))
    about = json.loads(parts["cloud/block.1/last/tasks.json"])
    assert about["rows"] == len(about["index"]) == 10
    assert about["total"] == whole["total"]
    assert set(about["index"]) < set(whole["index"])
    steps = [frame["step"] for frame in about["frames"]]
    assert steps[0] == 0
    assert steps[-1] == 38
    assert len(steps) == 6
    for step in steps:
        thin = np.frombuffer(parts[f"frames/block.1/last/tasks/{step}.i16"], "<i2")
        full = np.frombuffer(view.get(f"frames/block.1/last/tasks/{step}.i16"), "<i2")
        rows = np.searchsorted(whole["index"], about["index"])
        np.testing.assert_array_equal(thin.reshape(10, -1), full.reshape(whole["rows"], -1)[rows])
    left = _carried.left_out([view], extent)
    assert left == [{"what": "rows", "kept": 10, "of": whole["rows"]},
                    {"what": "steps", "kept": 6, "of": 20}]  # fmt: skip


def test_a_size_below_that_of_the_numbers_is_refused_with_what_it_takes(run, tmp_path):
    with pytest.raises(BadInput, match=r"takes .* MB.*raise max_mb"):
        write_report([RunView(run)], tmp_path / "r.html", max_mb=0.21)
    assert not (tmp_path / "r.html").exists()


def test_no_runs_are_refused(tmp_path):
    with pytest.raises(BadInput, match="0 runs"):
        write_report([], tmp_path / "r.html")


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium")
    with browsing() as chromium:
        yield chromium


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_it_opens_from_a_file_that_was_moved_and_asks_for_nothing(
    browser, page, run, tmp_path, scheme, width
):
    moved = shutil.copy(page, tmp_path / "mailed.html")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    asked, complaints = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(Path(moved).as_uri())
    tab.get_by_role("heading", level=1).filter(has_text=finding(RunView(run).summary)).wait_for()
    tab.locator("canvas").first.wait_for()
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [moved.as_uri()]
    assert tab.evaluate("document.querySelectorAll('*').length") < 3000
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.locator("canvas[data-rest=true]").first.wait_for()
    for kind, begins in (("PNG", b"\x89PNG\r\n"), ("SVG", b"<svg ")):
        with tab.expect_download() as saved:
            tab.get_by_role("button", name=f"Save {kind}").click()
        assert saved.value.suggested_filename.startswith("mine-")
        data = Path(saved.value.path()).read_bytes()
        assert data.startswith(begins)
        assert len(data) > 4000
        assert b"var(" not in data
    tab.get_by_role("button", name="Evidence").click()
    tab.locator("summary", has_text="Metrics by place").first.click()
    with tab.expect_download() as saved:
        tab.get_by_role("button", name="CSV").click()
    lines = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) - 1 == len(json.loads(RunView(run).get("tables/panel.json"))["rows"])
    links = tab.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)
    assert complaints == []
    context.close()


def test_hostile_names_do_nothing_in_a_browser(browser, tmp_path):
    made = _hostile(tmp_path / "mine", any_runs.STREAMS)
    path = write_report([RunView(made)], tmp_path / "r.html", title=HOSTILE)
    tab = browser.new_page()
    complaints = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto(path.as_uri())
    tab.locator("canvas").first.wait_for()
    assert tab.title() != "owned"
    assert complaints == []
    tab.close()
