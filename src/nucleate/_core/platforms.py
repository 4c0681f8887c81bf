"""Which operating systems nucleate runs on."""

import sys

from nucleate._core.errors import BadInput


def check_platform() -> None:
    """Refuse an operating system whose file locks a run folder cannot use.

    Raises:
        BadInput: on Windows.
    """
    if sys.platform == "win32":
        raise BadInput(
            "nucleate runs on Linux and macOS, not on Windows itself; use it there inside the "
            "Windows Subsystem for Linux (WSL)"
        )
