"""Names of the panel's own metrics: a mistyped one is refused before torch is imported."""

from collections.abc import Iterable
from importlib.metadata import entry_points

from nucleate._core.errors import BadInput
from nucleate._core.names import nearest

ENTRY_POINTS = "nucleate.metrics"
METRIC_NAMES = (
    "agreement", "recall", "variance", "separation", "margin", "linear_probe", "spectrum",
    "labels", "centroids", "neighbors", "selectivity", "ccgp", "silhouette", "ward", "hdbscan",
    "stability", "mdl", "parallelism", "dimension", "to_first", "collapse",
)  # fmt: skip

LOWER_IS_BETTER = frozenset({"cdnv", "probe_nll", "mdl_bits", "nc2"})
"""Numbers of the panel that are smaller where states are better grouped; so are their nulls."""


def check_metric_names(names: Iterable[str]) -> None:
    """Refuse names that no metric has; those of installed packages are looked at later.

    Raises:
        BadInput: no metric has such a name.
    """
    if entry_points(group=ENTRY_POINTS):
        return
    for name in names:
        if name not in ("all", *METRIC_NAMES):
            raise unknown_metric(name, METRIC_NAMES)


def unknown_metric(name: str, known: Iterable[str]) -> BadInput:
    """The error for a name that no metric has."""
    names = list(known)
    return BadInput(
        f"no metric is named {name!r}{nearest(name, names)}; choose among all, {', '.join(names)}"
    )
