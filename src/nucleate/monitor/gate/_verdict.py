"""The rules: from a number, its interval and its bound to a verdict; they stand only here."""

from collections.abc import Iterable
from typing import Literal

from nucleate.monitor.gate._measured import Measured, Number
from nucleate.monitor.gate._page import Criterion, Severity

Verdict = Literal["pass", "warn", "fail", "inconclusive", "error"]
Reason = Literal[
    "held", "missed", "straddles", "not_beyond_chance", "too_few", "no_interval", "chance_unknown",
    "undecided", "missing", "not_given", "broken",
]  # fmt: skip
WORST_FIRST: tuple[Verdict, ...] = ("error", "fail", "inconclusive", "warn", "pass")
RULES = (
    "pass: the end of the 95 % interval that the criterion names keeps the bound, and where a "
    "number by chance is known and the bound is a least one, the lower end exceeds that as well",
    "fail: the whole interval misses the bound, or the end that the criterion names does where "
    "that is not the stricter one; with severity warn: warn",
    "inconclusive: all else - the interval holds the bound, the number is not beyond chance, rests "
    "on too few, has no interval or no number by chance, the evidence is missing, or says itself "
    "that it decides nothing",
    "error: the evidence is there and cannot be read",
    "overall: error if anything is; else fail; else inconclusive if a criterion of severity fail "
    "is; else warn if anything warns or is inconclusive; else pass",
)


def judge(criterion: Criterion, measured: Measured) -> tuple[Verdict, Reason]:
    """Say whether a criterion holds.

    Args:
        criterion: what is asked.
        measured: the number that the evidence gives.

    Returns:
        The verdict by `RULES`, and why.

    Notes:
        A pass of the page asks for a pass of every criterion, so that the rate of wrong passes is
        at most that of its strictest criterion, however many there are. Wrong fails add up.
    """
    reason = _reason(criterion, measured)
    if reason == "held":
        return "pass", reason
    if reason == "missed":
        return criterion.severity, reason
    return "error" if reason == "broken" else "inconclusive", reason


def _reason(criterion: Criterion, found: Measured) -> Reason:
    if found.broken:
        return "broken"
    if found.missing:
        return "missing"
    if found.value is None:
        return "not_given"
    if found.undecided:
        return "undecided"
    if found.n is None or found.n < criterion.fewest:
        return "too_few"
    null = found.null if criterion.chance is None else criterion.chance
    asked_least = criterion.at_least is not None
    if null is None and (criterion.bound == "chance" or (asked_least and criterion.kind.has_null)):
        return "chance_unknown"
    ends = {"low": found.low, "value": found.value, "high": found.high}
    held, loose = ends[criterion.held_end], ends["high" if asked_least else "low"]
    if held is None or loose is None or found.low is None:
        return "no_interval"
    beyond = null is None or not asked_least or found.low > null
    if _keeps(criterion, held, null):
        return "held" if beyond else "not_beyond_chance"
    if criterion.held_end != criterion.strict_end or not _keeps(criterion, loose, null):
        return "missed"
    return "straddles" if null is None or found.value > null else "not_beyond_chance"


def _keeps(criterion: Criterion, number: Number, null: Number | None) -> bool:
    if criterion.bound == "chance":
        assert null is not None  # asked for before
        return number > null if criterion.at_least is not None else number <= null
    bound = float(criterion.bound)
    return number >= bound if criterion.at_least is not None else number <= bound


def overall(verdicts: Iterable[tuple[Verdict, Severity]]) -> Verdict:
    """The verdict on a whole page, from those on its criteria and their severity."""
    counted = {
        "warn" if verdict == "inconclusive" and severity == "warn" else verdict
        for verdict, severity in verdicts
    }
    return next((verdict for verdict in WORST_FIRST if verdict in counted), "inconclusive")


def exit_code(verdict: Verdict, *, allow_warn: bool = False) -> int:
    """What the command line ends with: 0 pass, 1 fail, 3 inconclusive, 4 error; 2 is bad input.

    Args:
        verdict: of the page.
        allow_warn: end with 0 rather than 1 on `warn`.
    """
    return {"pass": 0, "warn": 0 if allow_warn else 1, "fail": 1, "inconclusive": 3, "error": 4}[
        verdict
    ]
