"""What a gate judges by: runs, and the reports of the other tools; read, hashed, checked."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import shortest_names
from nucleate.findings import Summary
from nucleate.monitor.gate._same_model import check_model
from nucleate.runs import Run, read_manifest

REPORTS = ("series", "atlas", "drift", "audit", "alarms")
_VERSION = 1
_SUMMARY_VERSION = 2


@dataclass(frozen=True)
class RunEvidence:
    """What a run found.

    Attributes:
        name: tells it apart from the others.
        config_hash: of its settings.
        prompts_hash: of the rows that were read.
        sha256: of its `summary.json`; empty where there is none.
        summary: None where there is none, or it cannot be read.
        strings: instruction strings behind each position's clusters, by (position, stream).
        ended: when its training ended, in Unix seconds; None where that is not known.
        missing: why it says nothing.
        broken: why it cannot be read.
    """

    name: str
    config_hash: str
    prompts_hash: str
    sha256: str = ""
    summary: Summary | None = None
    strings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    tasks: frozenset[str] = frozenset()
    ended: float | None = None
    missing: str = ""
    broken: str = ""


@dataclass(frozen=True)
class Report:
    """The report of another tool.

    Attributes:
        kind: of `REPORTS`.
        path: of its file.
        sha256: of the file.
        content: None where it cannot be read.
        broken: why it cannot be read.
    """

    kind: str
    path: Path
    sha256: str
    content: Mapping[str, Any] | None
    broken: str = ""


@dataclass(frozen=True)
class Evidence:
    """All that a gate is given; what is not there was not given."""

    runs: tuple[RunEvidence, ...] = ()
    controls: tuple[RunEvidence, ...] = ()
    reports: Mapping[str, Report] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def first_ended(self) -> float | None:
        """When the first of the trainings ended: from then on a result could be looked at."""
        known = [run.ended for run in (*self.runs, *self.controls)]
        return min((time for time in known if time is not None), default=None)


def read_evidence(
    runs: Sequence[Path | str] = (),
    controls: Sequence[Path | str] = (),
    **reports: Path | str | None,
) -> Evidence:
    """Read evidence, and refuse what does not belong together.

    Args:
        runs: run folders; several of them are one training under several seeds.
        controls: runs without task information (`--null scrambled`), which must show nothing.
        reports: by kind: files of `series`, `drift`, `audit`, `alarms`, and the folder `atlas`.

    Returns:
        All that was given; what is damaged says so and is judged as an error.

    Raises:
        BadInput: a path that does not exist, a run named twice, a report of another kind or
            version, of another run than those given, or an atlas of another model.
    """
    own = _runs("run", runs)
    without = _runs("control", controls)
    for control in without:
        if control.summary is not None and control.summary.null is None:
            raise BadInput(
                f"{control.name} is no control: its instructions say what the task is; give a run "
                "made with --null scrambled"
            )
    for run in own:
        if run.summary is not None and run.summary.null is not None and controls:
            raise BadInput(
                f"{run.name} is a control ({run.summary.null}) and is given as a run; give it as "
                "--control"
            )
    found = {kind: read_report(kind, path) for kind, path in reports.items() if path is not None}
    for report in found.values():
        _check_same(report, own)
        _check_atlas(report, found.get("atlas"))
    atlas = found["atlas"].content if "atlas" in found else None
    unchecked = ""
    if atlas is not None:
        unchecked = check_model(atlas["fingerprints"], [as_path("run", run) for run in runs])
    return Evidence(own, without, found, (unchecked,) if unchecked else ())


def _runs(what: str, folders: Sequence[Path | str]) -> tuple[RunEvidence, ...]:
    paths = [as_path(f"the {what}", folder) for folder in folders]
    seen: dict[Path, Path] = {}
    for path in paths:
        if path.resolve() in seen:
            raise BadInput(f"{path} is named twice; name each {what} once")
        seen[path.resolve()] = path
    return tuple(_run(path, name) for path, name in zip(paths, shortest_names(paths), strict=True))


def _run(path: Path, name: str) -> RunEvidence:
    manifest = read_manifest(path)
    run = Run(path)
    known: dict[str, Any] = {
        "name": name,
        "config_hash": str(manifest.get("config_hash", "")),
        "prompts_hash": str(manifest.get("prompts_hash", "")),
        "ended": _ended(run),
    }
    if run.status in ("running", "failed"):
        return RunEvidence(**known, missing=f"the training is {run.status}")
    file = path / "summary.json"
    if not file.exists():
        return RunEvidence(**known, missing="it has no summary.json: nucleate report writes it")
    data = file.read_bytes()
    known["sha256"] = hashlib.sha256(data).hexdigest()
    try:
        content = json.loads(data)
        _check_summary_version(file, content)
        summary = Summary.model_validate(content)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        return RunEvidence(**known, broken=f"summary.json is damaged: {_first(error)}")
    if summary.config_hash and known["config_hash"] not in ("", summary.config_hash):
        raise BadInput(
            f"{file} is of another run (settings {summary.config_hash[:12]}) than its folder "
            f"({known['config_hash'][:12]}); make it anew: nucleate report"
        )
    return RunEvidence(
        **known, summary=summary, strings=_strings(path), tasks=_tasks(run),
        missing=summary.unmeasured,
    )  # fmt: skip


def _ended(run: Run) -> float | None:
    """When the training ended; where that is not on record, when its last snapshot was taken."""
    line = run.journal.last("run_end") or run.journal.last("snapshot") or {}
    time = line.get("time")
    return float(time) if isinstance(time, float | int) else None


def _check_summary_version(file: Path, content: Any) -> None:
    version = content.get("schema_version") if isinstance(content, Mapping) else None
    if isinstance(version, int) and version != _SUMMARY_VERSION:
        raise BadInput(
            f"{file} has schema version {version}, and version {_SUMMARY_VERSION} is read; make it "
            "anew: nucleate report"
        )


def _strings(path: Path) -> dict[tuple[str, str], int]:
    """How many instruction strings an agreement rests on: those that no stream was chosen on."""
    file = path / "panel.csv"
    if not file.exists():
        return {}
    found: dict[tuple[str, str], int] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            of_tasks = (row.get("label"), row.get("metric"), row.get("half")) == (
                "task", "ari", "report"
            )  # fmt: skip
            if of_tasks and row.get("strings"):
                found[row["position"], row["stream"]] = int(float(row["strings"]))
    return found


def _tasks(run: Run) -> frozenset[str]:
    return frozenset(str(task) for task in run.prompts.labels.get("task", ()))


def read_report(kind: str, path: Path | str) -> Report:
    """Read the report of another tool.

    Raises:
        BadInput: no such file, or it is of another kind or version.
    """
    file = as_path(f"the {kind} report", path)
    if kind == "atlas" and file.is_dir():
        file = file / "atlas.json"
    if not file.is_file():
        what = "atlas" if kind == "atlas" else f"{kind} report"
        raise BadInput(f"there is no {what} {file}; name what nucleate wrote")
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        return Report(kind, file, digest, None, f"{file.name} is damaged: {_first(error)}")
    if not isinstance(content, Mapping):
        return Report(kind, file, digest, None, f"{file.name} is damaged: it is no JSON object")
    _check_kind(kind, file, content)
    if kind == "atlas":
        return _atlas(file, digest)
    return Report(kind, file, digest, content)


def _atlas(file: Path, digest: str) -> Report:
    """An atlas whose files are as they were written."""
    from nucleate.monitor.atlas import Atlas

    try:
        atlas = Atlas.load(file.parent)
    except BadInput as error:
        return Report("atlas", file, digest, None, str(error))
    content = {
        "clusters": list(atlas.clusters),
        "version": atlas.version,
        "confusion": atlas.confusion,
        "fingerprints": atlas.fingerprints,
    }
    return Report("atlas", file, digest, content)


def _check_kind(kind: str, file: Path, content: Mapping[str, Any]) -> None:
    # The check of a series says what it is by what it holds.
    is_series = {"ok", "flags", "checkpoints"} <= set(content)
    found = content.get("kind", "series" if is_series else None)
    if found != kind:
        told = f"a report of kind {found!r}" if found else "no report of nucleate"
        raise BadInput(f"{file} is {told}, and is given as --{kind}; give the right file")
    if kind == "atlas":  # its version is the hash of its content, and its schema is its own affair
        return
    version = content.get("version", _VERSION if is_series else None)
    if version != _VERSION:
        raise BadInput(
            f"{file} has version {version!r}, and version {_VERSION} is read; make it anew"
        )


def _check_same(report: Report, runs: Sequence[RunEvidence]) -> None:
    """Refuse a report that names a run by its hashes, and names another one."""
    inputs = (report.content or {}).get("inputs")
    if not isinstance(inputs, Mapping):
        return
    for name in ("config_hash", "prompts_hash"):
        stated, known = inputs.get(name), {getattr(run, name) for run in runs} - {""}
        if isinstance(stated, str) and stated and known and stated not in known:
            raise BadInput(
                f"{report.path} is of another run: its {name} is {stated[:12]}, that of the given "
                f"run {sorted(known)[0][:12]}; give the report of this run"
            )


def _check_atlas(report: Report, atlas: Report | None) -> None:
    """Refuse a report that was made with another atlas than the one that is given."""
    inputs, own = (report.content or {}).get("inputs"), (atlas.content if atlas else None) or {}
    stated = inputs.get("atlas") if isinstance(inputs, Mapping) else None
    if isinstance(stated, str) and "version" in own and stated != own["version"]:
        raise BadInput(
            f"{report.path} was made with the atlas {stated[:12]}, and {own['version'][:12]} is "
            "given; give the atlas that it was made with"
        )


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        return f"{key}: {first['msg']}" if key else str(first["msg"])
    return " ".join(str(error).split())[:200]
