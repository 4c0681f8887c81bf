"""The folders of a study's runs, from which alone its state is read.

`OUT/<key>/` belongs to one run, whichever studies ask for it:

    run.json       the run's whole configuration, written before it begins
    writer.lock    who works on it: process, host, and a heartbeat
    own/ ...       the run folder itself, as `reproduce` makes it
    done.json      the mark of the end, written last and in one step
    log.txt        what was logged on the way, where something was
    failed.json    why it ended early, where it did

Reading changes nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nucleate._core.errors import BadInput
from nucleate.runs import check_unlocked, write_json
from nucleate.studies._command import CommandConfig
from nucleate.studies._config import Outputs, ReproduceConfig
from nucleate.studies._page import StudyRun
from nucleate.tasks import canonical_hash

State = Literal["done", "running", "lost", "failed", "to do"]
STATES: tuple[State, ...] = ("done", "running", "lost", "failed", "to do")
_LAYOUT = 1
SPEC, DONE, FAILED = "run.json", "done.json", "failed.json"


@dataclass(frozen=True)
class Spec:
    """What a folder's run is, as `run.json` says it."""

    config: ReproduceConfig | CommandConfig
    outputs: Outputs
    folder_name: str


def state_of(folder: Path) -> State:
    """What has become of a run: `lost` is one that was begun and that nobody works on now.

    Raises:
        BadInput: the folder is of a newer version.
    """
    if (folder / DONE).exists():
        read_mark(folder / DONE)
        return "done"
    if (folder / SPEC).exists():
        read_mark(folder / SPEC)
    if not folder.is_dir():
        return "to do"
    try:
        check_unlocked(folder)
    except BadInput:
        return "running"
    if (folder / FAILED).exists():
        return "failed"
    begun = (folder / "writer.lock").exists() or any(folder.glob("*/manifest.json"))
    return "lost" if begun else "to do"


def read_mark(path: Path) -> dict[str, Any]:
    """One of the JSON files above.

    Raises:
        BadInput: it is damaged, or of a newer version.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        layout = int(found["layout"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} cannot be read ({error!r}); remove that folder, and its run is done again"
        ) from error
    if layout > _LAYOUT:
        raise BadInput(
            f"{path.parent} has layout {layout} of a study's run, this nucleate reads up to "
            f"{_LAYOUT}; install a newer nucleate, or name another folder with --out"
        )
    return found


def write_mark(path: Path, **content: Any) -> None:
    """Write one of the JSON files above, in one step."""
    from nucleate import __version__

    write_json(path, {"layout": _LAYOUT, "nucleate": __version__, **content})


def write_spec(folder: Path, run: StudyRun) -> None:
    """Say in the folder what its run is, so that any process can do it from there.

    Raises:
        BadInput: the folder holds a run of other settings, which only a damaged one does.
        OSError: it cannot be written.
    """
    config = run.config.model_dump(mode="json")
    there = (folder / SPEC).exists()
    if there and read_mark(folder / SPEC)["config"] != config:
        raise BadInput(
            f"{folder} is of another configuration than its name says; remove that folder, or "
            "name another with --out"
        )
    more = {}
    if isinstance(run.config, CommandConfig):
        more["called_in"] = run.config.folder  # the page may have moved since
    elif there:
        return
    write_mark(folder / SPEC, config=config, outputs=run.outputs, folder=run.folder_name, **more)


def read_spec(folder: Path) -> Spec:
    """What `write_spec` said.

    Raises:
        BadInput: it is not there or damaged.
    """
    found = read_mark(folder / SPEC)
    config: ReproduceConfig | CommandConfig
    if "called_in" in found:
        config = CommandConfig.model_validate({**found["config"], "folder": found["called_in"]})
    else:
        config = ReproduceConfig.model_validate(found["config"])
    return Spec(config, found["outputs"], found["folder"])


def bytes_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def size_key(config: ReproduceConfig | CommandConfig) -> str:
    """The hash of what decides how much work a run is: all settings but seed and null."""
    content: Mapping[str, Any] = config.model_dump(mode="json") | {
        "seed": 0, "null": None, "outputs": [],
    }  # fmt: skip
    return canonical_hash(content)[:16]
