"""The service as an ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from nucleate import __version__
from nucleate._core.errors import BadInput
from nucleate.monitor.service._bodies import JSON, WIDTH_HEADER
from nucleate.monitor.service._guard import OPEN, Guard, refusal
from nucleate.monitor.service._limits import Limits, Refused, Token
from nucleate.monitor.service._metrics import TEXT_FORMAT
from nucleate.monitor.service._openapi import SCORE_BODY, components, said
from nucleate.monitor.service._service import Service

_KEPT_READING = 4
"""Times the limit of a body that is still taken in, so that the client reads why it is refused."""
_ABOUT = (
    "Scores requests against the clusters of a model, and says whether the traffic has moved. "
    "No text of a request is stored or logged."
)


def make_app(
    service: Service, *, token: Token | None = None, hosts: Sequence[str] = ("*",)
) -> ASGIApp:
    """The service as an ASGI application.

    Args:
        service: what answers.
        token: asked of every request but those to `/healthz` and `/readyz`.
        hosts: names by which it may be asked, `*` for any; others are answered 400, so that a page
            in a browser cannot reach it under a name of its own (DNS rebinding).
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="nucleate", version=__version__, description=_ABOUT, lifespan=life,
        docs_url=None, redoc_url=None,  # their pages load scripts from elsewhere
    )  # fmt: skip
    _add_routes(app, service, reloads=token is not None)
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(HTTPException, _on_http)
    app.openapi = lambda: _described(app, service, token)  # type: ignore[method-assign]
    routes = [route.path for route in app.routes if hasattr(route, "path")]
    trusted = TrustedHostMiddleware(app, allowed_hosts=list(hosts), www_redirect=False)
    return Guard(trusted, service=service, token=token, routes=routes)


def _add_routes(app: FastAPI, service: Service, *, reloads: bool) -> None:
    def add(
        path: str, about: str, act: Callable[[Request], Awaitable[Response]], answers: Any,
        method: str = "GET", extra: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        app.add_api_route(
            path, act, methods=[method], summary=about, responses=answers,
            response_class=Response, openapi_extra=extra, operation_id=path.rpartition("/")[2],
        )  # fmt: skip

    async def health(_: Request) -> Response:
        return _json({"status": "alive"})

    async def ready(_: Request) -> Response:
        if service.stopping:
            return _json({"status": "stopping"}, 503)
        return _json({"status": "ready", "atlas": service.held.atlas.version})

    async def metrics(_: Request) -> Response:
        return Response(service.numbers(), headers={"content-type": TEXT_FORMAT})

    async def score(request: Request) -> Response:
        with service.admitted():
            body = await _body(request, service.limits)
            headers = request.headers
            kind, width = headers.get("content-type", ""), headers.get(WIDTH_HEADER)
            found, rows = await service.score(body, kind, width)
            request.scope["nucleate.rows"] = rows
            return Response(found, media_type=JSON)

    async def drift(_: Request) -> Response:
        return _json(service.drift())

    async def gate(_: Request) -> Response:
        return _json(service.gate())

    async def reload(_: Request) -> Response:
        if not reloads:
            raise Refused(403, "a service without a token reloads on SIGHUP only")
        try:
            return _json(await service.reload())
        except BadInput as error:
            raise Refused(409, str(error)) from error

    add("/healthz", "Whether the process answers.", health, said(200, "State"))
    ready_says = said(200, "State") | {503: said(503, "State")[503]}
    add("/readyz", "Whether requests are welcome.", ready, ready_says)
    add("/metrics", "Numbers for Prometheus.", metrics, _METRICS)
    refused = (400, 401, 408, 413, 415, 422, 429)
    add("/v1/score", "The cluster of each row, and whether it is in any.", score,
        said(200, "Scores", *refused), "POST", SCORE_BODY)  # fmt: skip
    add("/v1/drift", "Whether the traffic has moved.", drift, said(200, "Drift", 401))
    add("/v1/gate", "The gate's verdict on this version.", gate, said(200, "Gate", 401, 404))
    add("/v1/reload", "Read atlas and gate report again.", reload,
        said(200, "Reloaded", 401, 403, 409), "POST")  # fmt: skip


_METRICS = {
    200: {"description": "As asked.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    401: said(200, None, 401)[401],
}


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type=JSON)


async def _body(request: Request, limits: Limits) -> bytes:
    """A body of at most the allowed size, in at most the allowed time.

    Raises:
        Refused: 413 or 408.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limits.body:
                    chunks.append(chunk)
                elif size > _KEPT_READING * limits.body:
                    break
    except TimeoutError as error:
        sentence = f"the body did not arrive in {limits.body_seconds:g} s; send it anew"
        raise Refused(408, sentence, connection="close") from error
    except ClientDisconnect:
        # There is nobody to answer; the number is what the log and the count say of it.
        raise Refused(499, "the client has left") from None
    if size > limits.body:
        raise Refused(
            413,
            f"the body has more than {limits.body} bytes, the most that this service takes; "
            "send fewer rows at a time",
            connection="close",
        )
    return b"".join(chunks)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {404: "there is no such path", 405: f"this path does not know {request.method[:20]}"}
    sentence = told.get(error.status_code, str(error.detail))
    return refusal(Refused(error.status_code, sentence, **dict(error.headers or {})))


def _described(app: FastAPI, service: Service, token: Token | None) -> dict[str, Any]:
    """The OpenAPI, with the width of the atlas that is in service now."""
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    found["components"] = components(
        service.held, service.limits, reads=service.reader is not None, token=token is not None
    )
    if token is not None:
        for path, operations in found["paths"].items():
            if path not in OPEN:
                for operation in operations.values():
                    operation["security"] = [{"bearer": []}]
    return found
