"""What stands before every request: the token, the count, one line in the log, no surprises."""

import logging
import time
import traceback
from collections.abc import Sequence

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nucleate.monitor.service._limits import Refused, Token
from nucleate.monitor.service._service import Service

ACCESS = logging.getLogger("nucleate.service.access")
LOG = logging.getLogger("nucleate.service")
OPEN = ("/healthz", "/readyz")
"""Paths that need no token: what tells a supervisor whether to send requests here."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


def refusal(error: Refused) -> JSONResponse:
    """A refusal as it is sent."""
    return JSONResponse({"error": error.sentence}, error.status, headers=error.headers)


class Guard:
    """Asks for the token, counts and logs every request, and answers 500 for what went wrong.

    Neither path nor query, header, address or body of a request is logged: of a path that is not
    one of the service's own only `other` is kept. Of an unforeseen error the places in the code
    are logged, not its message, which may quote the request.
    """

    def __init__(
        self, app: ASGIApp, *, service: Service, token: Token | None, routes: Sequence[str]
    ) -> None:
        self._app, self._service, self._token = app, service, token
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self._service, scope, send, self._routes).run(
            self._app, receive, self._refused(scope)
        )

    def _refused(self, scope: Scope) -> JSONResponse | None:
        if self._token is None or scope["path"] in OPEN:
            return None
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if self._token.allows(given):
            return None
        return refusal(
            Refused(
                401,
                "the token is missing or wrong; send Authorization: Bearer TOKEN",
                www_authenticate="Bearer",
            )
        )


class _Exchange:
    """One request and its answer."""

    def __init__(self, service: Service, scope: Scope, send: Send, routes: frozenset[str]) -> None:
        self._service, self._scope, self._send = service, scope, send
        self._route = scope["path"] if scope["path"] in routes else "other"
        self._method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._began = time.perf_counter()
        self._status = 0

    async def run(self, app: ASGIApp, receive: Receive, refused: JSONResponse | None) -> None:
        scope = self._scope
        if self._method == "HEAD":
            scope = {**scope, "method": "GET"}
        try:
            await (refused or app)(scope, receive, self._passed_on)
        except Exception as error:  # noqa: BLE001 - told, counted, and logged
            where = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("%s on %s:\n%s", type(error).__name__, self._route, where)
            if self._status:  # half an answer is sent: let the transport break it off
                raise RuntimeError("an answer broke off") from None
            told = Refused(500, "the service failed on this request; its log says where")
            await refusal(told)(scope, receive, self._passed_on)
        finally:
            self._note()

    async def _passed_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message["headers"], *_HEADERS]
            if self._service.stopping:
                # The client opens its next connection elsewhere.
                message["headers"].append((b"connection", b"close"))
        elif self._method == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    def _note(self) -> None:
        seconds = time.perf_counter() - self._began
        # 499: the client left before it had an answer.
        status = str(self._status or 499)
        self._service.metrics.requests.labels(self._route, status).inc()
        self._service.metrics.seconds.labels(self._route).observe(seconds)
        rows = self._scope.get("nucleate.rows", 0)
        ACCESS.info(
            "%s %s %s rows=%d ms=%.1f", self._method, self._route, status, rows, 1000 * seconds
        )
