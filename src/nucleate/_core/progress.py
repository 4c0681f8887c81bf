"""How long work reports its progress, and how it learns that it should stop."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from nucleate._core.errors import Interrupted

Tick = Callable[[int, str], None]


@runtime_checkable
class Watcher(Protocol):
    """Shows progress; the command line has one for terminals and one for plain lines."""

    def part(self, name: str, total: int) -> Tick:
        """Begin a part of `total` units; the returned function takes the units done and a note."""
        ...

    def say(self, line: str) -> None:
        """Show a line."""
        ...

    def stopping(self) -> bool:
        """Whether the user asked to stop."""
        ...


class Silent:
    """Shows nothing and never stops."""

    def part(self, name: str, total: int) -> Tick:  # noqa: ARG002 - the protocol's form
        """Nothing is shown."""
        return lambda done, note: None

    def say(self, line: str) -> None:
        """Nothing is said."""

    def stopping(self) -> bool:
        """Never."""
        return False


def stoppable(watcher: Watcher, name: str) -> Callable[[int, int], None]:
    """Progress of a part that can be cut short: it ends as soon as the user wants to stop.

    Returns:
        a function of the units done and all units; it raises `Interrupted` when the watcher asks
        to stop and not all is done.
    """
    ticks: list[Tick] = []

    def progress(done: int, total: int) -> None:
        if not ticks:
            ticks.append(watcher.part(name, total))
        ticks[0](done, "")
        if watcher.stopping() and done < total:
            raise Interrupted(f"stopped during {name}; run again to resume")

    return progress
