"""How often the rules that run in service alarm although nothing is wrong, at a given traffic."""

from collections.abc import Iterator, Mapping
from typing import Any

from nucleate.monitor.gate._evidence import Evidence
from nucleate.monitor.gate._report import AlarmRate

DAYS = 365.25 / 12
"""Of a month."""


def false_alarms(
    evidence: Evidence, requests_a_day: float, trainings_a_month: float
) -> list[AlarmRate]:
    """The rate of false alarms of each rule whose report is there, and what it makes in a month.

    Args:
        evidence: reports state the rate that each rule keeps.
        requests_a_day: 0: not known.
        trainings_a_month: 0: not known.
    """
    return list(_rates(evidence, requests_a_day * DAYS, trainings_a_month))


def _rates(evidence: Evidence, requests: float, trainings: float) -> Iterator[AlarmRate]:
    alarms, drift = (_content(evidence, kind) for kind in ("alarms", "drift"))
    if isinstance(alarms.get("rate"), float):
        yield _rate("alarms", alarms["rate"], "training", trainings)
    if isinstance(drift.get("rate"), float):
        looks = drift.get("looks") or {}
        per_horizon = looks.get("size", drift.get("requests", 0)) * looks.get("horizon", 1)
        yield _rate("drift", drift["rate"], "horizon", requests / per_horizon if per_horizon else 0)


def _content(evidence: Evidence, kind: str) -> Mapping[str, Any]:
    report = evidence.reports.get(kind)
    return (report and report.content) or {}


def _rate(rule: str, rate: float, unit: str, units: float) -> AlarmRate:
    known = units > 0
    return AlarmRate.model_validate(
        {
            "rule": rule,
            "rate": rate,
            "unit": unit,
            "units_a_month": units if known else None,
            "a_month": rate * units if known else None,
        }
    )
