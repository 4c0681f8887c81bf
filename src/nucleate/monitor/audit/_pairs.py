"""Texts that differ in one attribute: does the cluster or the answer change with it?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate._core.tables import Row, read_table
from nucleate.findings import json_value
from nucleate.monitor.audit._cells import Rules
from nucleate.monitor.audit._compare import adjusted, wilson
from nucleate.monitor.audit._table import TABLE, file_hash

BASE, CHANGED, NULL = "base", "attribute", "null"
_Z = 1.959963984540054
_WORD = re.compile(r"\w+(?:['’]\w+)*")
Word = Literal["flips beyond a null edit", "no more than a null edit", "undecided", "too few"]


@dataclass(frozen=True)
class Flips:
    """How often an edit of an attribute changes a result, beside an edit of the same size.

    Attributes:
        what: `cluster`, or the column of answers.
        pairs: texts with both edits.
        attribute, attribute_low, attribute_high: share in which the attribute's edit changed the
            result, with its 95 % Wilson interval.
        null, null_low, null_high: the same of the null edit.
        only_attribute, only_null: pairs in which only that edit changed it.
        difference, low, high: of the two shares, 95 %, paired (Bonett and Price 2012).
        p, p_adjusted: McNemar's exact test; and after Benjamini and Hochberg over all results.
        matched: whether both edits changed equally many words in every pair; None if not known.
        word: `undecided` where a difference that matters is not excluded, or sizes do not match.
    """

    what: str
    pairs: int
    attribute: float
    attribute_low: float
    attribute_high: float
    null: float
    null_low: float
    null_high: float
    only_attribute: int
    only_null: int
    difference: float
    low: float
    high: float
    p: float | None
    p_adjusted: float | None
    matched: bool | None
    word: Word

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = json_value(vars(self))
        return found


def swapped_pairs(
    texts: Sequence[str], swap: Mapping[str, str], null: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Make counterfactual texts: an attribute's words exchanged, and as many others.

    Args:
        texts: to start from.
        swap: words of the attribute and what takes their place, such as `he` to `she`; both
            directions of an exchange are two entries.
        null: words that say nothing of the attribute, and what takes their place, such as `the` to
            `this`. As many are exchanged as the attribute has, from the beginning of the text.

    Returns:
        Three rows a text, `text`, `pair` (a number), `variant` (`base`, `attribute`, `null`) and
        `size` (words exchanged): what `nucleate score` takes. Texts without a word of the
        attribute, or with fewer words for the null edit than it has, are left out.

    Raises:
        BadInput: nothing to exchange, a word in both, or no text that can be used.

    Notes:
        A null edit matched in the number of words may still move a state more or less than the
        attribute's: choose words as common, and look at the pairs. Words are told by what stands
        around letters: languages that leave no spaces need edits made by hand.
    """
    swap, null = ({key.lower(): value for key, value in each.items()} for each in (swap, null))
    both = sorted(set(swap) & set(null))
    if not swap or not null or both:
        has = f"{both[0]!r} is in both" if both else "one of them is empty"
        raise BadInput(f"swap and null need words of their own: {has}")
    rows: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        changed, size = _exchanged(text, swap, None)
        other, other_size = _exchanged(text, null, size)
        if not size or other_size < size:
            continue
        for variant, made in ((BASE, text), (CHANGED, changed), (NULL, other)):
            own = 0 if variant == BASE else size
            rows.append({"text": made, "pair": number, "variant": variant, "size": own})
    if not rows:
        raise BadInput(
            f"none of {len(texts)} texts has words of swap and as many of null; give other words"
        )
    return rows


def _exchanged(text: str, words: Mapping[str, str], most: int | None) -> tuple[str, int]:
    count = 0

    def exchange(found: re.Match[str]) -> str:
        nonlocal count
        other = words.get(found[0].lower())
        if other is None or (most is not None and count >= most):
            return found[0]
        count += 1
        return other[:1].upper() + other[1:] if found[0][:1].isupper() else other

    return _WORD.sub(exchange, text), count


@dataclass(frozen=True)
class Pairs:
    """Results of counterfactual texts.

    Attributes:
        results: by what they are of - `cluster`, or a column of answers - three results a pair: of
            base, attribute, null.
        matched: whether both edits of every pair are of one size; None if that is not known.
        source: hash of the file; empty if there is none.
    """

    results: Mapping[str, Sequence[tuple[str, str, str]]]
    matched: bool | None = None
    source: str = ""


def read_pairs(path: Path | str, *, answers: Sequence[str] = (), cluster: str = "cluster") -> Pairs:
    """Read scored pairs: rows with `pair`, `variant`, a cluster, answers, and `size` if known.

    Args:
        path: a folder of `nucleate score`, or a table.
        answers: columns of answers to compare beside the cluster.
        cluster: column with the name of the cluster.

    Returns:
        The results of every whole pair; pairs without all three variants are left out.

    Raises:
        BadInput: there is no such file or column, a variant has another name or is there twice, or
            no pair has all three.
    """
    path = as_path("path", path)
    file = path / TABLE if path.is_dir() else path
    if not file.is_file():
        raise BadInput(f"{file} does not exist; give scored pairs")
    rows = read_table(file, ("pair", "variant", cluster, *answers))
    known = list(dict.fromkeys(name for _, row in rows for name in row))
    for name in ("pair", "variant", cluster, *answers):
        if name not in known:
            raise BadInput(f"{file} has no column {name!r}{nearest(name, known)}")
    whole = _whole(rows, str(file))
    results = {
        what: [(str(a.get(column)), str(b.get(column)), str(c.get(column))) for a, b, c in whole]
        for what, column in (("cluster", cluster), *((name, name) for name in answers))
    }
    sizes = [(str(b.get("size")), str(c.get("size"))) for _, b, c in whole]
    matched = all(one == other for one, other in sizes) if "size" in known else None
    return Pairs(results, matched, file_hash(file))


def _whole(rows: list[Row], file: str) -> list[tuple[dict[str, Any], ...]]:
    """Base, attribute and null of every pair that has all three."""
    pairs: dict[str, dict[str, dict[str, Any]]] = {}
    for where, row in rows:
        variant = str(row["variant"])
        if variant not in (BASE, CHANGED, NULL):
            raise BadInput(f"{where} has another variant than base, attribute and null")
        own = pairs.setdefault(str(row["pair"]), {})
        if variant in own:
            raise BadInput(f"{where} is a second {variant} of its pair; number pairs apart")
        own[variant] = row
    whole = [(own[BASE], own[CHANGED], own[NULL]) for own in pairs.values() if len(own) == 3]
    if not whole:
        raise BadInput(f"no pair of {file} has base, attribute and null; score all three")
    return list(whole)


def flips(pairs: Pairs, rules: Rules | None = None) -> tuple[Flips, ...]:
    """Compare how often an attribute's edit and a null edit change each result.

    Args:
        pairs: the results.
        rules: what was decided before looking; the defaults if None.

    Notes:
        Pairs that are made from one template are alike, and count as independent here.
    """
    rules = rules or Rules()
    found = {}
    for what, results in pairs.results.items():
        base, changed, other = np.array(results).T
        found[what] = (base != changed, base != other)
    p = np.array([_mcnemar(*each, rules.least) for each in found.values()])
    return tuple(
        _flips(what, *each, own, after, pairs.matched, rules)
        for (what, each), own, after in zip(found.items(), p, adjusted(p), strict=True)
    )


def _mcnemar(
    changed: Bool[np.ndarray, "pair"], other: Bool[np.ndarray, "pair"], least: int
) -> float:
    """P of the exact test; NaN for too few pairs."""
    from scipy.stats import binomtest

    if len(changed) < least:
        return np.nan
    apart = changed != other
    if not apart.any():
        return 1.0
    return float(binomtest(int(changed[apart].sum()), int(apart.sum())).pvalue)


def _flips(
    what: str,
    changed: Bool[np.ndarray, "pair"],
    other: Bool[np.ndarray, "pair"],
    p: float,
    p_adjusted: float,
    matched: bool | None,
    rules: Rules,
) -> Flips:
    pairs = len(changed)
    counts = np.array([changed.sum(), other.sum()], np.int64)
    (low, null_low), (high, null_high) = wilson(counts, np.array([pairs, pairs], np.int64))
    first, second = int((changed & ~other).sum()), int((other & ~changed).sum())
    # One pair is added to either kind, and two to all: the interval keeps its level when few flip.
    a, b = (first + 1) / (pairs + 2), (second + 1) / (pairs + 2)
    wide = _Z * float(np.sqrt((a + b - (a - b) ** 2) / (pairs + 2)))
    bounds = max(-1.0, a - b - wide), min(1.0, a - b + wide)
    known = bool(np.isfinite(p))
    return Flips(
        what, pairs, float(counts[0] / pairs), float(low), float(high), float(counts[1] / pairs),
        float(null_low), float(null_high), first, second, (first - second) / pairs, *bounds,
        float(p) if known else None, float(p_adjusted) if known else None, matched,
        _word(p_adjusted, first - second, bounds[1], matched, rules),
    )  # fmt: skip


def _word(p_adjusted: float, more: int, high: float, matched: bool | None, rules: Rules) -> Word:
    if not np.isfinite(p_adjusted):
        return "too few"
    if not matched:
        return "undecided"
    if p_adjusted <= rules.level and more > 0:
        return "flips beyond a null edit"
    return "no more than a null edit" if high < rules.matters else "undecided"
