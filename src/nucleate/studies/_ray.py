"""Runs as tasks of Ray."""

import os
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput
from nucleate._core.progress import Watcher
from nucleate.studies._side_by_side import (
    SECONDS_BETWEEN_LOOKS,
    Flag,
    do_watched,
    needed,
    side_by_side,
)

_STORE_BYTES = 80_000_000
"""Of shared memory, about the least that Ray takes; runs pass nothing through it."""


class Ray:
    """A task for each run, so many at a time, each in a process of its own.

    Without an address, a cluster is started on this machine and ended with the work. Tasks end
    with the process that began them; the study begins them again from their folders, so Ray
    itself tries none again.

    Args:
        workers: tasks at a time.
        options: `address` of a cluster whose machines see `out` at the same path; and options of a
            Ray task, such as `num_gpus`, `memory`, or `num_cpus`, which is also the number of
            threads (1).

    Raises:
        BadInput: Ray is not installed, or has no such option.
    """

    def __init__(self, workers: int, options: Mapping[str, Any] | None = None) -> None:
        self._workers = workers
        given = {"num_cpus": 1, **(options or {})}
        self._address = given.pop("address", None) or os.environ.get("RAY_ADDRESS")
        _set_environment(local=not self._address)
        self._ray = needed("ray", "ray")
        self._threads = max(1, int(given["num_cpus"]))
        try:
            # A process does one run: memory is counted by process.
            own = {"max_retries": 0, "max_calls": 1, "name": "nucleate"}
            self._task = self._ray.remote(**own, **given)(_in_task)
        except (TypeError, ValueError, AssertionError) as error:
            raise BadInput(
                f"Ray refuses these options of a task: {str(error).splitlines()[0]}; correct "
                "--executor-option"
            ) from error

    def __call__(
        self, folders: Sequence[Path], watcher: Watcher, ended: Callable[[Path], None]
    ) -> None:
        """See `Executor`."""
        if not folders:
            return
        ours = not self._ray.is_initialized()
        if ours:
            self._connect()
        # Tasks begin in another working directory.
        go = folders[0].parent.resolve() / f".ray-{uuid.uuid4().hex[:12]}"
        go.touch()

        def begin(folder: Path) -> _Task:
            reference = self._task.remote(str(folder.resolve()), str(go), self._threads)
            return _Task(folder, reference, go, self._ray)

        def pause(tasks: Sequence[Any]) -> None:
            self._ray.wait([task.reference for task in tasks], timeout=SECONDS_BETWEEN_LOOKS)

        try:
            side_by_side(begin, folders, self._workers, watcher, ended, pause)
        finally:
            go.unlink(missing_ok=True)
            if ours:
                self._ray.shutdown()

    def _connect(self) -> None:
        local = {"num_cpus": self._workers * self._threads, "object_store_memory": _STORE_BYTES}
        where = {"address": self._address} if self._address else {"address": "local", **local}
        try:
            self._ray.init(
                **where, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BadInput(
                f"no Ray cluster answers at {self._address or 'this machine'}: "
                f"{str(error).splitlines()[0]}; correct --executor-option address=..."
            ) from error


@dataclass(frozen=True)
class _Task:
    folder: Path
    reference: Any
    go: Path
    ray: Any

    def is_over(self, watcher: Watcher) -> bool:
        over, _ = self.ray.wait([self.reference], timeout=0)
        if over:
            try:
                self.ray.get(self.reference)
            except self.ray.exceptions.RayError as error:
                said = str(error).strip().splitlines()
                watcher.say(f"{self.folder}: {type(error).__name__}: {said[0] if said else ''}")
        return bool(over)

    def stop(self) -> None:
        self.go.unlink(missing_ok=True)

    def close(self) -> None:
        """There is nothing to give back."""

    def break_off(self) -> None:
        self.ray.cancel(self.reference, force=True)


def _in_task(folder: str, go: str, threads: int) -> None:
    do_watched(Path(folder), Flag(Path(go)), threads)


def _set_environment(*, local: bool) -> None:
    """What Ray reads when it is imported or begins; what the user has set stays.

    A local cluster gets authentication by token, which Ray asks for: without it, everybody who
    reaches the cluster's ports may run programs. A token of its own leaves none behind in the home
    folder.
    """
    if local:
        mode = os.environ.setdefault("RAY_AUTH_MODE", "token")
        kept = Path("~/.ray/auth_token").expanduser().exists()
        if mode == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ and not kept:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Workers see the graphics cards that this process sees, as with the other executors.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
