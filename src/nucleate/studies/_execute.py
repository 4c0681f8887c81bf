"""Doing several runs side by side: a process each, told when to stop, heard while they work.

Two small models train faster on a core each than one after the other on two: a matrix product of
this size does not fill two cores.
"""

import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from typing import Any

from nucleate._core.errors import Interrupted
from nucleate._core.progress import Tick, Watcher
from nucleate._core.workers import context

# What a process says: (name of the part, its total, done, note), or a line of news.
_Message = tuple[str, int, int, str] | str
_SECONDS_BETWEEN_LOOKS = 0.2


def start_workers() -> None:
    """Start the server of the processes: it imports torch and the rest while this process does."""
    context("nucleate.studies._one_run")


def execute(
    work: Callable[..., None], jobs: Sequence[tuple[Any, ...]], threads: int, watcher: Watcher
) -> None:
    """Call `work(*job, watcher)` for every job, side by side if there are threads for it.

    Args:
        work: a function of a module; what it does must not depend on whether others run.
        jobs: the arguments of each call.
        threads: of torch, shared out evenly; with one, or one job, all is done in this process.
        watcher: hears of the progress of all.

    Raises:
        Interrupted: the watcher asked to stop, and every job has come to a safe place.
        Exception: the first that a job raised; the others are stopped at a safe place.
    """
    workers = min(len(jobs), threads)
    if workers < 2:
        _set_threads(threads)
        for job in jobs:
            work(*job, watcher)
        return
    server = context(work.__module__)
    with server.Manager() as manager:
        messages, stop = manager.Queue(), manager.Event()
        with ProcessPoolExecutor(
            workers,
            mp_context=server,
            initializer=_begin,
            initargs=(messages, stop, threads // workers),
        ) as pool:
            futures = [pool.submit(_call, work, job) for job in jobs]
            _listen(futures, messages, stop, watcher)
            # What made the others stop weighs more than that they stopped.
            errors = [error for f in futures if (error := f.exception())]
            for error in sorted(errors, key=lambda e: isinstance(e, Interrupted)):
                raise error


def usable_threads(threads: int | None) -> int:
    """The threads asked for, or one for each core that this process may use."""
    if threads:
        return threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _listen(futures: list[Future[None]], messages: Any, stop: Any, watcher: Watcher) -> None:
    """Pass on what the jobs say until all have ended; once one fails, stop the others."""
    ticks: dict[str, Tick] = {}
    waiting = set(futures)
    while waiting:
        _, waiting = wait(waiting, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_EXCEPTION)
        if watcher.stopping() or any(f.done() and f.exception() for f in futures):
            stop.set()
        while True:
            try:
                message: _Message = messages.get_nowait()
            except queue.Empty:
                break
            if isinstance(message, str):
                watcher.say(message)
                continue
            name, total, done, note = message
            if name not in ticks:
                ticks[name] = watcher.part(name, total)
            if done:
                ticks[name](done, note)


class _Relay:
    """The watcher inside a job's process: passes everything on to the one that watches all."""

    def __init__(self, messages: Any, stop: Any) -> None:
        self._messages, self._stop = messages, stop

    def part(self, name: str, total: int) -> Tick:
        self._messages.put((name, total, 0, ""))
        return lambda done, note: self._messages.put((name, total, done, note))

    def say(self, line: str) -> None:
        self._messages.put(line)

    def stopping(self) -> bool:
        return bool(self._stop.is_set())


# Set once in every process of the pool, by `_begin`.
_relay: _Relay | None = None


def _begin(messages: Any, stop: Any, threads: int) -> None:
    global _relay
    import signal

    # Ctrl-C reaches the whole group: the parent decides, the jobs hear of it through `stop`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _relay = _Relay(messages, stop)
    _set_threads(threads)


def _call(work: Callable[..., None], job: tuple[Any, ...]) -> None:
    assert _relay is not None
    if _relay.stopping():
        raise Interrupted("stopped before it began; run again to resume")
    work(*job, _relay)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
