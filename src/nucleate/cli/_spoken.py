"""What a room warns of, said as a sentence of the command line."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from nucleate.cli._text import say


@contextmanager
def spoken() -> Iterator[None]:
    """Say warnings on standard error, one line each, without the place in the code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for one in caught:
        say(f"nucleate: {one.message}", err=True)
