"""Every block of code in the README and the docs runs as it is printed."""

import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import doc_world
from in_process import runner

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
# `make` is what a checkout is set up with, and trainings take minutes: their own tests run them.
_ELSEWHERE = (
    "make ", "nucleate reproduce", "nucleate study run", "nucleate forecast",
    "nucleate study table policies.yaml --rank", "nucleate gate trial --run", "nucleate gate conf",
    "nucleate serve my-atlas",
)  # fmt: skip

# The README takes as long, and is what most people try.
_SLOW = ("looking.md", "measuring.md")


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """Line, language and code of each block, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        (text[: found.start()].count("\n") + 2, found[2], textwrap.dedent(found[3]))
        for found in _BLOCK.finditer(text)
    ]


def commands(code: str) -> Iterator[list[str]]:
    """The words of each command line of a block, comments left out."""
    for line in code.replace("\\\n", " ").splitlines():
        if line.startswith("nucleate "):
            yield shlex.split(line, comments=True)[1:]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    return folder, doc_world.build(folder)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] * (page.name in _SLOW))
        for page in PAGES
    ],
)
def test_every_block_of_a_page_runs_as_printed(page, world, tmp_path, capfd, monkeypatch):
    built, names = world
    folder = Path(shutil.copytree(built, tmp_path / "docs"))
    if 'nc.Recorder("runs/mine"' in page.read_text(encoding="utf-8"):
        shutil.rmtree(folder / "runs" / "mine")  # the page records it itself
    monkeypatch.chdir(folder)
    run, scope = runner(capfd, monkeypatch), dict(names)
    for line, language, code in blocks(page):
        if language == "python":
            where = f"{page.name}:{line}"
            exec(compile(code, where, "exec"), scope)
            continue
        for words in commands(code):
            if shlex.join(["nucleate", *words]).startswith(_ELSEWHERE):
                continue
            done = run(*words)
            assert done.returncode in (0, 1), f"{page.name}:{line} {words}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_a_page_gives_to_reproduce_exist(page, world, capfd, monkeypatch):
    monkeypatch.chdir(world[0])
    run = runner(capfd, monkeypatch)
    for line, _, code in blocks(page):
        for words in commands(code):
            if words[0] != "reproduce":
                continue
            # How its data are made is no setting: the null model.
            settings = [word for word in words[1:] if word not in ("--null", "scrambled")]
            done = run("config", "show", *settings)
            assert done.returncode == 0, f"{page.name}:{line} {words}: {done.stderr}"


def test_blocks_are_found():
    found = [block for page in PAGES for block in blocks(page)]
    assert sum(language == "python" for _, language, _ in found) > 8
    assert sum(1 for _, _, code in found for _ in commands(code)) > 8
