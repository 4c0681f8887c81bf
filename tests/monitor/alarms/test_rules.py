"""Each fault raises the alarm that names it, healthy trainings seldom any, by limits that hold."""

from dataclasses import replace

import numpy as np
import pytest

from made_trainings import AT, FAULTS, fresh, healthy, series
from nucleate._core.errors import BadInput
from nucleate.monitor.alarms import (
    STATISTICS,
    Alarm,
    Column,
    Series,
    Watch,
    Worst,
    alarms_of,
    limits_from,
    standard,
    worst_of,
)
from nucleate.monitor.alarms._excess import Fall
from nucleate.monitor.alarms._limits import fewest_runs, shipped

RIGHT = (Column("right", "", "t0"),)


def falls(values: list[float], column: Column = RIGHT[0]) -> np.ndarray:
    fall = Fall([column])
    return np.array([fall.add(np.array([value]))[0] for value in values])


def test_one_odd_reading_is_neither_a_level_nor_a_fall():
    assert np.nanmax(falls([0.2] * 5 + [0.9] + [0.2] * 5)) == 0
    assert np.nanmax(falls([0.9] * 5 + [0.1] + [0.9] * 5)) == 0


def test_a_fall_counts_from_the_second_reading_on_by_the_lesser_of_two():
    found = falls([0.8] * 5 + [0.1, 0.3, 0.0])
    assert found[5] == pytest.approx(0)
    assert found[6:] == pytest.approx([0.5, 0.5])


def test_a_rise_is_bad_where_rising_is():
    assert np.nanmax(falls([0.0] * 5 + [2.0] * 3, Column("loss"))) == 2
    assert np.nanmax(falls([2.0] * 5 + [0.0] * 3, Column("loss"))) == 0


def test_what_drifts_while_all_is_well_is_compared_with_the_last_readings_only():
    memory = STATISTICS["norm"].memory
    slow = falls([0.1 * k for k in range(30)], Column("norm"))
    assert np.nanmax(slow) == pytest.approx(0.1 * (memory + 1), abs=0.11)


def test_a_number_that_is_missing_says_nothing_and_the_next_ones_do():
    found = falls([0.8, 0.8, np.nan, 0.8, 0.8, 0.1, 0.1])
    assert np.isnan(found[2:4]).all()
    assert found[-1] == pytest.approx(0.7)


@pytest.mark.parametrize(("rate", "fewest"), [(0.05, 19), (0.1, 9), (0.3, 3), (0.01, 99)])
def test_so_many_healthy_runs_hold_a_rate(rate, fewest):
    assert fewest_runs(rate) == fewest


def test_limits_are_exceeded_at_the_rate_that_was_asked_for():
    """Correlated, heavy-tailed statistics of different scale; many draws of few healthy runs."""
    rng = np.random.default_rng(0)
    names = tuple(("own past", name) for name in list(STATISTICS)[:6])
    scale = np.array([0.1, 1, 2, 5, 10, 100])

    def draw(runs: int) -> np.ndarray:
        return scale * (rng.gumbel(size=(runs, 6)) + rng.standard_normal((runs, 1)))

    for rate, runs in ((0.05, 19), (0.05, 59), (0.2, 24)):
        hits = 0
        for _ in range(400):
            limits = limits_from(Worst(names, draw(runs), ""), rate)
            bound = np.array([limits.by_name[name] for name in names])
            hits += int((draw(5) > bound).any(1).sum())
        deviation = np.sqrt(rate * (1 - rate) / 400)  # the five share their limits
        assert abs(hits / 2000 - rate) < 4 * deviation, (rate, runs, hits / 2000)


def test_where_healthy_runs_only_get_better_no_difference_is_no_alarm():
    """Their worst is below 0: a limit there would alarm when a loss stops falling."""
    worst = Worst((("own past", "loss"),), -0.1 - 0.01 * np.arange(20.0)[:, None], "")
    assert limits_from(worst, 0.05).by_name["own past", "loss"] == STATISTICS["loss"].least


def test_too_few_healthy_runs_are_refused_with_the_rate_that_they_hold():
    worst = Worst((("own past", "right"),), np.zeros((9, 1)), "")
    with pytest.raises(BadInput, match=r"9 healthy runs cannot hold a rate of 0.05 .* at least 19"):
        limits_from(worst, 0.05)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(BadInput, match="rate"):
        standard(rate=rate)


def first(fault: str, against) -> tuple[list[Alarm], Alarm]:
    alarms = alarms_of(series(1000, fault), against)
    assert alarms
    return alarms, alarms[0]


@pytest.fixture(scope="module")
def references():
    return standard(healthy())


@pytest.fixture(scope="module")
def own_past():
    worst = worst_of(healthy(), bands=False)
    return replace(standard(), limits=limits_from(worst, 0.05))


@pytest.mark.parametrize(
    ("fault", "kind", "tasks"),
    [("merged", "merged tasks", {"t0", "t1"}), ("forgotten", "forgetting", {"t2"}),
     ("collapsed", "collapse", set()), ("blown up", "blow-up", set())],
)  # fmt: skip
def test_each_fault_is_named_with_its_tasks(fault, kind, tasks, own_past):
    alarms, _ = first(fault, own_past)
    found = [alarm for alarm in alarms if alarm.kind == kind]
    assert found
    assert found[0].step == AT + 20  # the second reading after it
    assert set(found[0].tasks) == tasks
    assert found[0].value > found[0].threshold
    assert (found[0].healthy, found[0].rate) == (30, 0.05)
    assert all(alarm.step > AT for alarm in alarms)


@pytest.mark.parametrize("fault", FAULTS)
def test_reference_runs_find_every_fault_too(fault, references):
    alarms, earliest = first(fault, references)
    assert AT < earliest.step <= AT + 20
    assert all(alarm.step > AT for alarm in alarms)


def test_not_finite_is_told_in_the_first_reading(own_past):
    _, alarm = first("nan", own_past)
    assert (alarm.kind, alarm.step) == ("not finite", AT + 10)
    assert alarm.tasks == ("states of block.1 @ last",)


@pytest.mark.parametrize("bands", [True, False])
def test_healthy_trainings_seldom_alarm(bands):
    """Cross-validated: a third of the runs at a time is judged by limits of the others."""
    runs, hits = healthy(60), 0
    for fold in range(3):
        others = [run for k, run in enumerate(runs) if k % 3 != fold]
        limits = limits_from(worst_of(others, bands=bands), 0.05)
        against = replace(standard(), limits=limits, references=tuple(others) if bands else ())
        hits += sum(bool(alarms_of(run, against)) for run in runs[fold::3])
    assert hits <= 9  # of 60; 3 are expected, with a deviation of 2 as limits differ as well


def test_an_alarm_is_raised_once_for_what_goes_on(own_past):
    alarms, _ = first("forgotten", own_past)
    assert len([alarm for alarm in alarms if alarm.kind == "forgetting" and alarm.tasks]) == 1


def test_an_alarm_counts_the_healthy_runs_that_were_as_bad(own_past):
    _, alarm = first("forgotten", own_past)
    column = own_past.limits.worst.names.index(("own past", alarm.statistic))
    expected = (own_past.limits.worst.table[:, column] >= alarm.value).sum()
    assert alarm.seen == expected
    assert f"seen in {expected} of 30 healthy runs" in alarm.words()


def test_the_same_rule_on_the_loss_stands_beside_an_alarm(references):
    alarms, _ = first("blown up", references)
    assert all(alarm.loss_alarm == AT + 20 for alarm in alarms)
    quiet, _ = first("merged", references)
    assert quiet[0].loss_alarm is None
    assert "on loss and accuracy has not alarmed" in quiet[0].words()


def test_too_few_references_are_said_and_the_own_past_counts():
    found = standard(healthy()[:8])
    assert found.note.startswith("too few reference runs: 8, and a rate of 0.05 needs 19")
    assert found.references == ()


def test_references_of_other_prompts_or_places_are_refused_by_name(references):
    other = replace(series(7), prompts_hash="0" * 64)
    with pytest.raises(BadInput, match=r"made 7 and made 0 were read with other prompts"):
        alarms_of(other, references)
    places = tuple(replace(c, place=c.place.replace("0", "5")) for c in other.columns)
    moved = replace(series(7), columns=places)
    with pytest.raises(BadInput, match=r"other places \(block.5 @ last"):
        Watch(fresh(moved), references)
    with pytest.raises(BadInput, match="other prompts"):
        standard([*healthy(), other])


def test_references_of_other_steps_are_interpolated(references):
    made = series(300)
    shifted = [replace(each, step=each.step + 5) for each in made.numbers[:-1]]
    assert len(alarms_of(replace(made, numbers=shifted), references)) <= 1


def test_a_series_survives_its_file(tmp_path):
    made = series(3)
    made.save(tmp_path / "series.json")
    there = Series.load(tmp_path / "series.json")
    assert there.columns == made.columns
    assert np.allclose(there.values, made.values, atol=1e-6, equal_nan=True)
    assert (there.tasks, there.steps) == (made.tasks, made.steps)
    (tmp_path / "other.json").write_text('{"kind": "drift"}')
    with pytest.raises(BadInput, match="no series of a training"):
        Series.load(tmp_path / "other.json")


def test_an_alarm_survives_json():
    for fault in FAULTS:
        for alarm in alarms_of(series(1000, fault), standard()):
            assert Alarm.of_json(alarm.json()) == alarm


def test_the_package_brings_enough_healthy_runs_for_its_rate():
    assert len(shipped()) >= 200
    assert {name for _, name in shipped().names} == set(STATISTICS)
    with pytest.raises(BadInput, match=r"healthy runs of the package cannot hold a rate of 0.001"):
        standard(rate=0.001)
