"""Widths of figures on paper; without heavy imports, so that a bad one is refused at once."""

import math

from nucleate._core.errors import BadInput

WIDTHS = {"column": 3.35, "text": 7.0}
"""Inches across one column, and across the page."""
_LEAST, _MOST = 2.5, 30.0


def width_of(width: float | str) -> float:
    """A figure's width in inches.

    Args:
        width: `column`, `text`, or inches from 2.5 to 30, as a number or a text.

    Raises:
        BadInput: it is none of these.
    """
    try:
        inches = WIDTHS.get(str(width)) or float(width)
    except (TypeError, ValueError):
        inches = math.nan
    if not _LEAST <= inches <= _MOST:
        raise BadInput(
            f"width {width!r} is none that can be drawn; give column, text, or inches from "
            f"{_LEAST:g} to {_MOST:g}"
        )
    return inches
