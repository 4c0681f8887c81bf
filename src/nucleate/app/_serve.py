"""Binding the address, and serving until somebody stops it."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from nucleate._core.errors import BadInput

PORT = 8765
_TRIED = 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def bind(host: str = "127.0.0.1", port: int | None = None) -> socket.socket:
    """Take an address, before anything slow is done.

    Args:
        host: name or number of the address.
        port: 0 takes any that is free; None takes 8765, or the next of twenty that is free.

    Raises:
        BadInput: the port is in use, or the address is none of this machine's.
    """
    wanted = range(PORT, PORT + _TRIED) if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    error: OSError | None = None
    for each in wanted:
        taken = socket.socket(family)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, each))
        except OSError as failed:
            taken.close()
            error = failed
            continue
        taken.listen(128)
        return taken
    ports = str(port) if port is not None else f"{PORT} to {PORT + _TRIED - 1}"
    why = error.strerror if error else "no port was tried"
    raise BadInput(
        f"port {ports} of {host} cannot be taken ({why}); name another with --port, or --port 0 "
        "for any that is free"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host in _LOOPBACK or host.startswith("127.")


def serve(
    places: Sequence[Path],
    taken: socket.socket,
    *,
    token: str = "",
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve the runs below some places until the process is told to stop.

    Args:
        places: run folders, or folders with runs.
        taken: of `bind`.
        token: asked of every page, where it is not empty.
        ready: is called once when requests are answered.

    Raises:
        BadInput: a place is not there.
    """
    import uvicorn

    from nucleate.app._server import make_app

    host = taken.getsockname()[0]
    hosts = ["127.0.0.1", "localhost", "::1", "[::1]"] if is_loopback(host) else ["*"]
    app = make_app(places, hosts=hosts, token=token)
    # An open stream of events would hold the server: a second is given to what is under way.
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=1, server_header=False, ws="none"
    )
    server = uvicorn.Server(config)
    ready()
    server.run(sockets=[taken])
