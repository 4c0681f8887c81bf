"""The registry: every metric by name, those of installed packages too."""

from collections.abc import Sequence
from importlib.metadata import entry_points

from nucleate._core.errors import BadInput
from nucleate.panel._catalog import CATALOG
from nucleate.panel._metric import Metric
from nucleate.panel._names import ENTRY_POINTS, unknown_metric


def panel_metrics() -> dict[str, Metric]:
    """Every metric by name: ours, then those that installed packages add.

    A package adds one by an entry point of the group `nucleate.metrics` that names a `Metric`, or
    a function as `Metric.of` takes it; the entry point's name is the metric's.

    Raises:
        BadInput: an entry point cannot be loaded, is neither, or has the name of another metric.
    """
    found = {metric.name: metric for metric in CATALOG}
    for entry in entry_points(group=ENTRY_POINTS):
        where = f"the metric {entry.name!r} ({entry.value}) of the entry points {ENTRY_POINTS}"
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            raise BadInput(
                f"{where} cannot be loaded ({error}); mend or uninstall its package"
            ) from error
        if not isinstance(loaded, Metric):
            if not callable(loaded):
                raise BadInput(f"{where} is neither a Metric nor a function; mend its package")
            loaded = Metric.of(entry.name, loaded)
        if loaded.name in found:
            raise BadInput(f"{where} has the name of another metric; rename it")
        found[loaded.name] = loaded
    return found


def choose_metrics(wanted: Sequence[str | Metric] | None) -> tuple[Metric, ...]:
    """The metrics that are asked for, in the panel's order.

    Args:
        wanted: names, `all`, or metrics themselves; None for those that are not on request.

    Raises:
        BadInput: no metric has such a name.
    """
    known = panel_metrics()
    if wanted is None:
        return tuple(metric for metric in known.values() if not metric.on_request)
    chosen: dict[str, Metric] = {}
    if not wanted:
        raise BadInput(f"no metric is asked for; choose among all, {', '.join(known)}")
    for item in wanted:
        if isinstance(item, Metric):
            chosen[item.name] = item
        elif item == "all":
            chosen |= known
        elif item in known:
            chosen[item] = known[item]
        elif isinstance(item, str):
            raise unknown_metric(item, known)
        else:
            raise BadInput(f"{item!r} is no metric; give a name or nc.Metric.of(name, function)")
    order = [*known, *(name for name in chosen if name not in known)]
    return tuple(sorted(chosen.values(), key=lambda metric: order.index(metric.name)))
