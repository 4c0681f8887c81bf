"""Alarms are shown from the journal and from a report in the folder, once each."""

import json

import pytest

import any_runs
from nucleate.views import RunView


def shown(run) -> list[dict]:
    return json.loads(RunView(run.path).get("view.json"))["alarms"]


ALARM = {
    "name": "alarm", "alarm": "forgetting", "rule": "own past", "statistic": "right", "step": 4,
    "place": "", "tasks": ["t2"], "now": 0.1, "before": 0.9, "value": 0.7, "threshold": 0.3,
    "seen": 0, "healthy": 240, "rate": 0.05, "loss_alarm": None,
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    return any_runs.make(tmp_path / "run")


def test_events_of_the_journal_are_shown_until_a_rewind(run):
    assert shown(run) == []
    run.journal.append("event", **ALARM)
    (alarm,) = shown(run)
    assert (alarm["alarm"], alarm["step"], alarm["tasks"]) == ("forgetting", 4, ["t2"])
    run.journal.append("rewind", to=2)
    assert shown(run) == []


def test_a_report_in_the_folder_is_shown_and_nothing_twice(run):
    known = {**ALARM, "kind": ALARM["alarm"]}
    other = {**known, "kind": "collapse", "tasks": [], "step": 2}
    (run.path / "alarms.json").write_text(json.dumps({"kind": "alarms", "alarms": [known, other]}))
    run.journal.append("event", **ALARM)
    assert [alarm["alarm"] for alarm in shown(run)] == ["collapse", "forgetting"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", '{"kind": "alarms"}', '{"kind": "alarms", "alarms": [3, {}, null]}',
             '{"kind": "drift", "alarms": [{"kind": "x", "step": 1}]}',
             '{"kind": "alarms", "alarms": 7}',
             '{"kind": "alarms", "alarms": [{"kind": "x", "step": "1"}]}'],
)  # fmt: skip
def test_a_file_that_is_no_report_shows_nothing(run, text):
    (run.path / "alarms.json").write_text(text)
    assert shown(run) == []
