"""The read-only server: the page, the parts of runs, and events."""

import asyncio
import hashlib
import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nucleate._core.cache import cache_folder, trim_cache
from nucleate._core.errors import BadInput
from nucleate.app._events import Events
from nucleate.app._listing import Listing, find_runs, stamp_of
from nucleate.views import id_of

if TYPE_CHECKING:
    from nucleate.views import RunView

_VIEWS = 32
"""Views that are held, two a run; one that is asked for again later is made again."""
_FRESH = 20.0
"""Seconds for which what was said of an unchanged run is said again."""
_PAUSE = 1.0
"""Seconds for the browser to draw the list before anything else is loaded."""
_PAGES = {
    "index.html": "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "app.css": "text/css; charset=utf-8",
}
_KINDS = {".json": "application/json", ".csv": "text/csv; charset=utf-8"}
_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_NOT_BUILT = (
    "The front end is not built. In a checkout run `make web`; an installed nucleate always has it."
)


class _Runs:
    """The runs below some places, and what is held of them."""

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places
        self._listing = Listing()
        self._views: OrderedDict[tuple[str, bool], tuple[tuple[int, ...], RunView]] = OrderedDict()
        self._summaries: WeakKeyDictionary[RunView, tuple[float, bytes]] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        self._warming = False
        self.folders: dict[str, Path] = {}
        self.found()

    def found(self) -> dict[str, Path]:
        """Look for runs again: by their ids, those included that have come since."""
        known = {folder: run for run, folder in self.folders.items()}
        with suppress(BadInput):  # a place that has gone: what was found before is listed
            folders = find_runs(self._places)
            self.folders = {known.get(folder) or id_of(folder): folder for folder in folders}
        return self.folders

    def listed(self) -> dict[str, object]:
        """All runs, a line each."""
        found: dict[str, object] = {"runs": self._listing.of(list(self.found().values()))}
        if not self._warming:
            self._warming = True
            timer = threading.Timer(_PAUSE, _warm)
            timer.daemon = True
            timer.start()
        return found

    def part(self, run: str, path: str) -> bytes:
        """A part of a run.

        Raises:
            BadInput: there is no such run or part, or it cannot be read.
        """
        folder = self.folders.get(run)
        if folder is None:
            raise BadInput(f"there is no run {run!r}; it may have been moved or deleted")
        with self._lock:
            busy = self._busy.setdefault(run, threading.Lock())
        with busy:  # the same cloud is not made twice side by side
            view = self._view(run, folder, path)
            if path != "view.json":
                return view.get(path)
            # It takes seconds and every page asks for it; a run may fall silent meanwhile.
            made, data = self._summaries.get(view, (0.0, b""))
            if not data or time.monotonic() - made > _FRESH:
                data = view.get(path)
                self._summaries[view] = (time.monotonic(), data)
            return data

    def _view(self, run: str, folder: Path, path: str) -> "RunView":
        # Not before it is needed: the list of runs is shown without torch.
        from nucleate.views import RunView

        # A line of loss leaves the clouds as they are: they are not made anew for it.
        numbers = path == "view.json" or path.startswith("tables/")
        key, stamp = (run, numbers), stamp_of(folder, journal=numbers)
        with self._lock:
            known = self._views.get(key)
        if known is None or known[0] != stamp:
            known = (stamp, RunView(folder, cache=cache_folder("clouds")))
        with self._lock:
            self._views[key] = known
            self._views.move_to_end(key)
            while len(self._views) > _VIEWS:
                self._views.popitem(last=False)
        return known[1]


def _warm() -> None:
    """Load what the first run that is opened needs, while the list is being looked at."""
    from nucleate.views import RunView  # noqa: F401 - loading is all


def make_app(
    places: Sequence[Path], *, hosts: Sequence[str] = ("127.0.0.1", "localhost", "::1", "[::1]"),
    token: str = "",
) -> Starlette:  # fmt: skip
    """The server as an ASGI application.

    Args:
        places: run folders, or folders with runs.
        hosts: names by which a browser may ask for it; others are refused, so that a page
            elsewhere cannot reach it under a name of its own (DNS rebinding).
        token: without it nothing is shown, where it is not empty.

    Raises:
        BadInput: a place is not there.
    """
    runs = _Runs(places)
    events = Events(runs.found)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(events.watch())
        threading.Thread(target=trim_cache, args=(cache_folder("clouds"),), daemon=True).start()
        yield
        watching.cancel()

    routes = [
        Route("/", partial(_page, "index.html")),
        *(Route(f"/{name}", partial(_page, name)) for name in _PAGES),
        Route("/api/runs.json", partial(_listed, runs)),
        Route("/api/run/{run}/{path:path}", partial(_part, runs)),
        Route("/api/events", partial(_events, events)),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        Middleware(_Guard, token=token),
        Middleware(GZipMiddleware, minimum_size=2048),
    ]
    return Starlette(routes=routes, middleware=middleware, lifespan=life)


async def _page(name: str, _: Request) -> Response:
    path = files("nucleate.views") / "web" / name
    try:
        data = path.read_bytes()
    except OSError:
        return Response(_NOT_BUILT, 503, media_type="text/plain")
    return Response(data, media_type=_PAGES[name])


async def _listed(runs: _Runs, _: Request) -> Response:
    return JSONResponse(await run_in_threadpool(runs.listed))


async def _part(runs: _Runs, request: Request) -> Response:
    # As it was sent: names within a path stay encoded until the view takes them apart.
    raw = request.scope.get("raw_path", b"").decode("ascii", "replace")
    path = raw.split("/api/run/", 1)[-1].partition("/")[2].partition("?")[0]
    try:
        data = await run_in_threadpool(runs.part, request.path_params["run"], path)
    except BadInput as error:
        return JSONResponse({"error": str(error)}, 404)
    except OSError as error:
        return JSONResponse({"error": f"the run cannot be read ({error.strerror})"}, 404)
    kind = _KINDS.get(Path(path).suffix, "application/octet-stream")
    return Response(data, media_type=kind)


async def _events(events: Events, request: Request) -> Response:
    stream = events.stream(request.headers.get("last-event-id"))
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


class _Guard:
    """Asks for the token, and adds the headers that keep a page from doing more than it should."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token
        # Cookies do not tell ports apart: two servers of one host must not share a name.
        self._cookie = f"nucleate_{hashlib.sha256(token.encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = self._refused(request)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
                message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        await (refused or self._app)(scope, receive, guarded)

    def _refused(self, request: Request) -> Response | None:
        if request.method not in ("GET", "HEAD"):
            return Response("This server only reads.", 405, headers={"allow": "GET, HEAD"})
        if not self._token:
            return None
        asked = request.query_params.get("token")
        if asked is not None and hmac.compare_digest(asked.encode(), self._token.encode()):
            # To a fixed place: a path such as //elsewhere would lead away from here.
            answer = RedirectResponse("./")
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return answer
        held = request.cookies.get(self._cookie, "")
        if hmac.compare_digest(held.encode(), self._token.encode()):
            return None
        return Response("Open the address that the terminal shows, with its token.", 403)
