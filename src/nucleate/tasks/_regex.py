"""Regular expressions as languages to draw from: read, bounded, sampled, compared.

The standard library parses; what it found becomes a tree of four kinds of node that can be sampled,
counted and written out again as a plain expression (the form that is compared with others).
"""

import importlib
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import interegular
import numpy as np

from nucleate._core.errors import BadInput

LONGEST = 64
"""The most symbols that a string may have."""
_ENUMERABLE = 5000
_PRINTABLE = tuple(map(chr, range(32, 127)))
_WIDEST_CLASS = 1000
_CATEGORIES = {
    "CATEGORY_DIGIT": frozenset(string.digits),
    "CATEGORY_SPACE": frozenset(" "),
    "CATEGORY_WORD": frozenset(string.ascii_letters + string.digits + "_"),
}
_REFUSED = {
    "ASSERT": "looks ahead or behind",
    "ASSERT_NOT": "looks ahead or behind",
    "GROUPREF": "refers back to a group",
    "GROUPREF_EXISTS": "depends on whether a group matched",
    "ATOMIC_GROUP": "has an atomic group",
    "POSSESSIVE_REPEAT": "has a possessive repeat",
}
# Private, hence behind this one name; the public `sre_parse` says that it is deprecated.
_parser: Any = importlib.import_module("re._parser")


@dataclass(frozen=True, slots=True)
class Chars:
    """One symbol out of several."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """One node after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several nodes."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A node `low` to `high` times."""

    part: "Node"
    low: int
    high: int


Node = Chars | Chain | Choice | Repeat


@dataclass(frozen=True)
class Language:
    """The strings that a bounded regular expression matches as a whole.

    Make one with `parse`. `pattern` is what the user wrote, `node` the tree that was read.
    """

    pattern: str
    node: Node

    @cached_property
    def lengths(self) -> tuple[int, int]:
        """The shortest and the longest string's number of symbols."""
        return _lengths(self.node)

    @cached_property
    def alphabet(self) -> frozenset[str]:
        """The symbols that occur in any string."""
        return _alphabet(self.node)

    @cached_property
    def required(self) -> frozenset[str]:
        """Symbols that occur in every string (perhaps not all such)."""
        return _required(self.node)

    @cached_property
    def plain(self) -> str:
        """The expression written out: literals, classes, groups and bounded repeats only."""
        return _render(self.node)

    @cached_property
    def _automaton(self) -> Any:
        return interegular.parse_pattern(self.plain).to_fsm().reduce()

    def sample(self, rng: np.random.Generator) -> str:
        """Draw one string: even over each alternative on the way, not over the whole language."""
        return _draw(self.node, rng)

    def sample_distinct(self, count: int, rng: np.random.Generator) -> list[str]:
        """Draw `count` different strings, in random order; BadInput if there are too few."""
        if _derivations(self.node) <= _ENUMERABLE:
            strings = sorted(set(_strings(self.node)))
            if len(strings) >= count:
                return [strings[i] for i in rng.permutation(len(strings))[:count]]
            available = len(strings)
        else:
            found: dict[str, None] = {}
            for _ in range(100 * count + _ENUMERABLE):
                found[self.sample(rng)] = None
                if len(found) == count:
                    return list(found)
            available = len(found)
        raise BadInput(
            f"pattern {self.pattern!r} has only {available} different strings and {count} are "
            "needed: widen it, or ask for fewer strings."
        )

    def common_string(self, other: "Language") -> str | None:
        """Return a string that both languages have, or None if they have none in common."""
        if self._surely_disjoint(other):
            return None
        if self._automaton.isdisjoint(other._automaton):
            return None
        common = self._automaton & other._automaton
        return "".join(map(str, next(iter(common.strings()))))

    def _surely_disjoint(self, other: "Language") -> bool:
        """Cheap proof for most pairs: lengths that do not meet, or a symbol the other lacks."""
        (low, high), (other_low, other_high) = self.lengths, other.lengths
        return (
            high < other_low
            or other_high < low
            or not self.required <= other.alphabet
            or not other.required <= self.alphabet
        )


def parse(pattern: str, *, max_repeat: int | None = None) -> Language:
    """Read a regular expression as a language of bounded length.

    Args:
        pattern: in the syntax of Python's `re`. Whole strings are matched, so anchors at the ends
            mean nothing. `.`, negated classes and `\\w`, `\\d`, `\\s` mean printable ASCII.
        max_repeat: what `*`, `+` and `{n,}` are bounded by; without it they are refused.

    Raises:
        BadInput: the pattern does not parse, has no bound, matches the empty string, can be
            longer than 64 symbols, or looks around or back (such cannot be sampled).
    """
    try:
        tree = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadInput(
            f"pattern {pattern!r} is not a regular expression ({error}): correct it."
        ) from error
    if tree.state.flags & re.IGNORECASE:
        raise BadInput(
            f"pattern {pattern!r} ignores case: write both cases as a class, as in [aA]."
        )
    language = Language(pattern, _Reader(pattern, max_repeat).chain(tree))
    shortest, longest = language.lengths
    if shortest == 0:
        raise BadInput(f"pattern {pattern!r} matches the empty string: make one symbol obligatory.")
    if longest > LONGEST:
        raise BadInput(
            f"pattern {pattern!r} allows {longest} symbols: bound its repeats so that strings have "
            f"at most {LONGEST}."
        )
    return language


class _Reader:
    """Turns the standard library's parse tree of one pattern into nodes."""

    def __init__(self, pattern: str, max_repeat: int | None) -> None:
        self.pattern, self.max_repeat = pattern, max_repeat

    def chain(self, tree: Any) -> Node:
        items = list(tree)
        if items and items[0][0].name == "AT" and items[0][1].name.startswith("AT_BEGINNING"):
            items = items[1:]
        if items and items[-1][0].name == "AT" and items[-1][1].name.startswith("AT_END"):
            items = items[:-1]
        return Chain(tuple(self.node(operation.name, value) for operation, value in items))

    def node(self, operation: str, value: Any) -> Node:
        match operation:
            case "LITERAL":
                return Chars((chr(value),))
            case "NOT_LITERAL":
                return self.chars(frozenset(_PRINTABLE) - {chr(value)})
            case "ANY":
                return Chars(_PRINTABLE)
            case "IN":
                return self.chars(self.members(value))
            case "BRANCH":
                return Choice(tuple(self.chain(branch) for branch in value[1]))
            case "SUBPATTERN" if not value[1] & re.IGNORECASE:
                return self.chain(value[3])
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self.repeat(*value)
        problem = _REFUSED.get(operation, "has an anchor or a flag inside")
        raise BadInput(
            f"pattern {self.pattern!r} {problem}, which cannot be sampled: write it with classes, "
            "alternatives and bounded repeats."
        )

    def members(self, items: Any) -> frozenset[str]:
        chosen: set[str] = set()
        negated = False
        for operation, value in items:
            match operation.name:
                case "NEGATE":
                    negated = True
                case "LITERAL":
                    chosen.add(chr(value))
                case "RANGE":
                    low, high = value
                    # One beyond the limit is enough for `chars` to refuse it.
                    chosen.update(map(chr, range(low, min(high, low + _WIDEST_CLASS) + 1)))
                case "CATEGORY":
                    chosen |= _category(value.name)
        return frozenset(_PRINTABLE) - chosen if negated else frozenset(chosen)

    def chars(self, members: frozenset[str]) -> Chars:
        if not 0 < len(members) <= _WIDEST_CLASS:
            raise BadInput(
                f"pattern {self.pattern!r} has a class of no or of more than {_WIDEST_CLASS} "
                "symbols: name the symbols that are meant."
            )
        return Chars(tuple(sorted(members)))

    def repeat(self, low: int, high: int, tree: Any) -> Node:
        if high == _parser.MAXREPEAT:
            if self.max_repeat is None:
                raise BadInput(
                    f"pattern {self.pattern!r} is unbounded (*, + or {{n,}}): write {{n,m}}, or "
                    "give max_repeat."
                )
            high = max(low, self.max_repeat)
        return Repeat(self.chain(tree), low, int(high))


def _category(name: str) -> frozenset[str]:
    if "NOT_" in name:
        return frozenset(_PRINTABLE) - _CATEGORIES[name.replace("NOT_", "")]
    return _CATEGORIES[name]


def _lengths(node: Node) -> tuple[int, int]:
    match node:
        case Chars():
            return 1, 1
        case Chain(parts):
            pairs = [_lengths(part) for part in parts]
            return sum(low for low, _ in pairs), sum(high for _, high in pairs)
        case Choice(branches):
            pairs = [_lengths(branch) for branch in branches]
            return min(low for low, _ in pairs), max(high for _, high in pairs)
        case Repeat(part, least, most):
            low, high = _lengths(part)
            return low * least, high * most


def _alphabet(node: Node) -> frozenset[str]:
    match node:
        case Chars(options):
            return frozenset(options)
        case Chain(parts) | Choice(parts):
            return frozenset().union(*map(_alphabet, parts))
        case Repeat(part, _, most):
            return _alphabet(part) if most else frozenset()


def _required(node: Node) -> frozenset[str]:
    match node:
        case Chars(options):
            return frozenset(options if len(options) == 1 else ())
        case Chain(parts):
            return frozenset().union(*map(_required, parts))
        case Choice(branches):
            return frozenset.intersection(*map(_required, branches))
        case Repeat(part, least, _):
            return _required(part) if least else frozenset()


def _derivations(node: Node) -> int:
    """In how many ways strings can come about: at least as many as there are strings."""
    match node:
        case Chars(options):
            return len(options)
        case Chain(parts):
            return prod(map(_derivations, parts))
        case Choice(branches):
            return sum(map(_derivations, branches))
        case Repeat(part, least, most):
            return sum(_derivations(part) ** times for times in range(least, most + 1))


def _strings(node: Node) -> Iterator[str]:
    match node:
        case Chars(options):
            yield from options
        case Chain(parts):
            yield from map("".join, product(*map(list, map(_strings, parts))))
        case Choice(branches):
            for branch in branches:
                yield from _strings(branch)
        case Repeat(part, least, most):
            strings = list(_strings(part))
            for times in range(least, most + 1):
                yield from map("".join, product(strings, repeat=times))


def _draw(node: Node, rng: np.random.Generator) -> str:
    match node:
        case Chars(options):
            return options[rng.integers(len(options))]
        case Chain(parts):
            return "".join(_draw(part, rng) for part in parts)
        case Choice(branches):
            return _draw(branches[rng.integers(len(branches))], rng)
        case Repeat(part, least, most):
            return "".join(_draw(part, rng) for _ in range(rng.integers(least, most + 1)))


def _render(node: Node) -> str:
    match node:
        case Chars(options):
            escaped = "".join(map(re.escape, options))
            return escaped if len(options) == 1 else f"[{escaped}]"
        case Chain(parts):
            return "".join(map(_render, parts))
        case Choice(branches):
            return f"({'|'.join(map(_render, branches))})"
        case Repeat(part, least, most):
            return f"({_render(part)}){{{least},{most}}}"
