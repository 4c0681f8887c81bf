"""Rates by cluster, by group, and by group within each cluster."""

from collections.abc import Callable, Mapping
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
    counts = _of_clusters(table)
    for column in table.groups:
        counts += _of_groups(table, column)
    # Outcome by outcome, as they were named.
    order = {name: place for place, name in enumerate(table.outcomes)}
    return compared(sorted(counts, key=lambda count: order[count.where.outcome]), rules)


def _of_clusters(table: AuditTable) -> list[Count]:
    found = []
    for outcome, cells in _counted(table.outcomes, table.cluster).items():
        rows, events = _total(cells)
        for (cluster,), (own, own_events) in cells.items():
            where = Where("cluster", outcome, cluster=cluster)
            found.append(Count(where, own, own_events, rows - own, events - own_events))
    return found if len(np.unique(table.cluster)) > 1 else []


def _of_groups(table: AuditTable, column: str) -> list[Count]:
    """The groups of a column, then these within each cluster."""
    known = table.groups[column] != ""
    outcomes = {name: events[known] for name, events in table.outcomes.items()}
    counted = _counted(outcomes, table.groups[column][known], table.cluster[known])
    found = []
    for outcome, cells in counted.items():
        whole = _by_cluster(cells)
        for group in sorted({name for _, name in cells}):
            own = {of: cells.get((of, group), (0, 0)) for of in whole}
            rest = {of: (whole[of][0] - own[of][0], whole[of][1] - own[of][1]) for of in whole}
            where = Where("group", outcome, column=column, group=group)
            found.append(Count(where, *_total(own), *_total(rest), _expected(own, rest)))
        for (of, group), (rows, events) in cells.items():
            where = Where("cell", outcome, of, column, group)
            found.append(Count(where, rows, events, whole[of][0] - rows, whole[of][1] - events))
    return found


_ROWS = "\0 rows"  # the name of no outcome
Pair = tuple[int, int]
"""Rows, and events among them."""


def _expected(own: dict[str, Pair], rest: dict[str, Pair]) -> float | None:
    """The rate of a group if it fared in each cluster as the others do there."""
    if any(own[of][0] and not rest[of][0] for of in own):
        return None
    total = sum(rows * rest[of][1] / rest[of][0] for of, (rows, _) in own.items() if rows)
    return total / _total(own)[0]


def _total(pairs: Mapping[Any, Pair]) -> Pair:
    return sum(rows for rows, _ in pairs.values()), sum(events for _, events in pairs.values())


def _by_cluster(cells: Mapping[tuple[str, ...], Pair]) -> dict[str, Pair]:
    sums: dict[str, Pair] = {}
    for (of, *_), (rows, events) in cells.items():
        before = sums.get(of, (0, 0))
        sums[of] = before[0] + rows, before[1] + events
    return sums


def _counted(
    outcomes: Mapping[str, Bool[np.ndarray, "row"]],
    values: Shaped[np.ndarray, "row"],
    within: Shaped[np.ndarray, "row"] | None = None,
) -> dict[str, dict[tuple[str, ...], Pair]]:
    """For each outcome rows and events of every value, or of those within each cluster."""
    # A frame knows one prediction a row: here the row's number, so that it counts all outcomes.
    numbers = np.arange(len(values))
    frame = metric_frame()(
        metrics={_ROWS: _rows} | {name: _events_of(events) for name, events in outcomes.items()},
        y_true=numbers,
        y_pred=numbers,
        sensitive_features={"group": values},
        control_features=None if within is None else {"cluster": within},
    )
    found = frame.by_group.dropna()
    keys = [(str(key),) if within is None else tuple(map(str, key)) for key in found.index]
    rows = found[_ROWS].astype(int).tolist()
    return {
        name: dict(zip(keys, zip(rows, found[name].astype(int), strict=True), strict=True))
        for name in outcomes
    }


def _rows(y_true: Any, y_pred: Any) -> int:  # noqa: ARG001 - as fairlearn calls it
    return len(y_pred)


def _events_of(events: Bool[np.ndarray, "row"]) -> Callable[[Any, Any], int]:
    return lambda y_true, y_pred: int(events[y_pred].sum())


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
