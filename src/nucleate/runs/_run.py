"""A run: one plain folder that holds what was trained, what was read, and what followed.

manifest.json                    schema version, configuration and its hash, versions, hardware
prompts.safetensors, prompts.jsonl   the rows that are read again at every recorded step
journal.jsonl                    the truth: step records, snapshot commits, rewinds, events, each
                                 with its time
states/<step>.safetensors        one snapshot a file, valid once the journal says so
untrained/<n>.safetensors        the same of untrained models, if any were read
checkpoints/<step>/              enough to resume bit for bit
panel.csv, causal_map.csv ...    derived, can be made again from the above
summary.json                     what the run found (`Summary`)
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.prompts import PromptSet
from nucleate.runs._files import write_json, write_whole
from nucleate.runs._hyperparameters import Json, flat_settings
from nucleate.runs._journal import Journal
from nucleate.runs._pack import PackedSnapshot, pack_snapshot
from nucleate.runs._schema import SCHEMA_VERSION, read_manifest, run_path
from nucleate.runs._states import States
from nucleate.runs._status import Status, last_sign, status_of


class Run:
    """One run folder: `Run.create` starts one, `Run(path)` opens one that exists.

    Opening and reading change no byte of the folder, also while another process writes into it.
    The methods named `save_...` and `commit_...` write, and so does whoever is given the run to
    write into (a `Recorder`, `measure`, a training).

    Args:
        path: the folder, of this schema or an earlier one (written by nucleate 0.1).

    Attributes:
        path: the folder.
        manifest: `manifest.json` in the terms of this version.
        journal: the records, as they were when the run was opened, and those appended since.

    Raises:
        BadInput: the folder is no run, or one of a newer schema, or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = run_path(path)
        self.manifest = read_manifest(self.path)
        self.journal = Journal(self.path / "journal.jsonl")

    @classmethod
    def create(cls, path: Path | str, prompts: PromptSet, manifest: Mapping[str, Any]) -> "Run":
        """Start a run folder; the manifest comes last, so a torn start is no run at all.

        Args:
            path: the folder, which is made if it is not there.
            prompts: the rows that will be read.
            manifest: JSON values to stand in the manifest, such as `name`.

        Raises:
            BadInput: an argument is of another kind, or the folder cannot be made or written.
        """
        folder = run_path(path)
        if not isinstance(prompts, PromptSet):
            raise BadInput(f"{prompts!r} is no prompt set; make one: PromptSet.from_records(...)")
        if not isinstance(manifest, Mapping):
            raise BadInput(f"{manifest!r} is no mapping; give the manifest as names and values")
        first = {"schema_version": SCHEMA_VERSION, "prompts_hash": prompts.content_hash()}
        known = first | dict(manifest)
        try:
            json.dumps(known)
            folder.mkdir(parents=True, exist_ok=True)
            prompts.save(folder)
            write_json(folder / "manifest.json", known)
        except (TypeError, ValueError) as error:
            raise BadInput(f"the manifest {manifest!r} is not made of JSON values") from error
        except OSError as error:
            raise BadInput(f"{folder} cannot hold a run ({error}); name another folder") from error
        return cls(folder)

    @property
    def hyperparameters(self) -> dict[str, Json]:
        """The settings of the training: one flat mapping of names to JSON values.

        The callbacks take them from the trainer, a plain loop gives them to its `Recorder`; a run
        of the study has those of its configuration, as `training.steps`. Empty if nobody gave any.

        Notes:
            A training that was resumed with other settings has the newest ones here; what changed
            is in the journal's events named `hyperparameters`.
        """
        given: dict[str, Json] = self.manifest.get("hyperparameters", {})
        return flat_settings(self.manifest.get("config", {})) | given

    def save_hyperparameters(self, settings: Mapping[str, Any]) -> None:
        """Put the settings of the training into the manifest; see `hyperparameters`.

        Args:
            settings: any values, nested or not; what looks like a password or a token is left out.
                They replace those that are there, and a journal event tells which have changed.

        Raises:
            BadInput: it is no mapping.
        """
        if not isinstance(settings, Mapping):
            raise BadInput(f"{settings!r} is no mapping; give hyperparameters as names and values")
        before, now = self.manifest.get("hyperparameters", {}), flat_settings(settings)
        if now == before:
            return
        # The file may be of an earlier schema, whose terms it keeps.
        path = self.path / "manifest.json"
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"hyperparameters": now})
        self.manifest["hyperparameters"] = now
        if before:
            names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
            changed = {name: [before.get(name), now.get(name)] for name in names}
            self.journal.append("event", durable=True, name="hyperparameters", changed=changed)

    @cached_property
    def prompts(self) -> PromptSet:
        """The rows that were read at every recorded step."""
        return PromptSet.load(self.path)

    @property
    def steps(self) -> list[int]:
        """The recorded steps, in order."""
        return sorted({record["step"] for record in self.journal.live("snapshot")})

    @property
    def last_sign(self) -> float | None:
        """When the journal's last line was written, in Unix seconds.

        As known to this object: open the run again to see what others have written since. None
        where there is no line, or where version 0.1 wrote it, which kept no times.
        """
        return last_sign(self.journal)

    @property
    def status(self) -> Status:
        """Whether the training behind the run is `running`, `stopped`, `failed` or `finished`.

        - `finished`: the journal has the training's end, and nothing of a later step.
        - `failed`: the journal says that the training or the recording broke down, and no session
          has begun since.
        - `stopped`: neither, and the recorder was closed, or its last line is older than 60 s and
          older than five times the median gap between the last lines of its session (20 at most).
        - `running`: none of these.

        A recorder leaves a line at least every 10 s, as often as it is called.

        Notes:
            A training that is killed counts as running until its last line is old enough. One that
            does something else for long (an evaluation, a step of many minutes) may count as
            stopped meanwhile. Clocks of two machines must agree.
        """
        return status_of(self.journal, time.time())

    def __repr__(self) -> str:
        steps = self.steps
        if not steps:
            return f"Run({str(self.path)!r}: no recorded steps, {self.status})"
        held = f"{len(steps)} recorded {'step' if len(steps) == 1 else 'steps'}"
        span = f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else f"{steps[0]}"
        try:
            streams, positions, rows = self.shape(steps[-1])
            shape = f"{len(streams)} streams, positions {', '.join(positions)}, {rows} rows"
        except BadInput:
            shape = f"step {steps[-1]} cannot be read"
        return f"Run({str(self.path)!r}: {held} ({span}), {shape}, {self.status})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    def save_snapshot(self, step: int, states: States, rows: Mapping[str, Tensor]) -> None:
        """Write one snapshot and commit it to the journal: `pack_snapshot`, `commit_snapshot`."""
        self.commit_snapshot(step, pack_snapshot(step, states, rows))

    def commit_snapshot(self, step: int, snapshot: PackedSnapshot) -> None:
        """Write a packed snapshot and commit it; no tensor is touched, so any thread may.

        Raises:
            OSError: the disk is full, or the folder gone; nothing is committed then.
        """
        # Not its parents: a run that was renamed meanwhile does not begin anew under its old name.
        (self.path / "states").mkdir(exist_ok=True)
        write_whole(self.snapshot_path(step), snapshot.data)
        marks = {"not_finite_at": snapshot.not_finite_at} if snapshot.not_finite_at else {}
        self.journal.append(
            "snapshot", durable=True, step=step, dtype=snapshot.dtype, **snapshot.lost, **marks
        )

    def states(self, step: int) -> States:
        """The states of one recorded step, as stored.

        Raises:
            BadInput: the step was not recorded, or its file is damaged.
        """
        return _states(*self._load(step))

    def rows(self, step: int) -> dict[str, Tensor]:
        """What one recorded step has of every row of the prompt set, beside its states.

        Returns:
            `correct` [row], `nll` [row] and `predicted` [row, token] where a recorder has written
            the step and rows have answers (see `Reading`); without `predicted` in version 0.1.
        """
        tensors, _ = self._load(step)
        return {name: value for name, value in tensors.items() if name != "states"}

    def snapshots(self) -> Iterator[tuple[int, States]]:
        """Every recorded step with its states, read one at a time."""
        return ((step, self.states(step)) for step in self.steps)

    def shape(self, step: int) -> tuple[tuple[str, ...], tuple[str, ...], int]:
        """Streams, positions and number of rows of one recorded step, from the file's header."""
        with self._open(step) as file:
            header, shape = file.metadata(), file.get_slice("states").get_shape()
        streams, positions = (tuple(json.loads(header[key])) for key in ("streams", "positions"))
        return streams, positions, shape[2]

    def part(self, step: int, streams: slice, position: int) -> Float[Tensor, "stream row width"]:
        """Some streams at one position of one recorded step, without reading the rest.

        Raises:
            BadInput: the step was not recorded, or its file is damaged.
        """
        with self._open(step) as file:
            found: Tensor = file.get_slice("states")[streams, position]
        return found

    def save_untrained(self, states: Sequence[States]) -> None:
        """Keep the states of untrained models: what `measure` lays beside the trained one's.

        Those that were kept before are replaced, also where there were more of them.
        """
        for path in (self.path / "untrained").glob("*.safetensors"):
            if int(path.stem) >= len(states):
                path.unlink()
        for number, each in enumerate(states):
            packed = pack_snapshot(0, each, {})
            write_whole(self.path / "untrained" / f"{number}.safetensors", packed.data)

    def untrained(self) -> list[States]:
        """The states of untrained models that were kept; none if none were."""
        paths = (self.path / "untrained").glob("*.safetensors")
        return [_states(*_read(path)) for path in sorted(paths, key=lambda path: int(path.stem))]

    def snapshot_path(self, step: int) -> Path:
        """The file of one recorded step."""
        return self.path / "states" / f"{step}.safetensors"

    def _load(self, step: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        self._check_recorded(step)
        return _read(self.snapshot_path(step))

    @contextmanager
    def _open(self, step: int) -> Iterator[Any]:
        self._check_recorded(step)
        with _opened(self.snapshot_path(step)) as file:
            yield file

    def _check_recorded(self, step: int) -> None:
        if step not in self.steps:
            raise BadInput(f"{self.path} has no step {step}; it has {self.steps}")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, FileNotFoundError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}); restore it, or remove the run folder and record "
            "again"
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a snapshot file, and its header."""
    with _opened(path) as file:
        names = list(file.keys())
        return {name: file.get_tensor(name) for name in names}, file.metadata()


def _states(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> States:
    return States(
        tensors["states"],
        tuple(json.loads(header["streams"])),
        tuple(json.loads(header["positions"])),
        compute_dtype=getattr(torch, header["compute_dtype"]),
    )
