"""`nucleate serve`: scores, drift and the gate over HTTP."""

import logging
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate._core.errors import BadInput
from nucleate.cli import _options as options
from nucleate.cli._text import say

if TYPE_CHECKING:
    from nucleate.monitor.service import FeedMaker, ModelReader, Service, Token

PORT = 8770


def serve(
    atlas: Annotated[Path | None, typer.Argument(help="A folder of `nucleate atlas fit`.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A run or a model (folder, or REPOSITORY[@REVISION]) that reads texts; without "
            "it clients send vectors, and no model is in the process."
        ),
    ] = None,
    gate: Annotated[
        Path | None, typer.Option(help="Report of `nucleate gate` on this version.")
    ] = None,
    drift_look: Annotated[
        int,
        typer.Option(min=0, help="Rows of a look for drift; 100 looks are a horizon; 0: no drift."),
    ] = 500,
    drift_state: Annotated[
        Path | None, typer.Option(help="File in which the drift monitor outlives the process.")
    ] = None,
    rate: Annotated[
        float, typer.Option(help="Share of known requests that may be called outside.")
    ] = 0.05,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than 127.0.0.1 need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token of clients; by default NUCLEATE_TOKEN's value."),
    ] = None,
    max_body: Annotated[
        int | None, typer.Option(min=1, help="Bytes of a body; by default 8388608.")
    ] = None,
    max_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of a request; by default 10000.")
    ] = None,
    max_text: Annotated[
        int | None, typer.Option(min=1, help="Characters of a text; by default 20000.")
    ] = None,
    max_at_once: Annotated[
        int | None, typer.Option(min=1, help="Score requests held at a time; by default 32.")
    ] = None,
    drain: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds between the signal to stop and the end of listening, for "
            "balancers to notice.",
        ),
    ] = 2.0,
    write_monitoring: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write a Grafana dashboard and Prometheus alert rules; no more."
        ),
    ] = None,
    tokenizer: options.Tokenizer = None,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    attention: options.Attention = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads; by default 1, and with a model one per core."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Keep no access log on standard error.")
    ] = False,
) -> None:
    """Score requests against an atlas over HTTP, and watch the traffic for drift.

    No text of a request is kept or logged. SIGHUP reads the atlas again, SIGTERM stops after the
    requests under way.
    """
    if write_monitoring is not None:
        _write_monitoring(write_monitoring)
        return
    if atlas is None:
        raise BadInput("name the folder of an atlas, as in nucleate serve ATLAS")
    from nucleate.app import bind, is_loopback
    from nucleate.monitor.service import check_extra

    check_extra()
    from nucleate.monitor.service import Limits, Service, Sources, read_token

    token = read_token(token_file)
    given = {"body": max_body, "rows": max_rows, "text": max_text, "at_once": max_at_once}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    if not is_loopback(host) and token is None:
        raise BadInput(
            f"others can reach {host}, and there is no token; give one with --token-file FILE or "
            "NUCLEATE_TOKEN, or listen at 127.0.0.1"
        )
    sources = Sources(atlas, gate, drift_state, rate)
    feed = _feed(drift_look, rate) if drift_look else None
    with bind(host, port) as taken:
        _log_to_stderr(quiet=quiet)
        reader = None
        if model is None:
            _limit_threads(threads or 1)
        else:
            options.prepare_torch(threads)
            reader = _reader(model, tokenizer, options.loading(device, dtype, attention))
        service = Service(sources, limits=limits, reader=reader, feed=feed)
        _serve(service, taken, token, drain)


def _serve(service: "Service", taken: socket.socket, token: "Token | None", drain: float) -> None:
    from nucleate.monitor.service import serve as serve_until_told

    name, number = taken.getsockname()[:2]
    address = f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"

    def ready() -> None:
        typer.echo(f"serving  {address}  atlas {service.held.atlas.version}")
        say("stop with Ctrl-C or SIGTERM; SIGHUP reads the atlas again")
        sys.stdout.flush()

    # Without a token only the names of this machine are answered to.
    hosts = ["127.0.0.1", "localhost", "::1", "[::1]"] if token is None else ["*"]
    serve_until_told(service, taken, token=token, hosts=hosts, drain=drain, ready=ready)


def _limit_threads(count: int) -> None:
    """Of scoring: at products as small as a request's, threads wait more than they work."""
    import numpy as np  # noqa: F401  # what is not loaded yet is not limited
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(count, user_api="blas")
    torch.set_num_threads(count)


def _reader(model: str, tokenizer: str | None, loading: dict[str, Any]) -> "ModelReader":
    from nucleate.checkpoints import load_tokenizer
    from nucleate.cli._atlas import series_of
    from nucleate.monitor.service import ModelReader

    series = series_of(model)
    network = series.checkpoints[-1].load(**loading).eval()
    return ModelReader(network, load_tokenizer(series, tokenizer))


def _feed(look: int, rate: float) -> "FeedMaker":
    from nucleate.monitor.service import DriftFeed, Watching

    return partial(DriftFeed, how=Watching(look=look, outside=rate))


def _write_monitoring(folder: Path) -> None:
    from nucleate.monitor.service import write_monitoring

    for file in write_monitoring(folder):
        typer.echo(str(file))


def _log_to_stderr(*, quiet: bool) -> None:
    """One line a request, without its path's unknown parts, query, address or body."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    server = logging.getLogger("uvicorn.error")
    server.setLevel(logging.WARNING)
    server.addFilter(_OnceAMinute())
    if quiet:
        logging.getLogger("nucleate.service.access").setLevel(logging.WARNING)


class _OnceAMinute(logging.Filter):
    """Lets a message through once a minute: refused connections come by thousands."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        last = self._last.get(record.msg)
        if last is not None and record.created - last < 60 and not record.exc_info:
            return False
        self._last[record.msg] = record.created
        return True
