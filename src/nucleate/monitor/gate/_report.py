"""The published form of `gate.json`: one decision, every criterion with its number behind it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nucleate.monitor.gate._catalog import Evidence
from nucleate.monitor.gate._page import Bound, Cost, End, Said, Severity
from nucleate.monitor.gate._verdict import RULES, Reason, Verdict, overall


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Judged(_Strict):
    """One criterion, its number and its verdict."""

    name: str
    title: Said
    why: Said = Field(description="why it is asked")
    evidence: Evidence
    statistic: str
    where: str
    verdict: Verdict
    reason: Reason = Field(description="why the verdict is what it is")
    severity: Severity
    value: float | None = Field(description="null: there is no number")
    low: float | None = Field(description="lower end of the 95 % interval; exact: the value")
    high: float | None = Field(description="upper end of the 95 % interval; exact: the value")
    n: int | None = Field(description="what the number rests on")
    counted: str = Field(description="what n counts")
    null: float | None = Field(description="the number by chance or of the control; null: unknown")
    at_least: Bound | None
    at_most: Bound | None
    end: End = Field(description="end of the interval that must keep the bound")
    fewest: int = Field(description="with a smaller n it is inconclusive")
    source: str = Field(description="of several runs the one that it is about: the weakest")
    runs: int = Field(description="how many were judged; 0: it is of no run")
    detail: str = Field(description="what the evidence says of itself")
    sentence: str = Field(description="the number and the verdict in plain English")


class Changed(_Strict):
    """A threshold that was another when a page of this name was first used."""

    criterion: str
    key: str = Field(description="`criterion`: the whole of it is new (before false) or gone")
    before: float | int | str | bool | None
    now: float | int | str | bool | None


class Thresholds(_Strict):
    """Whether the thresholds stood before the evidence."""

    page: str
    digest: str = Field(description="hash of the whole page")
    first_used: float | None = Field(
        description="Unix seconds; null: no record was kept, nothing is known"
    )
    before_evidence: bool | None = Field(
        description="whether that was before the first of the trainings ended; null: not known"
    )
    changed: list[Changed]
    other_pages: list[str] = Field(description="other pages on the same record")


class Subject(_Strict):
    """A run that was judged."""

    name: str
    model: str
    tasks: str = Field(description="what the task set is")
    seed: int | None = Field(description="null: not on record")
    steps: int


class AlarmRate(_Strict):
    """How often one rule alarms although nothing is wrong."""

    rule: Literal["alarms", "outside", "drift"]
    rate: float = Field(ge=0, description="at most; of one unit")
    unit: Literal["training", "request", "horizon"]
    units_a_month: float | None = Field(description="null: the traffic is not known")
    a_month: float | None = Field(description="expected false alarms a month")


class GateReport(_Strict):
    """Everything that `gate.json` holds."""

    kind: Literal["gate"] = "gate"
    version: Literal[1] = 1
    nucleate: str = Field(description="version that judged")
    time: float = Field(description="Unix seconds")
    stage: str = Field(description="name of the page of criteria")
    subjects: list[Subject] = Field(description="the runs that were judged")
    title: Said
    verdict: Verdict
    rules: tuple[str, ...] = RULES
    asks: Said
    not_asked: list[Said]
    costs: Cost
    next: Said
    criteria: list[Judged]
    thresholds: Thresholds
    requests_a_day: float
    trainings_a_month: float
    false_alarms: list[AlarmRate]
    inputs: dict[str, str] = Field(description="hashes of all that was judged, by name")
    notes: list[str]

    @model_validator(mode="after")
    def _verdict_follows(self) -> "GateReport":
        follows = overall((each.verdict, each.severity) for each in self.criteria)
        if self.verdict != follows:
            raise ValueError(f"the verdict is {self.verdict!r}, but the criteria say {follows!r}")
        return self
