"""Serving until somebody stops it: signals, and an end that loses no request."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import uvicorn
from prometheus_client import disable_created_metrics

from nucleate._core.errors import BadInput
from nucleate.monitor.service._app import make_app
from nucleate.monitor.service._limits import Token
from nucleate.monitor.service._service import Service

_KEPT_OPEN = 75
"""Seconds for which an idle connection stays: longer than proxies keep theirs (nginx: 60), or they
would send a request into a connection that is just being closed."""
_LAST_SECONDS = 30
"""For requests that are under way when the service has stopped listening."""


class _Server(uvicorn.Server):
    """Stops in two steps: unready but answering, then deaf; reloads on SIGHUP."""

    def __init__(self, config: uvicorn.Config, service: Service, drain: float) -> None:
        super().__init__(config)
        self._service, self._drain = service, drain
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP"):
            self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        await super().startup(sockets)

    def _on_hangup(self) -> None:
        task = self._loop.create_task(self._reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload(self) -> None:
        try:
            await self._service.reload()
        except BadInput:
            # It is in the log and in the metrics; nobody waits for an answer.
            return

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to stop; a second signal stops at once."""
        if self._service.stopping:
            self.should_exit = self.force_exit = True
            return
        self._service.stop()
        logging.getLogger("nucleate.service").info("stopping: unready for %g s", self._drain)
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain, self._close)

    def _close(self) -> None:
        self.should_exit = True


def serve(
    service: Service,
    taken: socket.socket,
    *,
    token: Token | None = None,
    hosts: Sequence[str] = ("*",),
    drain: float = 2.0,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until the process is told to stop (SIGTERM or SIGINT; SIGHUP reloads).

    Args:
        service: what answers.
        taken: a socket that listens.
        token: asked of requests.
        hosts: as for `make_app`.
        drain: seconds from the signal on for which requests are still taken while `/readyz`
            says that the service is stopping, so that a balancer sends the next ones elsewhere.
            Then it stops listening, and what is under way is finished.
        ready: is called once when requests are about to be answered.
    """
    options: dict[str, Any] = {
        "log_config": None, "access_log": False, "server_header": False, "ws": "none",
        "timeout_keep_alive": _KEPT_OPEN, "timeout_graceful_shutdown": _LAST_SECONDS,
        "limit_concurrency": service.limits.connections, "lifespan": "on",
    }  # fmt: skip
    # When each counter began is a series more for each, and nobody asks for it.
    disable_created_metrics()
    app = make_app(service, token=token, hosts=hosts)
    server = _Server(uvicorn.Config(app, **options), service, drain)
    # What is loaded by now stays: looking through all of it for garbage held requests up for a
    # tenth of a second.
    gc.collect()
    gc.freeze()
    ready()
    server.run(sockets=[taken])
