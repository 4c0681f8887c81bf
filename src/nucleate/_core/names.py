"""Names that users type: what is meant by one that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is nearest to a mistyped one, as part of a sentence.

    Args:
        name: what was typed.
        known: the names that exist. Of dotted names the last part alone may match as well.

    Returns:
        " (did you mean 'model.width'?)", with a space in front; empty if no name is near.
    """
    names = list(known)
    found = get_close_matches(name, names, n=1)
    if not found:
        by_end = {each.rpartition(".")[2]: each for each in reversed(names)}
        end = get_close_matches(name.rpartition(".")[2], by_end, n=1, cutoff=0.75)
        found = [by_end[end[0]]] if end else []
    return f" (did you mean {found[0]!r}?)" if found else ""
