"""Runs in a notebook: messages are answered from the runs alone, and the frame shows the app."""

import json
import sys
from base64 import b64encode
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import any_runs
import nucleate as nc
from nucleate._core.errors import BadInput
from nucleate.runs import Run
from nucleate.views import RunView, id_of
from served import watched

pytest.importorskip("anywidget")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return any_runs.make(tmp_path_factory.mktemp("shown") / "mine", measured=True)


class _Notebook:
    """The messages between a page and a widget, without a kernel between them."""

    def __init__(self, widget) -> None:
        self._widget, self._said = widget, []
        widget.send = lambda content, buffers=None: self._said.append((content, buffers))

    def ask(self, content) -> tuple[dict, list[bytes]]:
        self._widget._handle_custom_msg(content, [])
        return self._said.pop()


def test_a_part_comes_as_the_bytes_that_the_view_has(run):
    notebook, view, name = _Notebook(nc.show(run)), RunView(run), id_of(run.path)
    for path in ("view.json", "rows.json", "cloud/block.1/last/tasks.json",
                 "frames/block.1/last/tasks/8.i16"):  # fmt: skip
        said, data = notebook.ask({"id": 7, "path": f"run/{name}/{path}"})
        assert said == {"id": 7, "fault": ""}
        assert data == [view.get(path)]
    frame = np.frombuffer(data[0], "<i2")
    assert frame.any()


def test_paths_runs_and_several_runs_can_be_shown(run, tmp_path):
    other = any_runs.make(tmp_path / "other")
    for given, names in (((run,), ["mine"]), ((str(run.path),), ["mine"]),
                         ((run.path, other), ["mine", "other"])):  # fmt: skip
        _, data = _Notebook(nc.show(*given)).ask({"id": 1, "path": "runs.json"})
        assert [line["name"] for line in json.loads(data[0])["runs"]] == names


@pytest.mark.parametrize(
    "asked",
    [None, "view.json", {}, {"path": None}, {"path": ""}, {"path": "view.json"},
     {"path": "run/elsewhere-00000000/view.json"}, {"path": "run/ID/../../manifest.json"},
     {"path": "run/ID/%2e%2e/manifest.json"}, {"path": "run/ID/tables/../panel.csv"},
     {"path": "run/ID/manifest.json"}, {"path": "/etc/passwd"}, {"path": "run/ID//etc/passwd"}],
)  # fmt: skip
def test_what_is_no_part_of_a_run_shown_gives_a_fault_and_no_data(run, asked):
    if isinstance(asked, dict) and asked.get("path"):
        asked = {"id": 3, "path": asked["path"].replace("ID", id_of(run.path))}
    said, data = _Notebook(nc.show(run)).ask(asked)
    assert said["fault"]
    assert data == []


def test_wrong_calls_say_what_to_give_instead(run, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="name one run"):
        nc.show()
    with pytest.raises(BadInput, match="'en' or 'ja'"):
        nc.show(run, lang="fr")
    with pytest.raises(BadInput):
        nc.show(tmp_path / "none")
    from nucleate.views import _show

    monkeypatch.setitem(sys.modules, "anywidget", None)
    _show._widget.cache_clear()
    with pytest.raises(BadInput, match=r"nucleate\[notebook\]"):
        nc.show(run)
    _show._widget.cache_clear()


_HOST = """
<!doctype html><html><body style="color: rgb(1, 2, 3)"><input id="cell"><p>a cell</p>
<div id="out"></div><script type="module">
const { default: widget } = await import("data:text/javascript;base64,MODULE");
const heard = new Set();
const model = {
  get: (name) => ({ height: 700 })[name],
  on: (_, call) => heard.add(call), off: (_, call) => heard.delete(call),
  send: async (content) => {
    const { said, data } = await window.ask(content);
    const buffers = data.map((text) => {
      const bytes = Uint8Array.from("pad" + atob(text), (c) => c.charCodeAt(0));
      return new DataView(bytes.buffer, 3);
    });
    for (const call of heard) call(said, buffers);
  },
};
window.stop = await widget.render({ model, el: document.getElementById("out") });
window.heard = heard;
</script></body></html>
"""


def test_the_module_shows_the_app_in_a_frame_that_leaves_the_notebook_alone(browser, run):
    widget = nc.show(run, lang="en")
    notebook, asked = _Notebook(widget), []

    def ask(content):
        asked.append(content["path"])
        said, data = notebook.ask(content)
        return {"said": said, "data": [b64encode(each).decode() for each in data]}

    module = b64encode(Path(str(files("nucleate.views") / "widget.js")).read_bytes()).decode()
    with watched(browser) as page:
        page.expose_function("ask", ask)
        requests: list[str] = []
        page.route("http://notebook.invalid/", lambda route: route.fulfill(
            content_type="text/html", body=_HOST.replace("MODULE", module)))  # fmt: skip
        page.on("request", lambda request: requests.append(request.url))
        page.goto("http://notebook.invalid/")
        frame = page.frame_locator("iframe")
        frame.get_by_text("The states group by task").first.wait_for()
        frame.locator(".stage[aria-busy=false] canvas").first.wait_for()
        assert frame.get_by_text("This file shows").count() == 0
        assert any(path.endswith(".i16") for path in asked)
        # Keys that the app knows are the notebook's own outside the frame, and so are its styles.
        before = len(asked)
        page.locator("#cell").fill("")
        page.locator("#cell").press("n")
        page.locator("#cell").press("Space")
        page.wait_for_timeout(300)
        assert page.locator("#cell").input_value() == "n "
        assert len(asked) == before
        assert page.url == "http://notebook.invalid/"
        style = "getComputedStyle(document.body)"
        assert page.evaluate(f"{style}.color") == "rgb(1, 2, 3)"
        assert page.evaluate("document.documentElement.dataset.theme ?? ''") == ""
        # Within it they do what they do in the app.
        frame.locator("h2").first.click()
        page.keyboard.down("n")
        frame.get_by_text("Null: tasks shuffled").first.wait_for()
        assert [url for url in requests if not url.startswith(("data:", "about:"))] == [
            "http://notebook.invalid/"
        ]
        page.keyboard.up("n")
        page.evaluate("window.stop()")
        assert page.evaluate("window.heard.size") == 0
