"""Checks of arguments that many functions take."""

import math
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

from nucleate._core.errors import BadInput


def check_whole(name: str, value: object, *, least: int | None = None) -> None:
    """Refuse what is no whole number, or one that is too small.

    Args:
        name: what the error calls it.
        value: what was given.
        least: the smallest that is allowed.

    Raises:
        BadInput: it is another kind of thing, or below `least`.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or (least is not None and int(value) < least):  # type: ignore[call-overload]
        bound = "" if least is None else f" of at least {least}"
        raise BadInput(f"{name} is {value!r}; give a whole number{bound}")


def check_number(name: str, value: object) -> None:
    """Refuse what is no finite number.

    Args:
        name: what the error calls it.
        value: what was given.

    Raises:
        BadInput: it is another kind of thing, NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise BadInput(f"{name} is {value!r}; give a finite number")


def as_path(name: str, value: object) -> Path:
    """A path as users give it: a text or a path object, with `~` for the home folder.

    Args:
        name: what the error calls it.
        value: what was given.

    Raises:
        BadInput: it is no path.
    """
    if not isinstance(value, str | PathLike):
        raise BadInput(f"{name} is {value!r}; give a path as a text or a path object")
    return Path(value).expanduser()
