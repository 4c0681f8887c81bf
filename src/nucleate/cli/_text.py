"""Text on a terminal of any width: help and sentences that break between words only."""

import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_WIDEST = 100
_BESIDE = 60
"""Width in columns from which descriptions stand next to names rather than below."""

# Typer keeps a copy of click's classes to itself; this one is what click calls HelpFormatter.
_HelpFormatter: Any = typer.Context.formatter_class


def say(line: str, *, err: bool = False) -> None:
    """Print a sentence: wrapped between words on a terminal, one line everywhere else."""
    stream = sys.stderr if err else sys.stdout
    typer.echo("\n".join(_wrapped(line, _columns())) if stream.isatty() else line, err=err)


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    wrapper = textwrap.TextWrapper(
        width=max(width, len(indent) + 1),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(text) or [""]


class _Formatter(_HelpFormatter):  # type: ignore[misc]
    """Help that never breaks a word; on narrow terminals descriptions stand below their names."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(width=min(_columns(), _WIDEST))

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        self._write(f"{prefix or 'Usage: '}{prog} {args}")

    def write_text(self, text: str) -> None:
        for number, paragraph in enumerate(text.split("\n\n")):
            if number:
                self.write("\n")
            self._write(paragraph)

    def write_dl(self, rows: Iterable[tuple[str, str]], *_: Any, **__: Any) -> None:
        listed = list(rows)
        first = min(30, max(len(name) for name, _ in listed)) + self.current_indent + 2
        for name, about in listed:
            if self.width < _BESIDE:
                self._write(name)
                self._write(about, " " * (self.current_indent + 2))
                continue
            lines = _wrapped(about, self.width, " " * first)
            head = f"{'':{self.current_indent}}{name}"
            if len(head) + 2 <= first:
                lines[0] = head.ljust(first) + lines[0].lstrip()
            else:
                lines.insert(0, head)
            self.write("\n".join(lines) + "\n")

    def _write(self, text: str, indent: str | None = None) -> None:
        indent = " " * self.current_indent if indent is None else indent
        self.write("\n".join(_wrapped(text, self.width, indent)) + "\n")


class _Context(typer.Context):
    formatter_class = _Formatter


class Command(TyperCommand):
    """A verb with such help."""

    context_class = _Context

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - nothing is cut off
        """What the list of verbs says about it."""
        return _first_paragraph(self.help)


class Group(TyperGroup):
    """Several verbs with such help."""

    context_class = _Context

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - nothing is cut off
        """What the list of verbs says about them."""
        return _first_paragraph(self.help)


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split())
