"""The libraries of the extra `serve`, asked for before anything is done."""

from importlib.util import find_spec

from nucleate._core.errors import BadInput

_NEEDED = {"fastapi": "fastapi", "orjson": "orjson", "prometheus_client": "prometheus-client"}


def check_extra() -> None:
    """Make sure that a service can be started.

    Raises:
        BadInput: a library is missing.
    """
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise BadInput(
            f"the service needs {', '.join(missing)}; install the extra: "
            "pip install 'nucleate[serve]'"
        )
