"""Runs in a notebook: the app as a widget, which asks for the parts of runs by messages."""

from functools import cache as once
from importlib.resources import files
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput
from nucleate.runs import Run
from nucleate.views._embedded import front_end
from nucleate.views._line import id_of, line_of
from nucleate.views._run_view import RunView
from nucleate.views._view_values import plain_json

_LANGUAGES = ("", "en", "ja")


def show(
    *runs: Run | Path | str, height: int = 760, lang: str = "", cache: Path | str | None = None
) -> Any:
    """Show runs in a notebook, as the app does.

    Args:
        runs: one or more runs, or their folders; shown as they are now.
        height: of the cell's output in pixels.
        lang: "en" or "ja"; by default the browser's own.
        cache: a folder where clouds are kept, as for `RunView`.

    Returns:
        A widget, which a notebook draws where it is the last value of a cell.

    Raises:
        BadInput: no runs, a folder that is none, another language, or anywidget is missing.
    """
    if not runs:
        raise BadInput("nothing to show; name one run or more, as in nc.show('runs/mine')")
    if lang not in _LANGUAGES:
        raise BadInput(f"lang is 'en' or 'ja', not {lang!r}")
    views = {}
    for run in runs:
        view = RunView(run, cache=cache)
        views[id_of(view.run.path)] = view
    return _widget()(_Parts(views, lang), height=height)


class _Parts:
    """What a widget may ask for: the page, the list of runs, and their parts; nothing else."""

    def __init__(self, views: dict[str, RunView], lang: str) -> None:
        self._views, self._lang = views, lang

    def get(self, path: str) -> bytes:
        """One part.

        Raises:
            BadInput: there is no such part.
        """
        if path == "page.html":
            return _page(self._lang)
        if path == "runs.json":
            lines = [line_of(view.run.path) | {"id": name} for name, view in self._views.items()]
            return plain_json({"runs": lines})
        first, _, rest = path.partition("/")
        name, _, part = rest.partition("/")
        if first != "run" or name not in self._views:
            raise BadInput(f"there is no part {path!r}; `runs.json` is where to begin")
        return self._views[name].get(part)


def _page(lang: str) -> bytes:
    script, style = front_end()
    return f"""<!doctype html>
<html lang="{lang or "en"}" data-lang="{lang}">
<head><meta charset="utf-8"><title>nucleate</title>
<style>
{style}
</style></head>
<body><div id="nucleate"></div>
<script type="module">{script}</script></body>
</html>
""".encode()


@once
def _widget() -> Any:
    """The class of widgets; made once, since a notebook keeps every class that it is told of."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise BadInput(
            "a notebook needs the package anywidget to show runs; install it with "
            "pip install 'nucleate[notebook]', or write a report"
        ) from None

    class RunWidget(anywidget.AnyWidget):  # type: ignore[misc]
        """Answers what the app asks for."""

        _esm = (files("nucleate.views") / "widget.js").read_text(encoding="utf-8")
        height = traitlets.Int(760).tag(sync=True)

        def __init__(self, parts: _Parts, **traits: Any) -> None:
            super().__init__(**traits)
            self._parts = parts
            self.on_msg(self._answer)

        def _answer(self, _: Any, asked: Any, __: Any) -> None:
            known = asked if isinstance(asked, dict) else {}
            answer = {"id": known.get("id"), "fault": ""}
            try:
                data = [self._parts.get(str(known.get("path")))]
            except (BadInput, OSError) as error:
                answer["fault"], data = str(error), []
            self.send(answer, data)

    return RunWidget
