"""What a run's journal says of its finished parts: seconds and memory."""

from nucleate.runs._run import Run


def parts_of(run: Run) -> dict[str, float]:
    """Seconds that each part of a run took."""
    return {record["name"]: record["seconds"] for record in run.journal.live("part")}


def peak_memory_of(run: Run) -> int:
    """The most resident bytes of any session."""
    return max(int(record["peak_memory_bytes"]) for record in run.journal.live("part"))
