"""Metrics by name, ours and those of installed packages; the null ladder."""

import ast
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nucleate._core.errors import BadInput
from nucleate.panel import (
    LADDER,
    LOWER_IS_BETTER,
    Gaussian,
    Metric,
    Permuted,
    SurfaceText,
    _catalog,
    panel_metrics,
)
from nucleate.panel import _registry as registry
from nucleate.panel._nulls import missing_nulls


def double(x, labels):
    """Twice nothing."""
    return 0.0


MINE = Metric.of("mine", double)
NUMBER = 7


def installed(monkeypatch, name, value):
    entry = EntryPoint(name, value, registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])


def test_names_are_unique_and_every_metric_says_what_it_is():
    for name, metric in panel_metrics().items():
        assert metric.name == name
        assert metric.about


@pytest.mark.parametrize(("value", "name"), [("double", "theirs"), ("MINE", "mine")])
def test_a_package_adds_a_metric_by_entry_point(monkeypatch, value, name):
    installed(monkeypatch, "theirs", f"{__name__}:{value}")
    assert panel_metrics()[name].about == "Twice nothing."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("theirs", "no_such_module:f", "cannot be loaded"),
        ("theirs", "NUMBER", "neither a Metric nor a function"),
        ("agreement", "double", "has the name of another metric"),
    ],
)
def test_a_bad_entry_point_is_named(monkeypatch, name, value, said):
    installed(monkeypatch, name, value if ":" in value else f"{__name__}:{value}")
    with pytest.raises(BadInput, match=said):
        panel_metrics()


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match=r"no metric is named 'aри'; choose among all, agreement"):
        registry.choose_metrics(["aри"])


def test_what_takes_long_is_measured_on_request_only():
    quick = {metric.name for metric in registry.choose_metrics(None)}
    every = {metric.name for metric in registry.choose_metrics(["all"])}
    assert {"ward", "hdbscan", "stability"} <= every - quick
    assert {"agreement", "separation", "linear_probe", "neighbors", "variance"} <= quick


def test_every_missing_null_is_named_with_what_it_needs():
    missing = missing_nulls((Permuted(99), SurfaceText()), ["agreement"])
    assert list(missing) == ["N1", "N3", "N4", "N5"]
    for rung in LADDER:
        if rung.name in missing:
            assert rung.needs in missing[rung.name]


def test_a_null_that_its_metric_does_not_serve_is_missing():
    assert "silhouette" in missing_nulls((Gaussian(19),), ["agreement"])["N3"]
    assert "N3" not in missing_nulls((Gaussian(19),), ["silhouette"])


def test_every_number_that_is_shown_turned_over_is_listed_as_better_the_smaller():
    source = Path(_catalog.__file__).read_text(encoding="utf-8")
    turned = set()
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Score":
            shown = [each.value.value for each in call.keywords if each.arg == "shown"]
            if shown and shown[0] != "as it is":
                turned.add(call.args[1].value)
    assert turned == LOWER_IS_BETTER
