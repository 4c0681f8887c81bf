"""Windows is refused in a sentence, from Python and from the command line."""

import sys

import pytest

import nucleate as nc
from nucleate import BadInput
from nucleate.cli import main


def test_windows_is_refused_in_a_sentence_that_names_what_works(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(BadInput, match=r"Linux and macOS.*WSL"):
        nc.__getattr__("capture")  # which is not asked again for what was loaded before


def test_the_command_line_refuses_windows_with_exit_code_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "argv", ["nucleate", "--help"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert capsys.readouterr().err.splitlines()[0].startswith("nucleate: nucleate runs on Linux")
