"""Runs that a command of the user's own does: a training script, under torchrun where it is so."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict, Field

from nucleate._core.errors import BadInput, Interrupted, RunFailed
from nucleate._core.names import nearest
from nucleate._core.progress import Watcher, stoppable
from nucleate.runs import check_writable, write_json
from nucleate.tasks import canonical_hash

COMMAND_FOLDER = "run"
"""Name of the run folder that a command is to make."""
_PLACE = re.compile(r"\{([\w.-]+)\}")
_PROCESS = "command.json"
_PART = "command"
_SECONDS_TO_STOP = 30.0
_SECONDS_BETWEEN_LOOKS = 0.2


class CommandConfig(BaseModel):
    """A command with settings at its places.

    Attributes:
        command: with `{run}`, `{seed}` and a place for every setting.
        settings: by name.
        seed: of the run.
        folder: where the command is called, the page's own; it decides nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    settings: dict[str, Any]
    seed: int
    folder: str = Field(exclude=True)

    def words(self, run: Path) -> list[str]:
        """The command's words for a run folder."""
        values = {**self.settings, "seed": self.seed, "run": run}
        return [
            _PLACE.sub(lambda found: _text(values[found[1]]), word)
            for word in shlex.split(self.command)
        ]

    def key(self) -> str:
        """The hash of all that decides the run; files of the page's folder count by content."""
        content: list[Any] = [self.model_dump(mode="json")]
        for word in self.words(Path(COMMAND_FOLDER)):
            file = Path(self.folder, word)
            if not Path(word).is_absolute() and file.is_file():
                content.append(hashlib.sha256(file.read_bytes()).hexdigest())
        return canonical_hash(content)[:16]


def _text(value: object) -> str:
    """As a page has it: true and not True."""
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


def command_config(
    command: object, settings: Mapping[str, Any], folder: Path, *, several_seeds: bool
) -> CommandConfig:
    """A command with its settings, refused where one has no place or a place has no setting.

    Raises:
        BadInput: it is so, or the command is no text, or names no run folder.
    """
    if not isinstance(command, str) or not command.strip():
        raise BadInput(f"command is {command!r}; give the words of a command line")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadInput(f"command cannot be split into words ({error}): {command}") from error
    places = {name for word in words for name in _PLACE.findall(word)}
    given = {key: value for key, value in settings.items() if key != "seed"}
    known = (*given, "seed", "run")
    for name in sorted(places):
        if name not in known:
            raise BadInput(
                f"command has {{{name}}}, for which no setting is given{nearest(name, known)}; "
                "give it in base, grid or list"
            )
    # Without a place for it, runs that should differ would be the same.
    for name in (*given, "run", *(["seed"] if several_seeds else [])):
        if name not in places:
            raise BadInput(
                f"command has no place for {name!r}{nearest(name, places)}; write {{{name}}} where "
                "it belongs"
            )
    return CommandConfig(
        command=command, settings=given, seed=settings["seed"], folder=str(folder.resolve())
    )


def check_command(config: CommandConfig, folder: Path) -> None:
    """Refuse, before anything runs, a program that is not there or a folder that cannot be written.

    Raises:
        BadInput: it is so.
    """
    program = config.words(folder)[0]
    if not (shutil.which(program) or shutil.which(str(Path(config.folder, program)))):
        raise BadInput(f"command begins with {program!r}, and there is no such program on PATH")
    check_writable(folder)


def run_command(config: CommandConfig, folder: Path, watcher: Watcher) -> None:
    """Let the command make its run where that is missing, and measure it.

    Args:
        config: of the command.
        folder: of the study's run; the command's is within.
        watcher: may ask to stop.

    Raises:
        RunFailed: the command ended with an error, or left no run.
        BadInput: the run cannot be measured.
        Interrupted: the watcher asked to stop.
    """
    from nucleate.panel import measure
    from nucleate.runs import Run

    path = folder / COMMAND_FOLDER
    if not (path / "manifest.json").exists() or not Run(path).journal.last("part", name=_PART):
        began = time.perf_counter()
        _call(config, folder, path, watcher)
        if not (path / "manifest.json").exists() or not Run(path).steps:
            raise RunFailed(
                f"the command left no recorded steps in {path}; give {{run}} to its Recorder"
            )
        seconds = time.perf_counter() - began
        run = Run(path)
        run.journal.append("part", durable=True, name=_PART, seconds=seconds, step=run.steps[-1])
    measure(Run(path), progress=stoppable(watcher, f"{folder.name}: panel"))


def _call(config: CommandConfig, folder: Path, path: Path, watcher: Watcher) -> None:
    _end_orphan(folder)
    words = config.words(path.resolve())
    with (folder / "log.txt").open("ab") as log:
        start = log.tell()
        # A group of its own: Ctrl-C reaches this process alone, and all ranks can be ended.
        process = subprocess.Popen(
            words,
            cwd=config.folder,
            env={"OMP_NUM_THREADS": "1", **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        born = psutil.Process(process.pid).create_time()
        write_json(folder / _PROCESS, {"pid": process.pid, "born": born})
        while process.poll() is None:
            if watcher.stopping():
                raise Interrupted("stopped during the command; run again to resume")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        _end(process)
    (folder / _PROCESS).unlink(missing_ok=True)
    if process.returncode:
        said = (folder / "log.txt").read_bytes()[start:].decode(errors="replace")
        last = _last_words(said)
        raise RunFailed(
            f"the command ended with code {process.returncode} ({last}); see {folder / 'log.txt'}"
        )


def _last_words(said: str) -> str:
    """The line that says why: the first error of a launcher's many, else the last with a word."""
    lines = [line.strip() for line in said.splitlines() if re.search(r"[^\W\d_]{2}", line)]
    errors = [
        line for line in lines if re.match(r"(\[rank\d+\]: )?[\w.]*(Error|Exception): ", line)
    ]
    return errors[0] if errors else lines[-1] if lines else "it said nothing"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what is left of a command and its ranks: asked first, then killed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_TO_STOP)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_orphan(folder: Path) -> None:
    """End a command whose worker was killed: it would write into the same run."""
    try:
        left = json.loads((folder / _PROCESS).read_text())
        process = psutil.Process(left["pid"])
        if abs(process.create_time() - left["born"]) < 1:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(_SECONDS_TO_STOP)
    except (OSError, ValueError, KeyError, psutil.Error):
        return
