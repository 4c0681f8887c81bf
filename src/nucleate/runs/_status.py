"""Whether a run is being written, was broken off, or is finished: told from its journal alone."""

from itertools import pairwise
from statistics import median
from typing import Literal

from nucleate.runs._journal import Journal, Record

Status = Literal["running", "stopped", "failed", "finished"]

# A recorder leaves a line at least every 10 s, as often as the training calls it.
_PATIENCE = 60.0
# Trainings of slow steps call it less often: so many usual gaps between lines may pass.
_GAPS = 5
_RECENT = 20
_PATIENCE_STALE, _GAPS_STALE = 30.0, 3


def last_sign(journal: Journal) -> float | None:
    """See `Run.last_sign`."""
    for record in journal.newest(1):
        time: float | None = record.get("time")
        return time
    return None


def status_of(journal: Journal, now: float) -> Status:
    """See `Run.status`."""
    if _is_finished(journal):
        return "finished"
    if _has_failed(journal):
        return "failed"
    return "running" if _is_heard(journal, now, _GAPS, _PATIENCE) else "stopped"


def is_stale(journal: Journal, now: float) -> bool:
    """Whether a run that counts as running has been silent for longer than it usually is.

    Args:
        journal: of the run.
        now: in Unix seconds.

    Returns:
        True from 30 s and three usual gaps between lines on, until the run counts as stopped.
    """
    running = status_of(journal, now) == "running"
    return running and not _is_heard(journal, now, _GAPS_STALE, _PATIENCE_STALE)


def _is_heard(journal: Journal, now: float, gaps: int, patience: float) -> bool:
    """Whether the last line of an open session is younger than so many usual gaps, or seconds."""
    times: list[float] = []
    for record in journal.newest(_RECENT):
        if _opens(record) or _closes(record):
            times.clear()
        if "time" in record and not _closes(record):
            times.append(record["time"])
    if not times:
        return False
    between = [after - before for before, after in pairwise(times)]
    return now - times[-1] <= max(patience, gaps * median(between) if between else 0.0)


def _has_failed(journal: Journal) -> bool:
    """Whether the newest session broke down and no other has begun since."""
    failed = False
    for record in journal.newest(_RECENT):
        failed = not _opens(record) and (failed or _fails(record))
    return failed


def _is_finished(journal: Journal) -> bool:
    """Whether the training's end is on record and nothing of a later step is."""
    live = list(journal.live())
    ends = [record["step"] for record in live if _ends(record)]
    return bool(ends) and max(ends) >= max(record.get("step", -1) for record in live)


def _ends(record: Record) -> bool:
    # Studies of version 0.1 left no `run_end`, but a part.
    kind = record["kind"]
    return kind == "run_end" or (kind == "part" and record.get("name") == "training")


def _opens(record: Record) -> bool:
    """Whether a recorder's session begins with this record."""
    return record["kind"] == "heartbeat" and bool(record.get("first"))


def _closes(record: Record) -> bool:
    """Whether a recorder's session is over after this record."""
    return record["kind"] == "event" and record.get("name") == "recording"


def _fails(record: Record) -> bool:
    """Whether a training, or the recording of it, broke down."""
    return record["kind"] == "event" and record.get("name") in (
        "recording failed",
        "training failed",
    )
