"""How often the rules that run in service alarm although nothing is wrong, at a given traffic."""

from collections.abc import Iterator, Mapping
from typing import Any

from nucleate.monitor.gate._evidence import Evidence
from nucleate.monitor.gate._page import Traffic
from nucleate.monitor.gate._report import AlarmRate

DAYS = 365.25 / 12
"""Of a month."""


def false_alarms(evidence: Evidence, traffic: Traffic) -> list[AlarmRate]:
    """The rate of false alarms of each rule whose report is there, and what it makes in a month.

    Args:
        evidence: reports state the rate that each rule keeps.
        traffic: requests and trainings; 0: not known.
    """
    return list(_rates(evidence, traffic, traffic.requests_a_day * DAYS))


def _rates(evidence: Evidence, traffic: Traffic, requests: float) -> Iterator[AlarmRate]:
    alarms, drift, atlas = (_content(evidence, kind) for kind in ("alarms", "drift", "atlas"))
    if _is_rate(alarms.get("rate")):
        yield _rate("alarms", alarms["rate"], "training", traffic.trainings_a_month)
    if atlas:
        yield _rate("outside", traffic.outside_rate, "request", requests)
    if _is_rate(drift.get("rate")):
        looks = drift.get("looks") or {"size": drift.get("requests"), "horizon": 1}
        rows = (looks.get("size") or 0) * (looks.get("horizon") or 0)
        yield _rate("drift", drift["rate"], "horizon", requests / rows if rows else 0.0)


def _is_rate(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


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
