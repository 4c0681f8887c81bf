"""Names: what is meant by one that does not exist, and short ones that tell folders apart."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


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


def shortest_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart, such as `a/run` and `b/run`.

    Args:
        paths: of folders; those that are the same one keep their whole path.
    """
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
