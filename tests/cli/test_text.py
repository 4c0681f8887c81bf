"""Help, sentences and errors break between words only, at any width."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from in_process import runner
from nucleate.cli._text import _wrapped, say
from nucleate.cli._watch import _print

WIDTHS = (20, 25, 33, 40, 59, 60, 61, 79, 80, 100, 101, 132, 200)
VERBS = ("", "reproduce", "record", "measure", "intervene", "export", "series", "series check",
         "config", "config show")  # fmt: skip
SENTENCE = (
    "nucleate: no setting is named 'training.learning_rat' (did you mean "
    "'training.learning_rate'?); see /some/very/long/path/of-a-folder/with-hyphens/runs/a.jsonl"
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def nucleate(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


@given(st.lists(st.text("ab-/_.", min_size=1, max_size=30)), st.integers(1, 200), st.integers(0, 9))
def test_wrapping_changes_nothing_but_white_space(words, width, indent):
    lines = _wrapped(" ".join(words), width, " " * indent)
    assert " ".join(lines).split() == words
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_the_same_words_at_every_width(nucleate, monkeypatch, verb):
    said = {}
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        done = nucleate(*verb.split(), "--help")
        assert done.returncode == 0
        said[width] = done.stdout.split()
        for line in done.stdout.splitlines():
            assert len(line) <= max(width, 32) or len(line.split()) == 1, (width, line)
    assert len(said[200]) > 20
    assert all(words == said[200] for words in said.values())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("arguments", [
    ("reproduce", "--set", "training.learning_rat=3"), ("nosuch",),
    ("measure", "run", "--permutations", "x"), ("export", "run", "--to", "comet"),
])  # fmt: skip
def test_an_error_on_a_terminal_breaks_no_word(monkeypatch, arguments, width):
    from nucleate.cli import main

    def said(stream: io.StringIO) -> str:
        monkeypatch.setattr(sys, "argv", ["nucleate", *arguments])
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        return stream.getvalue()

    monkeypatch.setenv("COLUMNS", str(width))
    plain, wrapped = said(io.StringIO()), said(Terminal())
    assert plain.count("\n") == 1
    assert wrapped.split() == plain.split()
    assert all(len(line) <= width or " " not in line for line in wrapped.splitlines())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_line_beside_bars_breaks_no_word(width):
    out = io.StringIO()
    _print(Console(file=out, width=width, force_terminal=True, color_system=None), SENTENCE)
    assert out.getvalue().split() == SENTENCE.split()


def test_a_sentence_that_is_no_terminals_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    say(SENTENCE)
    assert capsys.readouterr().out == SENTENCE + "\n"
