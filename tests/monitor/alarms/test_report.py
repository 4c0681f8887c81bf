"""A run's folder is watched without a byte changed, once or until its training is over."""

import threading
import time

import pytest

from made_trainings import AT, PLACES, STEPS, healthy, prompts, readings, run, series
from nucleate import Run
from nucleate._core.errors import BadInput
from nucleate.monitor.alarms import RunWatch, alarms_of, follow, standard, words


def bytes_of(folder) -> dict[str, tuple[bytes, int]]:
    return {
        str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def against():
    return standard(healthy())


def test_a_finished_run_is_read_and_nothing_of_it_changed(tmp_path, against):
    made = run(tmp_path / "run", 100, "forgotten")
    before = bytes_of(made.path)
    watch = RunWatch(made, against, PLACES)
    new = watch.look()
    assert watch.look() == []
    assert [(a.kind, a.step) for a in new] == [
        (a.kind, a.step) for a in alarms_of(series(100, "forgotten"), against)
    ]
    assert bytes_of(made.path) == before


def test_the_report_says_what_stands_beside_what_it_was_made_from(tmp_path, against):
    watch = RunWatch(run(tmp_path / "bad", 100, "forgotten"), against, PLACES)
    watch.look()
    report = watch.report(trainings_a_month=40.0)
    assert (report["kind"], report["version"], report["verdict"]) == ("alarms", 1, "alarm")
    assert report["inputs"]["prompts_hash"] == prompts().content_hash()
    assert report["inputs"]["references"] == [f"made {k}" for k in range(30)]
    assert report["first_alarm"] == AT + 20
    assert report["expected_false_alarms"] == {
        "a_training": 0.05, "trainings_a_month": 40, "a_month": 2.0,
    }  # fmt: skip
    said = "\n".join(words(report))
    assert "t2" in said
    assert "2 a month at 40 trainings" in said
    assert all(alarm["words"] in said for alarm in report["alarms"])


def test_a_healthy_run_is_quiet_and_one_of_few_readings_is_neither(tmp_path, against):
    quiet = RunWatch(run(tmp_path / "good"), against, PLACES)
    quiet.look()
    assert quiet.report()["verdict"] == "quiet"
    made = Run.create(tmp_path / "young", prompts(), {})
    young = RunWatch(made, against, PLACES)
    young.look()
    assert young.report()["verdict"] == "too few"
    for step, states, scores in readings(100):
        if step <= 20:
            made.save_snapshot(step, states, scores)
    young.look()
    report = young.report()
    assert (report["verdict"], report["readings"]) == ("too few", 3)
    assert "3 readings" in report["note"]


def test_a_training_that_broke_down_before_a_reading_is_not_finite(tmp_path, against):
    made = run(tmp_path / "run", ends=False)
    made.journal.append("event", name="training failed", at=195, error="the loss is nan")
    watch = RunWatch(made, against, PLACES)
    assert [(a.kind, a.step) for a in watch.look()] == [("not finite", 195)]
    assert watch.look() == []


def test_a_rewind_takes_alarms_back(tmp_path, against):
    made = run(tmp_path / "run", 100, "merged")
    watch = RunWatch(made, against, PLACES)
    assert watch.look()
    made.journal.append("rewind", to=AT)
    watch.look()
    assert watch.alarms == []


def test_a_running_training_is_followed_to_its_end(tmp_path, against):
    made = Run.create(tmp_path / "run", prompts(), {})
    made.journal.append("heartbeat", step=0, first=True)
    told = []

    def train():
        for step, states, scores in readings(100, "merged"):
            made.save_snapshot(step, states, scores)
            time.sleep(0.01)
        made.journal.append("run_end", step=STEPS[-1])

    training = threading.Thread(target=train)
    training.start()
    watch = RunWatch(made.path, against, PLACES)
    follow(watch, told.append, every=0.05)
    training.join()
    assert told == watch.alarms
    assert {"t0", "t1"} <= {task for alarm in told for task in alarm.tasks}
    assert watch.report()["inputs"]["status"] == "finished"


def test_following_stops_when_it_is_asked_to(tmp_path, against):
    made = Run.create(tmp_path / "run", prompts(), {})
    made.journal.append("heartbeat", step=0, first=True)
    follow(RunWatch(made, against, PLACES), print, every=60.0, stopping=lambda: True)


def test_a_pace_out_of_range_is_refused(tmp_path, against):
    made = run(tmp_path / "run")
    with pytest.raises(BadInput, match="every is 0"):
        follow(RunWatch(made, against, PLACES), print, every=0.0)
    with pytest.raises(BadInput, match="trainings_a_month"):
        RunWatch(made, against, PLACES).report(trainings_a_month=-1.0)
