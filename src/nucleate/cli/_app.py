"""`nucleate app`: runs in a browser."""

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say


def app(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders with runs.")],
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than 127.0.0.1 ask for a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="By default 8765 or the next free; 0: any free."),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    lang: options.LanguageOption = options.Language.auto,
) -> None:
    """Look at runs in a browser, finished or still training. Nothing of a run is changed."""
    from nucleate.app import bind, check_runs, is_loopback, serve

    check_runs(runs)
    taken = bind(host, port)
    name, number = taken.getsockname()[:2]
    token = "" if is_loopback(name) else secrets.token_urlsafe(24)
    shown = f"[{name}]" if ":" in name else name
    address = f"http://{shown}:{number}/" + (f"?token={token}" if token else "")
    address += f"#lang={lang.code}" if lang.code else ""
    typer.echo(f"open  {address}")
    say("stop with Ctrl-C; nothing of the runs is changed")
    sys.stdout.flush()
    serve(runs, taken, token=token, ready=lambda: None if no_open else _open(address))


def _open(address: str) -> None:
    """Open a browser where there is a screen; in a terminal alone the address is enough."""
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        import threading
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
