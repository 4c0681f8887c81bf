"""A search for badly served rows that nobody has named, on one half; its test on the other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate._core.seeds import component_seed
from nucleate.findings import json_value
from nucleate.monitor.atlas import text_hash
from nucleate.monitor.audit._cells import Cell, Count, Rules, Where, compared
from nucleate.monitor.audit._table import AuditTable

_DEPTH = 3
_COMPONENTS = 32
_MOST_PARTS = 40
_EXAMPLES = 5
_HASH = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True)
class Slice:
    """Rows that the search proposed.

    Attributes:
        cell: rate and test on the half that the search has not seen.
        searched_rows, searched_rate: of the half that it was found on; the rate there is too high
            by the choice, and is shown for that.
        mostly: the clusters that most of its rows are of, with their shares.
        members: numbers of all its rows, of both halves; not in reports.
        examples: a few of its rows that went wrong: numbers of rows, or hashes of texts.
    """

    cell: Cell
    searched_rows: int
    searched_rate: float
    mostly: tuple[tuple[str, float], ...]
    examples: tuple[str, ...]
    members: tuple[int, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        own = {name: each for name, each in vars(self).items() if name not in ("cell", "members")}
        found: dict[str, Any] = json_value(self.cell.to_dict() | own)
        return found


@dataclass(frozen=True)
class Search:
    """What a search for badly served rows found.

    Attributes:
        outcome: what was counted.
        searched, tested: rows of the two halves.
        features: how many yes-or-no questions the search could ask of a row.
        slices: proposals with their tests, all of them corrected together.
        seed: of the halves.
    """

    outcome: str
    searched: int
    tested: int
    features: int
    slices: tuple[Slice, ...]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(vars(self)) | {"slices": [one.to_dict() for one in self.slices]}


def search(
    table: AuditTable,
    outcome: str,
    rules: Rules | None = None,
    *,
    columns: Sequence[str] = (),
    clusters: bool = True,
    seed: int = 0,
) -> Search:
    """Find rows that go wrong more often, without being told which.

    On one half of the texts a tree of depth 3 is grown that tells the outcome from cluster,
    `columns`, and parts of the space of vectors (k-means of the vectors and of their differences
    from the mean of their cluster). Its leaves with a rate above the average are tested on the
    other half, so that no choice is part of the test.

    Args:
        table: the rows.
        outcome: name of what is counted.
        rules: what was decided before looking; the defaults if None.
        columns: groups of the table that the search may use.
        clusters: whether it may use the clusters' names.
        seed: of halves and k-means.

    Raises:
        BadInput: no such outcome or column, nothing to search by, or fewer rows than two leaves
            of both halves need.

    Notes:
        A slice is a description, not a cause. What differs from all questions asked (a group that
        is neither a column nor a part of the space) is not found, nor is one of fewer rows than
        twice the rules' least in a half.
    """
    rules = rules or Rules()
    check_whole("seed", seed, least=0)
    _check(table, outcome, columns, clusters)
    if not can_search(table, rules):
        raise BadInput(
            f"{len(table)} rows are too few to search on one half and test on the other; give at "
            f"least {8 * rules.least} of different texts, or lower the least of {rules.least} rows"
        )
    first, leaf = _half(table.own_texts, seed), 2 * rules.least
    x, names = _questions(table, first, columns, clusters, leaf, seed)
    events = table.outcomes[outcome]
    proposals = _proposals(x, names, events, first, leaf)
    counts = [_count(outcome, rule, rows & ~first, ~first, events) for rule, rows in proposals]
    cells = {cell.where.rule: cell for cell in compared(counts, rules)}
    slices = tuple(
        _slice(table, cells[rule], rows, first, events) for rule, rows in proposals if rule in cells
    )
    return Search(outcome, int(first.sum()), int((~first).sum()), len(names), slices, seed)


def can_search(table: AuditTable, rules: Rules) -> bool:
    """Whether there are texts enough for two leaves in each half."""
    return len(np.unique(table.own_texts)) >= 8 * rules.least


def _check(table: AuditTable, outcome: str, columns: Sequence[str], clusters: bool) -> None:
    for kind, name, known in (
        ("outcome", outcome, table.outcomes), *(("group", name, table.groups) for name in columns)
    ):  # fmt: skip
        if name not in known:
            raise BadInput(f"the table has no {kind} {name!r}; it has {', '.join(known) or 'none'}")
    if not clusters and not columns and table.vectors is None:
        raise BadInput("nothing to search by: give clusters, columns or vectors")


def _half(texts: Shaped[np.ndarray, "row"], seed: int) -> Bool[np.ndarray, "row"]:
    """Half of the texts, all rows of a text on one side."""
    code = np.unique(texts, return_inverse=True)[1]
    count = int(code.max()) + 1
    rng = np.random.default_rng(component_seed(seed, "audit halves"))
    return np.asarray((rng.permutation(count) < (count + 1) // 2)[code])


def _questions(
    table: AuditTable,
    first: Bool[np.ndarray, "row"],
    columns: Sequence[str],
    clusters: bool,
    leaf: int,
    seed: int,
) -> tuple[Bool[np.ndarray, "row question"], list[tuple[str, str]]]:
    """Questions of yes and no, each with what yes and no are called."""
    named = {"cluster": table.cluster} if clusters else {}
    named |= {column: table.groups[column] for column in columns}
    answers: list[np.ndarray] = []
    names: list[tuple[str, str]] = []
    for column, values in named.items():
        there = np.unique(values[first])
        other = f"{column} is {there[1]}" if len(there) == 2 else ""
        for value in there[:1] if other else there:
            answers.append(values == value)
            names.append((f"{column} is {value}", other or f"{column} is not {value}"))
    if table.vectors is not None:
        for what, part in _parts(table, first, leaf, seed).items():
            for code in np.unique(part[first]):
                answers.append(part == code)
                names.append((f"{what} {code}", f"not {what} {code}"))
    return np.stack(answers, 1), names


def _parts(
    table: AuditTable, first: Bool[np.ndarray, "row"], leaf: int, seed: int
) -> dict[str, Int[np.ndarray, "row"]]:
    """Parts of the space, found on the searched half; each row's nearest."""
    assert table.vectors is not None
    x = table.vectors.astype(np.float64)
    residual = x.copy()
    for cluster in np.unique(table.cluster):
        own = table.cluster == cluster
        seen = own & first
        if seen.any():
            residual[own] -= x[seen].mean(0)
    count = max(2, min(_MOST_PARTS, int(first.sum()) // (2 * leaf)))
    return {
        "in part": _nearest(x, first, count, seed),
        "within its cluster in direction": _nearest(residual, first, count, seed),
    }


def _nearest(
    x: Float[np.ndarray, "row width"], first: Bool[np.ndarray, "row"], count: int, seed: int
) -> Int[np.ndarray, "row"]:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline

    seen = x[first]
    center, scale = seen.mean(0), seen.std(0)
    varies = scale > 1e-9 * max(float(scale.max()), 1e-300)
    if not varies.any():
        return np.zeros(len(x), np.int64)
    z = (x[:, varies] - center[varies]) / scale[varies]
    state = component_seed(seed, "audit parts")
    found = make_pipeline(
        PCA(min(_COMPONENTS, z.shape[1], len(seen)), random_state=state),
        KMeans(min(count, len(np.unique(z[first], axis=0))), n_init=3, random_state=state),
    ).fit(z[first])
    return np.asarray(found.predict(z), np.int64)


def _proposals(
    x: Bool[np.ndarray, "row question"],
    names: list[tuple[str, str]],
    events: Bool[np.ndarray, "row"],
    first: Bool[np.ndarray, "row"],
    leaf: int,
) -> list[tuple[str, Bool[np.ndarray, "row"]]]:
    """Leaves of a tree grown on the searched half that go wrong more often than the rest there."""
    from sklearn.tree import DecisionTreeRegressor

    grown = DecisionTreeRegressor(max_depth=_DEPTH, min_samples_leaf=leaf, random_state=0)
    tree = grown.fit(x[first].astype(np.float32), events[first].astype(float)).tree_
    leaves = grown.apply(x.astype(np.float32))
    average = events[first].mean()
    found = []
    for node, rule in _rules(tree, names).items():
        rows = leaves == node
        if rule and events[rows & first].mean() > average:
            found.append((rule, rows))
    return found


def _rules(tree: Any, names: list[tuple[str, str]]) -> dict[int, str]:
    """What leads to each leaf; empty for a tree of one."""
    rules: dict[int, str] = {}
    stack: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    while stack:
        node, said = stack.pop()
        no, yes = int(tree.children_left[node]), int(tree.children_right[node])
        if no < 0:
            rules[node] = " and ".join(said)
            continue
        positive, negative = names[int(tree.feature[node])]
        stack += [(yes, (*said, positive)), (no, (*said, negative))]
    return rules


def _count(
    outcome: str,
    rule: str,
    rows: Bool[np.ndarray, "row"],
    half: Bool[np.ndarray, "row"],
    events: Bool[np.ndarray, "row"],
) -> Count:
    rest = half & ~rows
    where = Where("slice", outcome, rule=rule)
    return Count(
        where, int(rows.sum()), int(events[rows].sum()), int(rest.sum()), int(events[rest].sum())
    )


def _slice(
    table: AuditTable,
    cell: Cell,
    rows: Bool[np.ndarray, "row"],
    first: Bool[np.ndarray, "row"],
    events: Bool[np.ndarray, "row"],
) -> Slice:
    clusters, sizes = np.unique(table.cluster[rows], return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:3]
    wrong = table.own_texts[rows & ~first & events]
    return Slice(
        cell,
        int((rows & first).sum()),
        float(events[rows & first].mean()),
        tuple((str(clusters[at]), float(sizes[at] / sizes.sum())) for at in order),
        tuple(_named(text) for text in list(dict.fromkeys(wrong.tolist()))[:_EXAMPLES]),
        tuple(np.flatnonzero(rows).tolist()),
    )


def _named(text: object) -> str:
    """A row's number or hash as it is, anything else by its hash: reports hold no texts."""
    name = str(text)
    return name if isinstance(text, int) or _HASH.fullmatch(name) else text_hash(name)
