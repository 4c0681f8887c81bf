"""Checks of arguments that many functions take."""

from numbers import Integral

from nucleate._core.errors import BadInput


def check_whole(name: str, value: object, *, least: int) -> None:
    """Refuse what is no whole number, or one that is too small.

    Args:
        name: what the error calls it.
        value: what was given.
        least: the smallest that is allowed.

    Raises:
        BadInput: it is another kind of thing, or below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise BadInput(f"{name} is {value!r}; give a whole number of at least {least}")
