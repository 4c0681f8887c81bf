"""A page of criteria: what is asked, and from which number on it holds; fixed beforehand."""

import math
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.monitor.gate._catalog import STATISTICS, Evidence, Statistic
from nucleate.tasks import canonical_hash

STAGES = ("trial", "confirmed", "limited", "full")
"""The shipped pages, one a stage of a roll-out."""
End = Literal["low", "value", "high"]
Severity = Literal["fail", "warn"]
Bound = float | Literal["chance"]
_MOST_BYTES = 200_000
_MOST_TEXT = 600


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Said(_Strict):
    """A text in both languages of the pages; one of them is enough."""

    en: str = Field("", max_length=_MOST_TEXT)
    ja: str = Field("", max_length=_MOST_TEXT)

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, given: Any) -> Any:
        return {"en": given, "ja": given} if isinstance(given, str) else given

    def text(self, language: str) -> str:
        """In a language, or in the other one where only that is there."""
        return (self.ja or self.en) if language == "ja" else (self.en or self.ja)


class Criterion(_Strict):
    """One question to the evidence, with the number from which on it holds."""

    name: str = Field(min_length=1, max_length=80, description="short; distinct on its page")
    title: Said = Field(Said(), description="for a reader; the name where there is none")
    why: Said = Field(Said(), description="why it is asked")
    evidence: Evidence
    statistic: str
    where: str = Field("", description="split, position or cluster, where there are several")
    at_least: Bound | None = None
    at_most: Bound | None = None
    end: End | None = Field(
        None,
        description="which end of the interval must hold; by default the stricter one: `low` for "
        "at_least, `high` for at_most",
    )
    severity: Severity = "fail"
    fewest: int = Field(1, ge=1, description="with a smaller n it stays inconclusive")
    chance: float | None = Field(
        None, description="the number by chance, where the evidence does not know it"
    )

    @property
    def kind(self) -> Statistic:
        """What the number is."""
        return STATISTICS[self.evidence][self.statistic]

    @property
    def place(self) -> str:
        """Where it is read."""
        return self.where or self.kind.place

    @property
    def bound(self) -> Bound:
        """The number, or `chance`."""
        given = self.at_least if self.at_least is not None else self.at_most
        assert given is not None  # a criterion without a bound is refused
        return given

    @property
    def strict_end(self) -> End:
        """The end that must hold for the whole interval to hold."""
        return "low" if self.at_least is not None else "high"

    @property
    def held_end(self) -> End:
        """The end that must hold."""
        return self.end or self.strict_end

    @property
    def threshold(self) -> dict[str, Any]:
        """All that decides its verdict, as it is kept on record."""
        return {
            "evidence": self.evidence,
            "statistic": self.statistic,
            "where": self.place,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "end": self.held_end,
            "severity": self.severity,
            "fewest": self.fewest,
            "chance": self.chance,
        }

    @model_validator(mode="after")
    def _fits(self) -> "Criterion":
        known = STATISTICS[self.evidence]
        if self.statistic not in known:
            raise ValueError(
                f"{self.evidence} has no statistic {self.statistic!r}"
                f"{nearest(self.statistic, known)}; choose {', '.join(known)}"
            )
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one bound, at_least or at_most")
        self._check_where()
        for name in ("at_least", "at_most", "chance"):
            self._check_bound(name, getattr(self, name))
        return self

    def _check_where(self) -> None:
        allowed = self.kind.where
        if self.where and allowed is None:
            raise ValueError(
                f"{self.statistic} has no use for where ({self.where!r}); leave it out"
            )
        if self.where and allowed and self.where not in allowed:
            raise ValueError(
                f"where is {self.where!r}{nearest(self.where, allowed)}; choose "
                f"{', '.join(allowed)}"
            )

    def _check_bound(self, name: str, given: Bound | None) -> None:
        if given is None:
            return
        if given == "chance":
            if not self.kind.has_null:
                raise ValueError(
                    f"{name} is chance, but {self.statistic} has no number by chance; give a number"
                )
            return
        low, high = {"share": (0.0, 1.0), "agreement": (-1.0, 1.0)}.get(
            self.kind.unit, (0.0, math.inf)
        )
        if not low <= float(given) <= high:
            most = "" if math.isinf(high) else f" to {high:g}"
            raise ValueError(f"{name} is {given!r}, but {self.statistic} goes from {low:g}{most}")


class Cost(_Strict):
    """What a stage takes."""

    minutes: Said = Field(Said(), description="of machines")
    bytes: Said = Field(Said(), description="that are kept")
    people: Said = Field(Said(), description="who, and for how long")


class Traffic(_Strict):
    """How much is asked of the model; from it follows how often a rule alarms by chance."""

    requests_a_day: float = Field(0.0, ge=0)
    trainings_a_month: float = Field(0.0, ge=0)
    outside_rate: float = Field(
        0.05, gt=0, lt=1, description="of false alarms that nucleate score is asked for"
    )


class Page(_Strict):
    """Everything that a page of criteria holds."""

    version: Literal[1]
    name: str = Field(min_length=1, max_length=80)
    title: Said = Said()
    asks: Said = Field(Said(), description="what this stage asks for, in a sentence")
    costs: Cost = Cost()
    not_asked: list[Said] = Field([], description="what a pass says nothing about")
    next: Said = Field(Said(), description="what comes after a pass")
    traffic: Traffic = Traffic()
    criteria: list[Criterion] = Field(min_length=1, max_length=60)

    @model_validator(mode="after")
    def _distinct(self) -> "Page":
        names = [criterion.name for criterion in self.criteria]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two criteria are named {twice[0]!r}; give each a name of its own")
        return self

    @property
    def digest(self) -> str:
        """Hash of the whole page."""
        return canonical_hash(self.model_dump(mode="json"))

    @property
    def thresholds(self) -> dict[str, dict[str, Any]]:
        """All that decides the verdicts, by criterion."""
        return {criterion.name: criterion.threshold for criterion in self.criteria}


def read_page(source: Path | str) -> Page:
    """Read a page of criteria.

    Args:
        source: a YAML file, or the name of a shipped page: `trial`, `confirmed`, `limited`, `full`.

    Returns:
        The page, all of it checked.

    Raises:
        BadInput: no such page, no YAML, or a key or bound that does not exist or does not fit; the
            message names the place and the nearest key.
    """
    if source in STAGES:
        return _checked(page_text(str(source)), f"the page {source}")
    file = as_path("the page of criteria", source)
    if not file.exists() and not file.suffix:
        raise BadInput(
            f"no page of criteria is named {str(source)!r}{nearest(str(source), STAGES)}; choose "
            f"{', '.join(STAGES)}, or give a YAML file"
        )
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise BadInput(
                f"{file} is larger than {_MOST_BYTES:,} bytes; a page of criteria is not"
            )
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read ({_short(error)}); give a YAML file") from error
    return _checked(text, str(file))


def page_text(stage: str) -> str:
    """The text of a shipped page, to be changed and used as one's own.

    Args:
        stage: `trial`, `confirmed`, `limited` or `full`.

    Raises:
        BadInput: no such stage.
    """
    if stage not in STAGES:
        raise BadInput(
            f"no stage is named {stage!r}{nearest(stage, STAGES)}; choose {', '.join(STAGES)}"
        )
    folder = resources.files("nucleate.monitor.gate") / "stages"
    return folder.joinpath(f"{stage}.yaml").read_text(encoding="utf-8")


class _Loader(yaml.SafeLoader):
    """YAML in which nothing is said twice and nothing refers to elsewhere."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"{twice[0]!r} stands twice in the mapping of line {line}")
        return super().construct_mapping(node, deep)


def _checked(text: str, name: str) -> Page:
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{name} is no YAML ({_short(error)}); correct it") from error
    if not isinstance(value, Mapping):
        raise BadInput(f"{name} is no mapping; write lines of `key: value`")
    try:
        return Page.model_validate(value)
    except ValidationError as error:
        raise BadInput(f"{name}: {_told(error, value)}") from error


def _told(error: ValidationError, page: Mapping[Any, Any]) -> str:
    """The first thing that is wrong with a page, in a sentence."""
    first = next(iter(_most_telling(error)))
    place = [part for part in first["loc"] if not _is_branch(part)]
    where = _where(place, page)
    if first["type"] == "extra_forbidden":
        known = _fields_at(place)
        return (
            f"{where} has no use for the key {str(place[-1])!r}{nearest(str(place[-1]), known)}; "
            f"it has {', '.join(known)}"
        )
    inside = place[2:] if place[:1] == ["criteria"] and len(place) > 1 else place
    key = ".".join(map(str, inside)) or "it"
    if first["type"] == "missing":
        return f"{where} has no {key!r}; give one"
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{where}: {message}"
    return (
        f"{where}: {key} is {_short(repr(first.get('input')))}: {message[:1].lower()}{message[1:]}"
    )


def _most_telling(error: ValidationError) -> Iterator[Any]:
    found = error.errors()
    yield from (each for each in found if each["type"] == "extra_forbidden")
    yield from found


def _is_branch(part: object) -> bool:
    """Whether a part of a location names a branch of a union rather than a key."""
    return isinstance(part, str) and ("[" in part or part == "float")


def _where(place: list[Any], page: Mapping[Any, Any]) -> str:
    if len(place) > 1 and place[0] == "criteria" and isinstance(place[1], int):
        given = page["criteria"][place[1]]
        name = given.get("name") if isinstance(given, Mapping) else None
        return f"criterion {place[1] + 1}" + (f" ({_short(repr(name))})" if name else "")
    return "the page"


def _fields_at(place: list[Any]) -> list[str]:
    """The keys that exist where one does not."""
    model: type[BaseModel] = Page
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = [annotation, *get_args(annotation)]
        model = next(one for one in inner if isinstance(one, type) and issubclass(one, BaseModel))
    return list(model.model_fields)


def _short(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 200 else f"{line[:199]}…"
