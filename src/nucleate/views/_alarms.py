"""The alarms of a run, as its journal and its folder have them: no rule is applied here."""

import json
from typing import Any

from nucleate.runs import Run

_SHOWN = ("alarm", "rule", "statistic", "step", "place", "tasks", "now", "before", "value",
          "threshold", "seen", "healthy", "rate", "loss_alarm")  # fmt: skip
_FILE = "alarms.json"


def alarms_of(run: Run) -> list[dict[str, Any]]:
    """What an observer left in the journal, and what stands in `alarms.json`, once each.

    Args:
        run: with events named `alarm`, or a report of `nucleate watch` in its folder, or neither.

    Returns:
        By step. What is no alarm is left out: the file is whatever somebody put there.
    """
    events = [r for r in run.journal.live("event") if r.get("name") == "alarm"]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for alarm in [*events, *_in_file(run)]:
        if not isinstance(alarm.get("step"), int) or not isinstance(alarm.get("alarm"), str):
            continue
        shown = {name: alarm.get(name) for name in _SHOWN}
        tasks = alarm["tasks"] if isinstance(alarm.get("tasks"), list) else []
        names = [str(task) for task in tasks]
        found.setdefault((alarm["step"], alarm["alarm"], *names), shown | {"tasks": names})
    return sorted(found.values(), key=lambda alarm: alarm["step"])


def _in_file(run: Run) -> list[dict[str, Any]]:
    try:
        report = json.loads((run.path / _FILE).read_text(encoding="utf-8"))
        alarms = report["alarms"] if report["kind"] == "alarms" else []
        return [{**alarm, "alarm": alarm["kind"]} for alarm in alarms]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
