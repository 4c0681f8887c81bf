"""Many looks at a stream: one rate over a horizon, what is kept, and how it goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clouds import Clouds
from nucleate import BadInput
from nucleate.monitor.drift import DriftMonitor, DriftVerdict

CLOUDS = Clouds()
REFERENCE = CLOUDS.sample(1, 400, name="reference")


def monitor(reference=REFERENCE, **settings):
    return DriftMonitor(
        reference, **{"size": 40, "horizon": 20, "windows": (1, 4), "draws": 450, **settings}
    )


@pytest.mark.parametrize("method", ["scan", "anytime"])
def test_a_stream_that_turns_is_drift_since_about_then(method):
    watched = monitor(method=method)
    quiet = watched.add(CLOUDS.sample(2, 40 * 8))
    assert quiet.verdict is not DriftVerdict.DRIFT
    found = watched.add(CLOUDS.sample(3, 40 * 8, off=0.4))
    assert found.verdict is DriftVerdict.DRIFT
    assert "outside" in found.found
    assert found.looks.first_alarm in range(9, 13)
    assert abs(found.looks.since - 9) <= 1
    assert found.looks.still
    assert found.p <= 0.05


def test_a_new_cluster_in_a_stream_is_found_with_examples():
    watched = monitor()
    watched.add(CLOUDS.sample(4, 40 * 4))
    found = watched.add(CLOUDS.sample(5, 40 * 8, gathered=0.15, name="new"))
    assert found.new_group is not None
    assert found.new_group.dense
    assert all(each.startswith("new") for each in found.new_group.examples)


def test_an_alarm_lasts_until_the_horizon_ends_and_says_whether_it_still_is_so():
    watched = monitor(horizon=12)
    watched.add(CLOUDS.sample(6, 40 * 4, off=0.5))
    found = watched.add(CLOUDS.sample(7, 40 * 8))
    assert found.verdict is DriftVerdict.DRIFT
    assert not found.looks.still
    fresh = watched.add(CLOUDS.sample(8, 40 * 2))
    assert fresh.verdict is not DriftVerdict.DRIFT
    assert (fresh.looks.done, fresh.looks.horizons) == (2, 1)


def test_how_requests_arrive_does_not_matter():
    requests = CLOUDS.sample(9, 40 * 6 + 17, to_first=0.2)
    whole, bits = monitor(), monitor()
    whole.add(requests)
    for start in range(0, len(requests), 23):
        bits.add(requests.take(slice(start, start + 23)))
    assert whole.report().to_dict() == bits.report().to_dict()
    assert whole.report().looks.waiting == 17


@pytest.mark.parametrize("method", ["scan", "anytime"])
def test_a_restored_monitor_goes_on_as_the_first_would_have(method):
    first = monitor(method=method)
    first.add(CLOUDS.sample(10, 40 * 5 + 9))
    again = DriftMonitor.restore(json.loads(json.dumps(first.state())), REFERENCE)
    assert again.report().to_dict() == first.report().to_dict()
    rest = CLOUDS.sample(11, 40 * 8, off=0.2, gathered=0.1)
    assert first.add(rest).to_dict() == again.add(rest).to_dict()


def test_the_state_holds_no_text_and_only_outside_vectors():
    watched = monitor()
    requests = CLOUDS.sample(12, 40 * 3)
    watched.add(requests)
    state = json.dumps(watched.state())
    inside = [f'"{h}"' for h, p in zip(requests.hashes, requests.p, strict=True) if p > 0.05]
    assert not any(each in state for each in inside)
    assert any(f'"{h}"' in state for h, p in zip(requests.hashes, requests.p, strict=True))


def test_windows_that_are_not_full_yet_say_nothing():
    found = monitor(windows=(3, 5)).add(CLOUDS.sample(21, 80))
    assert {each.name for each in found.signals} <= {"new group"}
    later = monitor(windows=(1, 40)).add(CLOUDS.sample(22, 160, off=0.4))
    assert {each.window for each in later.signals if each.name != "new group"} == {1}
    assert later.verdict is DriftVerdict.DRIFT


def test_before_the_first_look_is_full_there_are_too_few():
    watched = monitor(method="anytime")
    assert watched.report().verdict is DriftVerdict.TOO_FEW
    found = watched.add(CLOUDS.sample(13, 39))
    assert (found.verdict, found.p, found.looks.waiting) == (DriftVerdict.TOO_FEW, None, 39)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_small_reference_is_too_few_and_quiet_looks_may_be_undecided():
    assert monitor(CLOUDS.sample(14, 60)).add(CLOUDS.sample(15, 40)).verdict is (
        DriftVerdict.TOO_FEW
    )
    assert monitor(matters=0.01).add(CLOUDS.sample(16, 160)).verdict is DriftVerdict.UNDECIDED


@pytest.mark.slow
@pytest.mark.parametrize("method", ["scan", "anytime"])
def test_false_alarms_over_a_horizon_keep_the_rate(method):
    from scipy.stats import binomtest

    alarms = sum(
        monitor(CLOUDS.sample(2 * seed, 400), method=method, seed=seed)
        .add(CLOUDS.sample(2 * seed + 1, 40 * 20))
        .verdict
        is DriftVerdict.DRIFT
        for seed in range(150)
    )
    assert binomtest(alarms, 150, 0.05, "greater").pvalue > 0.01, alarms


def test_reports_tell_the_alarms_to_expect_of_this_traffic():
    found = monitor(per_day=4000.0).add(CLOUDS.sample(17, 40))
    assert found.false_alarms_a_month == pytest.approx(0.05 * 30 * 4000 / (40 * 20))


def test_requests_without_vectors_are_watched_from_the_beginning_or_refused():
    watched = monitor()
    found = watched.add(CLOUDS.sample(18, 80, vectors_kept=False))
    assert {each.name for each in found.signals} == {"mass", "outside", "score"}
    again = DriftMonitor.restore(json.loads(json.dumps(watched.state())), REFERENCE)
    assert again.report().to_dict() == found.to_dict()
    mixed = monitor()
    mixed.add(CLOUDS.sample(18, 10))
    with pytest.raises(BadInput, match="earlier requests had vectors and these have none"):
        mixed.add(CLOUDS.sample(18, 10, vectors_kept=False))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 5}, "size is 5; give a whole number of at least 10"),
        ({"horizon": 0}, "horizon is 0"),
        ({"horizon": 20_000}, "horizon is 20000; give at most 10000"),
        ({"windows": ()}, "windows are"),
        ({"windows": (5, 1)}, "windows are"),
        ({"windows": (0, 1)}, "a window is 0"),
        ({"rate": 0.001}, "450 draws cannot tell rates below"),
        ({"rate": 1.0}, "rate is 1.0"),
        ({"method": "magic"}, "choose one of scan, anytime"),
        ({"per_day": -1.0}, "per_day is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, says):
    with pytest.raises(BadInput, match=says):
        monitor(**wrong)


def test_what_is_no_stream_of_this_reference_is_refused():
    watched = monitor()
    with pytest.raises(BadInput, match="scored by the atlas two"):
        watched.add(CLOUDS.sample(19, 40, atlas="two"))
    with pytest.raises(BadInput, match="there are no requests"):
        watched.add(REFERENCE.take(slice(0, 0)))
    with pytest.raises(BadInput, match="reference rows are training rows"):
        monitor(training={"reference5"})
    watched.add(CLOUDS.sample(20, 90))
    state = watched.state()
    other = replace(REFERENCE, p=np.minimum(1, REFERENCE.p + 0.001))
    with pytest.raises(BadInput, match="the state belongs to the reference"):
        DriftMonitor.restore(state, other)
    with pytest.raises(BadInput, match="no state of a drift monitor"):
        DriftMonitor.restore({"kind": "other"}, REFERENCE)
    short = state["current"] | {"sums": state["current"]["sums"][:128]}
    with pytest.raises(BadInput, match="the state is of another version"):
        DriftMonitor.restore({**state, "current": short}, REFERENCE)
    for name, value in (("looks", [{}]), ("highest", "$$"), ("settings", {"sizes": 3})):
        with pytest.raises(BadInput, match="state of drift is damaged"):
            DriftMonitor.restore({**state, name: value}, REFERENCE)
