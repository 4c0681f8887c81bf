"""Examples in docstrings work, and what the docs name exists."""

import doctest
import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

import nucleate
from nucleate import checkpoints, dynamics, intervene, metrics, panel, prompts, recording, tasks
from nucleate.activations import capture
from test_rooms import ROOMS

ROOT = Path(__file__).parents[1]
SHOWN = (
    capture, prompts.PromptSet.from_records, panel.measure, intervene.shift, recording.Recorder,
    checkpoints.Series, intervene.CausalMap, tasks.synthetic, metrics.kmeans, metrics.agreement,
    dynamics.onset,
)  # fmt: skip


def examples() -> list[doctest.DocTest]:
    """Those of every public name of every room."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for room in (room for room in ROOMS if room not in ("_core", "cli")):
        module = import_module(f"nucleate.{room}")
        for name in module.__all__:
            item = getattr(module, name)
            if getattr(item, "__module__", "").startswith("nucleate."):
                for test in finder.find(item, name, globs={}):
                    if test.examples:
                        found[id(item), test.name] = test
    return list(found.values())


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example_gives_what_it_shows(example):
    said: list[str] = []
    failed = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
        example, out=said.append
    )
    assert failed.failed == 0, "".join(said)


@pytest.mark.parametrize("item", SHOWN, ids=lambda item: item.__qualname__)
def test_the_main_names_have_an_example(item):
    assert ">>> " in item.__doc__


def named_in(file: Path) -> set[str]:
    """Names written as `nc.name` in code."""
    text = file.read_text(encoding="utf-8")
    code = re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL)
    return {name for part in code for name in re.findall(r"\bnc\.((?:\w+\.)*\w+)", part)}


@pytest.mark.parametrize("file", ["README.md", *sorted(p.name for p in ROOT.glob("docs/*.md"))])
def test_every_name_in_the_docs_exists(file):
    path = ROOT / file if file == "README.md" else ROOT / "docs" / file
    for name in named_in(path):
        assert reduce(getattr, name.split("."), nucleate) is not None, name


def test_the_docs_name_something():
    assert {"capture", "measure", "Recorder"} <= named_in(ROOT / "README.md") | named_in(
        ROOT / "docs" / "recording.md"
    )


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in ("_core", "cli")])
def test_tab_completion_shows_every_room_and_its_names(room):
    assert room in dir(nucleate)
    module = import_module(f"nucleate.{room}")
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None
