"""Rates by cluster, by group, and by group within each cluster."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from nucleate._core.errors import BadInput
from nucleate.monitor.audit._cells import Cell, Count, Rules, Where, compared
from nucleate.monitor.audit._table import AuditTable


def rates(table: AuditTable, rules: Rules | None = None) -> tuple[Cell, ...]:
    """How often each outcome happens in each cluster and to each group.

    A cluster is compared with all other clusters (which goes wrong?), a group with the other groups
    of its column (for whom?), and a group within a cluster with the other groups there (for whom in
    it?). All tests of a call are corrected together.

    Args:
        table: the rows, with at least one outcome.
        rules: what was decided before looking; the defaults if None.

    Returns:
        Clusters, groups, and cells, those of fewer rows than the rules ask for as `too few`. Rows
        whose group is not known count for their cluster alone.

    Raises:
        BadInput: no outcome, or fairlearn is not installed.

    Notes:
        Rows count as independent: many of one person make every interval too narrow.
    """
    rules = rules or Rules()
    if not table.outcomes:
        raise BadInput("no outcome to compare: name a column of 0 and 1, such as --error wrong")
    counts: list[Count] = []
    for outcome, events in table.outcomes.items():
        counts += _of_clusters(table, outcome, events)
        for column, values in table.groups.items():
            counts += _of_groups(table, outcome, events, column, values)
    return compared(counts, rules)


def _of_clusters(
    table: AuditTable, outcome: str, events: Bool[np.ndarray, "row"]
) -> Iterator[Count]:
    found = _counts(events, table.cluster)
    rows, happened = len(table), int(events.sum())
    if len(found) < 2:
        return
    for (cluster,), (own, own_events) in found.items():
        where = Where("cluster", outcome, cluster=cluster)
        yield Count(where, own, own_events, rows - own, happened - own_events)


def _of_groups(
    table: AuditTable,
    outcome: str,
    events: Bool[np.ndarray, "row"],
    column: str,
    values: Shaped[np.ndarray, "row"],
) -> Iterator[Count]:
    """The groups of a column, then these within each cluster."""
    known = values != ""
    events, values, cluster = events[known], values[known], table.cluster[known]
    cells = _counts(events, values, cluster)
    whole = _by_cluster(cells)
    for group in sorted({name for _, name in cells}):
        own = {of: cells.get((of, group), (0, 0)) for of in whole}
        rest = {of: (whole[of][0] - own[of][0], whole[of][1] - own[of][1]) for of in whole}
        (rows, happened), (others, other_events) = _total(own), _total(rest)
        where = Where("group", outcome, column=column, group=group)
        yield Count(where, rows, happened, others, other_events, _expected(own, rest))
    for (of, group), (rows, happened) in cells.items():
        others, other_events = whole[of][0] - rows, whole[of][1] - happened
        where = Where("cell", outcome, of, column, group)
        yield Count(where, rows, happened, others, other_events)


Pair = tuple[int, int]
"""Rows, and events among them."""


def _expected(own: dict[str, Pair], rest: dict[str, Pair]) -> float | None:
    """The rate of a group if it fared in each cluster as the others do there."""
    if any(own[of][0] and not rest[of][0] for of in own):
        return None
    total = sum(rows * rest[of][1] / rest[of][0] for of, (rows, _) in own.items() if rows)
    return total / _total(own)[0]


def _total(pairs: dict[str, Pair]) -> Pair:
    return sum(rows for rows, _ in pairs.values()), sum(events for _, events in pairs.values())


def _by_cluster(cells: dict[tuple[str, ...], Pair]) -> dict[str, Pair]:
    sums: dict[str, Pair] = {}
    for (of, *_), (rows, events) in cells.items():
        before = sums.get(of, (0, 0))
        sums[of] = before[0] + rows, before[1] + events
    return sums


def _counts(
    events: Bool[np.ndarray, "row"],
    values: Shaped[np.ndarray, "row"],
    within: Shaped[np.ndarray, "row"] | None = None,
) -> dict[tuple[str, ...], Pair]:
    """Rows and events of every value, or of every value within each condition that has it."""
    frame = metric_frame()(
        metrics={"rows": _rows, "events": _events},
        y_true=events.astype(np.int64),
        y_pred=events.astype(np.int64),
        sensitive_features={"group": values},
        control_features=None if within is None else {"cluster": within},
    )
    found = frame.by_group.dropna()
    keys = [(key,) if within is None else tuple(key) for key in found.index]
    return {
        tuple(map(str, key)): (int(rows), int(happened))
        for key, rows, happened in zip(keys, found["rows"], found["events"], strict=True)
    }


def _rows(y_true: Any, y_pred: Any) -> int:  # noqa: ARG001 - as fairlearn calls it
    return len(y_pred)


def _events(y_true: Any, y_pred: Any) -> int:  # noqa: ARG001 - as fairlearn calls it
    return int(y_pred.sum())


def metric_frame() -> Any:
    """fairlearn's `MetricFrame`.

    Raises:
        BadInput: it is not installed.
    """
    try:
        from fairlearn.metrics import MetricFrame
    except ImportError as error:
        raise BadInput(
            "an audit needs fairlearn, which is not installed: pip install 'nucleate[audit]'"
        ) from error
    return MetricFrame
