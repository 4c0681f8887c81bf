"""The command line without a process of its own: what it prints, and its exit code."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def runner(capfd: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> Callable[..., Done]:
    from nucleate.cli import main

    def run(*arguments: object) -> Done:
        patch.setattr(sys, "argv", ["nucleate", *map(str, arguments)])
        patch.setenv("NO_COLOR", "1")
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    return run
