"""Caches know what they hold: a function's fingerprint follows its code and constants."""

import io
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from nucleate.panel import Metric, Permuted, measure
from nucleate.panel._fingerprint import fingerprint
from nucleate.runs import Run

FACTOR = 1.0


def helper(x):
    return FACTOR * x


def calls(x, labels):
    return helper(x).mean()


def encloses(value):
    return lambda x, labels: float(np.sum(x)) * value


def defaults(value):
    def function(x, labels, factor=value):
        return factor

    return function


class Callable:
    def __init__(self, value):
        self.value = value

    def __call__(self, x, labels):  # noqa: ARG002
        return self.value


def bodies(value):
    scope = {}
    exec(f"def function(x, labels):\n    return {value!r}", scope)
    return scope["function"]


@pytest.mark.parametrize(
    "make",
    [encloses, defaults, Callable, bodies, lambda v: partial(defaults(0), factor=v),
     lambda v: Callable(v).__call__, lambda v: encloses(np.full(3, v)),
     lambda v: encloses({"a": [v, {v}]}), lambda v: encloses(partial(helper, v))],
)  # fmt: skip
def test_it_follows_code_constants_defaults_and_closures(make):
    assert fingerprint(make(1.0)) == fingerprint(make(1.0)) is not None
    assert fingerprint(make(1.0)) != fingerprint(make(2.0))


def test_it_follows_the_helpers_and_constants_of_the_callers_module(monkeypatch):
    before = fingerprint(calls)
    monkeypatch.setitem(calls.__globals__, "FACTOR", 2.0)
    constant = fingerprint(calls)
    monkeypatch.setitem(calls.__globals__, "helper", lambda x: x + 1)
    assert len({before, constant, fingerprint(calls), None}) == 4


@pytest.mark.parametrize("function", [silhouette_score, np.mean, np.add, len, str.upper])
def test_functions_of_packages_have_one(function):
    assert fingerprint(function) is not None


@pytest.mark.parametrize("value", [io.StringIO("x"), np.random.default_rng(0), object()])
def test_what_cannot_be_read_has_none(value):
    assert fingerprint(lambda x, labels: value) is None


@pytest.fixture
def run(tmp_path, make_probe, make_states):
    prompts = make_probe(tasks=3, inputs=2)
    run = Run.create(tmp_path / "run", prompts, {"name": "run"})
    run.save_snapshot(0, make_states(prompts, {}), {})
    return run


def values_of(run, function, **options):
    metric = Metric.of("mine", function, permuted=False, **options)
    panel = measure(run, metrics=[metric], nulls=(Permuted(3),), n_bootstraps=0)
    return set(panel.select("mine", view="raw")["value"])


def test_a_function_of_the_same_name_with_another_body_is_measured_anew(run):
    assert values_of(run, bodies(1.0)) == {1.0}
    assert values_of(run, bodies(2.0)) == {2.0}
    assert values_of(run, bodies(2.0), larger=False) == {2.0}


def test_the_same_function_is_not_called_again_and_one_without_fingerprint_always(run):
    count = []

    def make(counter):
        def function(x, labels):
            FOUND.append(1)
            return 1.0

        return function

    def opaque(x, labels):
        count.append(stream.tell())
        return 1.0

    stream = io.StringIO()
    FOUND.clear()
    values_of(run, make(count))
    called = len(FOUND)
    assert called > 0
    # The list that it appends to is a constant of its module: emptied, it is as it was.
    FOUND.clear()
    values_of(run, make(count))
    assert not FOUND
    values_of(run, opaque)
    once = len(count)
    values_of(run, opaque)
    assert len(count) == 2 * once > 0


FOUND = []
