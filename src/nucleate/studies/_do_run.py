"""One run of a study, done from what its folder says, by whichever process is asked to."""

import os
import time
import traceback
from contextlib import suppress
from pathlib import Path

from nucleate._core.errors import BadInput, Interrupted, RunFailed
from nucleate._core.progress import Watcher
from nucleate.findings import findings
from nucleate.runs import Lock, Run
from nucleate.studies._command import CommandConfig, run_command
from nucleate.studies._folders import (
    DONE,
    FAILED,
    bytes_of,
    read_spec,
    size_key,
    write_mark,
)
from nucleate.studies._full_disk import full_disk, told_when_full
from nucleate.studies._one_run import run_once
from nucleate.views import write_findings


def do_run(folder: Path, watcher: Watcher) -> None:
    """Do what is missing of the run that a folder describes, and leave the mark of its end.

    It may be called at any time, by several processes at once, and again after any kind of death:
    what is done is left alone, what another process works on is left to it, and all else goes on
    from where it stood. How it ended stands in the folder.

    Args:
        folder: with the `run.json` of `write_spec`.
        watcher: hears of the progress, and may ask to stop.

    Raises:
        Interrupted: the watcher asked to stop.
    """
    try:
        lock = Lock(folder)
    except BadInput:
        return
    except OSError as error:
        if full_disk(error) is None:
            raise
        return  # there is no room to say so: the study asks when a run ends without a word
    try:
        # Another process may have ended it between our look and our lock.
        if not (folder / DONE).exists():
            _do(folder, watcher)
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 - the folder tells it, and the study that waits
        known = isinstance(error, BadInput | RunFailed)
        with suppress(OSError):  # the disk may be full
            write_mark(
                folder / FAILED,
                error=str(error) if known else repr(error),
                full=full_disk(error) is not None,
                traceback="" if known else traceback.format_exc(),
            )
    finally:
        lock.release()


def _do(folder: Path, watcher: Watcher) -> None:
    (folder / FAILED).unlink(missing_ok=True)
    spec = read_spec(folder)
    path = folder / spec.folder_name
    fresh = not (path / "manifest.json").exists()
    began, cpu = time.perf_counter(), _cpu_seconds()
    with told_when_full(folder):
        if isinstance(spec.config, CommandConfig):
            run_command(spec.config, folder, watcher)
        else:
            run_once(spec.config, spec.outputs, path, watcher)
        write_findings(findings(Run(path)), path)
        write_mark(
            folder / DONE,
            size=size_key(spec.config),
            # In one sitting: only then do the seconds say what such a run costs.
            whole=fresh,
            seconds=time.perf_counter() - began,
            cpu_seconds=_cpu_seconds() - cpu,
            bytes=bytes_of(path),
        )


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(os.times()[:4])
