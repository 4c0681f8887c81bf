"""Sentences of a gate, made from its numbers, in the language of the reader."""

import json
import time
from functools import cache
from importlib import resources
from typing import Any, Literal

from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.monitor.gate._catalog import STATISTICS
from nucleate.monitor.gate._report import GateReport, Judged

Language = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = ("en", "ja")


def check_language(language: str) -> Language:
    """A language of the pages.

    Raises:
        BadInput: it is none.
    """
    for known in LANGUAGES:
        if language == known:
            return known
    raise BadInput(
        f"language is {language!r}{nearest(language, LANGUAGES)}; choose {' or '.join(LANGUAGES)}"
    )


@cache
def _texts(language: Language) -> dict[str, str]:
    folder = resources.files("nucleate.monitor.gate") / "lang"
    return dict(json.loads(folder.joinpath(f"{language}.json").read_text(encoding="utf-8")))


def word(name: str, language: Language, /, **values: object) -> str:
    """A text of the pages with values put in."""
    return _texts(language)[name].format(**values)


def known_word(name: str, language: Language, otherwise: str) -> str:
    """The same, or another text where there is none."""
    return _texts(language).get(name, otherwise)


def sentence(judged: Judged, language: Language) -> str:
    """The number of a criterion and its verdict, in plain words."""
    parts = [] if judged.value is None else [_number_words(judged, language)]
    values = {
        "asked": asked(judged, language),
        "null": shown(judged.null, judged, language),
        "n": "0" if judged.n is None else f"{judged.n:,}",
        "counted": known_word(f"counted.{judged.counted}", language, judged.counted),
        "fewest": f"{judged.fewest:,}",
        "detail": judged.detail,
    }
    parts.append(word(f"reason.{judged.reason}", language, **values))
    between = "" if language == "ja" else " "
    return between.join(parts)


def _number_words(judged: Judged, language: Language) -> str:
    values: dict[str, Any] = {
        "value": shown(judged.value, judged, language),
        "where": where(judged, language),
        "n": "?" if judged.n is None else f"{judged.n:,}",
    }
    key = f"{judged.evidence}.{judged.statistic}"
    said = word(key, language, **values)
    asides = []
    if judged.low is not None and judged.high is not None and judged.low != judged.high:
        low, high = (shown(end, judged, language) for end in (judged.low, judged.high))
        form = known_word(f"aside.interval.{key}", language, _texts(language)["aside.interval"])
        asides.append(form.format(low=low, high=high))
    if judged.null is not None and STATISTICS[judged.evidence][judged.statistic].has_null:
        asides.append(word("aside.null", language, null=shown(judged.null, judged, language)))
    if judged.n is not None and "{n}" not in _texts(language)[key]:
        counted = known_word(f"counted.{judged.counted}", language, judged.counted)
        asides.append(word("aside.n", language, n=f"{judged.n:,}", counted=counted))
    if judged.runs > 1 and judged.source:
        asides.append(word("aside.weakest", language, runs=str(judged.runs), source=judged.source))
    joined = word("aside.between", language).join(asides)
    form = "aside.all" if asides else "aside.none"
    return word(form, language, said=said, asides=joined)


def asked(judged: Judged, language: Language) -> str:
    """The bound in words."""
    way = "at_least" if judged.at_least is not None else "at_most"
    bound = judged.at_least if judged.at_least is not None else judged.at_most
    if bound == "chance":
        return word(f"asked.{way}.chance", language)
    return word(f"asked.{way}", language, bound=shown(float(bound or 0), judged, language))


def where(judged: Judged, language: Language) -> str:
    """A split, position or cluster in words."""
    return known_word(f"where.{judged.where}", language, judged.where)


def shown(value: float | None, judged: Judged, language: Language) -> str:
    """A number in the unit of its statistic; as percent, two decimals, or whole."""
    if value is None:
        return word("unknown", language)
    unit = STATISTICS[judged.evidence][judged.statistic].unit
    if unit == "share":
        return percent(value)
    text = f"{value:,.0f}" if unit == "count" else f"{value:.2f}"
    return text.replace("-", "−")


def percent(share: float) -> str:
    """Whole percent; with a decimal where it is below ten or only almost all."""
    hundreds = 100 * share
    exact = hundreds < 10 or 99 < hundreds < 100
    text = f"{hundreds:.1f}" if exact and round(hundreds, 1) % 1 else f"{hundreds:.0f}"
    return f"{text} %"


def day(seconds: float) -> str:
    """A date and time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def false_alarm_lines(report: GateReport, language: Language) -> list[str]:
    """How often each rule alarms although nothing is wrong, and all of them in a month."""
    lines = []
    for each in report.false_alarms:
        rate = word(
            f"rate.{each.rule}", language, rate=percent(each.rate), units=_many(each.units_a_month)
        )
        a_month = word("rate.unknown", language)
        if each.a_month is not None:
            a_month = word("rate.month", language, a_month=few(each.a_month))
        lines.append(rate + word("rate.between", language) + a_month)
    return lines


def few(number: float) -> str:
    """An expected number: rounded, small ones with two digits."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _many(number: float | None) -> str:
    return "?" if number is None else f"{number:,.0f}"


def threshold_lines(report: GateReport, language: Language) -> list[str]:
    """What a reader must know of the thresholds: since when they stand, and what was changed."""
    kept = report.thresholds
    if kept.first_used is None:
        lines = [word("thresholds.no_record", language)]
    else:
        order = {True: "before", False: "after", None: "unknown"}[kept.before_evidence]
        lines = [word(f"thresholds.{order}", language, when=day(kept.first_used))]
    for each in kept.changed:
        name = "thresholds.changed"
        if each.key == "criterion":
            name = "thresholds.gone" if each.before else "thresholds.new"
        lines.append(
            word(name, language, criterion=each.criterion, key=each.key, before=each.before,
                 now=each.now)
        )  # fmt: skip
    if kept.other_pages:
        lines.append(word("thresholds.others", language, pages=", ".join(kept.other_pages)))
    return lines
