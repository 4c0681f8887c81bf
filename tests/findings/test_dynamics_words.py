import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate.dynamics import (
    Abruptness,
    Association,
    AxisFit,
    ChangePoints,
    Coefficient,
    MixedFit,
    Onset,
    Trajectory,
    onset_order,
)
from nucleate.findings import (
    describe_abruptness,
    describe_association,
    describe_between_tasks,
    describe_change_points,
    describe_onset,
    describe_order,
)

BIC = {"constant": 0.0, "linear": 0.0, "power": 0.0, "logistic": 0.0}
fits = st.builds(
    AxisFit,
    bic=st.just(BIC),
    best=st.sampled_from(list(BIC)),
    margin=st.floats(-50, 50),
    width=st.none() | st.floats(0.01, 1),
)
coefficients = st.builds(
    lambda value, reach, p: Coefficient(value, value - reach, value + reach, p, "a model"),
    st.floats(-1, 1), st.floats(0.01, 1), st.floats(0, 1),
)  # fmt: skip


@given(fits, fits)
def test_a_change_is_called_phase_like_only_if_both_axes_say_so(linear, log):
    found = Abruptness(linear, log)
    said = describe_abruptness(found, "NLL")
    constant = "constant" in (linear.best, log.best)
    claimed = said.startswith("The change of NLL is phase-like")
    assert claimed == (found.phase_like and not constant)
    assert said.startswith("No change of NLL") == constant


@given(st.none() | st.floats(-1, 1), st.floats(0.001, 1), st.floats(-1, 1))
def test_an_association_is_claimed_only_below_a_twentieth(r, p, raw):
    said = describe_association(Association(r, p, raw, 40), "loss", "margin")
    assert (" move " in said) == (r is not None and p < 0.05)
    assert "no cause" in said or " move " not in said
    assert f"{raw:.2f}" in said


@given(st.lists(st.integers(0, 99), unique=True), st.integers(0, 5), st.integers(0, 5))
def test_change_points_are_compared_with_what_ramps_have(points, low, more):
    points = tuple(sorted(points))
    found = ChangePoints(points, 0.2, 0.1, low + more / 2, low, low + more)
    said = describe_change_points(found, "ARI")
    assert all(str(at) in said for at in points)
    assert ("more than" in said) == (len(points) > low + more)
    if points:
        assert f"{low} to {low + more}" in said
    else:
        assert said.startswith("No change points of ARI")


@given(coefficients, coefficients, st.sampled_from([(), ("loss",)]))
def test_a_relation_between_tasks_needs_p_and_interval(adjusted, alone, covariates):
    fit = MixedFit(adjusted, alone, "accuracy", "margin", covariates, 20, 6, 120, 0)
    said = describe_between_tasks(fit)
    decided = adjusted.p < 0.05 and not adjusted.low <= 0 <= adjusted.high
    assert ("have higher" in said or "have lower" in said) == decided
    assert ("undecided" in said) != decided
    if decided:
        assert ("higher accuracy" in said) == (adjusted.value > 0)
        assert "no cause" in said
    assert ("without covariates" in said) == bool(covariates)


@given(st.none() | st.integers(0, 500), st.none() | st.floats(0, 1))
def test_an_onset_is_said_with_its_interval_or_that_there_is_none(step, share):
    ends = (None, None) if step is None else (max(0.0, step - 5.0), float(step))
    found = Onset(step, *ends, share)
    said = describe_onset(found, "ARI(task)")
    assert ("No step was found" in said) == (step is None)
    if step is not None:
        assert f"from step {step}" in said
        assert "this run only" in said
    assert "no interval" in describe_onset(Onset(7), "ARI(task)")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 38), st.integers(1, 38)), min_size=1, max_size=9))
def test_an_order_is_claimed_only_where_test_and_interval_decide_it(pairs):
    def rising(at):
        return Trajectory(np.arange(40), (np.arange(40) >= at) * 1.0, np.full(40, 0.5))

    order = onset_order([rising(a) for a, _ in pairs], [rising(b) for _, b in pairs])
    said = describe_order(order, "clusters", "accuracy")
    assert ("is earlier than that of" in said) == (order.verdict != "undecided")
    if len(pairs) < 6:
        assert "undecided" in said
    if order.verdict == "first":
        assert said.startswith("The onset of clusters is earlier")
        assert "no cause" in said
