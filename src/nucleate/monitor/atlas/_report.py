"""An atlas in numbers and words: its clusters, what it confuses, what it calls outside wrongly."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from nucleate.monitor.atlas._atlas import Atlas
from nucleate.monitor.atlas._calibration import false_alarm_interval
from nucleate.monitor.atlas._scores import RATE, check_rate

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 10
"""Held-out rows below which nothing is said of one cluster."""
FDR = 0.05
_BINS = 10
_DRAWS = 1000


def cluster_table(atlas: Atlas, rate: float = RATE) -> "pd.DataFrame":
    """A row a cluster: what is to be expected of its requests.

    Args:
        atlas: with calibration and reference rows.
        rate: of false alarms that is asked for.

    Returns:
        `cluster`; `centroids`; `rows` of the calibration split, `accuracy` of the nearest cluster
        with its 95 % Wilson interval (`accuracy_low`, `accuracy_high`); `confused_with` and how
        often; `reference` rows, the share of them that is called outside (`false_alarms`, `_low`,
        `_high`), and `state`: `too many` where that is above the rate beyond chance
        (binomial test, Benjamini-Hochberg at 5 % over clusters), `as asked` where not, `too few`
        below 10 rows.

    Raises:
        BadInput: a rate that is not between 0 and 1.
    """
    import pandas as pd

    rate = check_rate(rate)
    owner = np.bincount(atlas.geometry.owner, minlength=len(atlas.clusters))
    rows = []
    for k, name in enumerate(atlas.clusters):
        told = atlas.confusion[k]
        count, right = int(told.sum()), int(told[k])
        others = told.copy()
        others[k] = 0
        worst = int(others.argmax())
        own = atlas.reference.p[atlas.reference.label == k]
        alarms = int((own <= rate).sum())
        low, high = _wilson(right, count)
        alarm_low, alarm_high = _wilson(alarms, len(own))
        rows.append(
            {
                "cluster": name, "centroids": int(owner[k]), "rows": count,
                "accuracy": right / count if count else np.nan,
                "accuracy_low": low, "accuracy_high": high,
                "confused_with": atlas.clusters[worst] if others[worst] else "",
                "confused": int(others[worst]), "reference": len(own),
                "false_alarms": alarms / len(own) if len(own) else np.nan,
                "false_alarms_low": alarm_low, "false_alarms_high": alarm_high,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    table["state"] = _states(table, rate)
    return table


def calibration_error(
    probability: Float[np.ndarray, "row"], right: Float[np.ndarray, "row"], *, seed: int = 0
) -> tuple[float, float, float]:
    """Expected calibration error over ten bins of equally many rows, with a bootstrap interval.

    Args:
        probability: said of the nearest cluster.
        right: 1 where it was the row's own, else 0.
        seed: of the bootstrap.

    Notes:
        It is never 0 by chance: perfect probabilities of few rows have some.
    """
    rng = np.random.default_rng(seed)
    draws = [_error(probability, right)]
    for _ in range(_DRAWS):
        rows = rng.integers(0, len(right), len(right))
        draws.append(_error(probability[rows], right[rows]))
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return draws[0], float(low), float(high)


def atlas_report(atlas: Atlas, rate: float = RATE) -> dict[str, Any]:
    """Everything that `atlas show` tells, as JSON values."""
    table = cluster_table(atlas, rate)
    known, reference = atlas.confusion, atlas.reference
    count, right = int(known.sum()), int(np.trace(known))
    alarms = int((reference.p <= rate).sum())
    error = None
    if len(reference):
        own = (reference.cluster == reference.label).astype(float)
        error = calibration_error(reference.probability, own)
    return {
        "kind": "atlas",
        "version": 1,
        "atlas": atlas.version,
        "stream": atlas.stream,
        "position": atlas.position,
        "width": atlas.width,
        "fingerprints": atlas.fingerprints,
        "settings": atlas.settings,
        "accuracy": _share(right, count),
        "false_alarms": {
            "rate": rate,
            "calibration_rows": len(atlas.calibration),
            "expected": false_alarm_interval(len(atlas.calibration), rate),
            "reference": _share(alarms, len(reference)),
        },
        "calibration_error": error,
        "clusters": _records(table),
    }


def report_lines(report: dict[str, Any], top: int = 5) -> list[str]:
    """The same in sentences: the most important first."""
    settings, clusters = report["settings"], report["clusters"]
    rows = settings["rows"]
    lines = [
        f"{len(clusters)} clusters, read at {report['stream']} @ {report['position']} (width "
        f"{report['width']}); version {report['atlas']}.",
        "Rows by split: " + ", ".join(f"{name} {count}" for name, count in rows.items()) + ".",
    ]
    place = settings["place"].get("accuracy", {})
    if place:
        best = f"{report['stream']} @ {report['position']}"
        lines.append(
            f"Place: the best of {len(place)} by nearest centroid, {place[best]:.3f} of "
            f"{settings['place']['rows']} rows of a split of its own (the worst "
            f"{min(place.values()):.3f})."
        )
    lines.append(f"Nearest cluster is right in {_told(report['accuracy'])} calibration rows.")
    if report["calibration_error"]:
        value, low, high = report["calibration_error"]
        lines.append(
            f"Probabilities are off by {value:.3f} [{low:.3f}, {high:.3f}] on average (ECE, "
            "reference rows)."
        )
    lines += _detector_lines(settings)
    alarms = report["false_alarms"]
    low, high = alarms["expected"]
    lines.append(
        f"Called outside wrongly at rate {alarms['rate']:g}: with {alarms['calibration_rows']} "
        f"calibration rows between {low:.3f} and {high:.3f} in 95 % of fits; of reference rows "
        f"{_told(alarms['reference'])}."
    )
    many = [each for each in clusters if each["state"] == "too many"]
    if many:
        lines.append(
            "Far more false alarms: "
            + ", ".join(f"{c['cluster']} {c['false_alarms']:.2f} of {c['reference']}" for c in many)
            + "."
        )
    few = [each["cluster"] for each in clusters if each["state"] == "too few"]
    if few:
        lines.append(
            f"Too few reference rows to say so of {len(few)} clusters ({_some(few, top)})."
        )
    if settings["too_few"]:
        lines.append(
            f"Left out, too few rows to be fitted to: {_some(list(settings['too_few']), top)}."
        )
    if settings["subclusters"]:
        several = [f"{name} {count}" for name, count in settings["subclusters"].items()]
        lines.append(f"Clusters of several clouds: {_some(several, top)}.")
    worst = sorted((c for c in clusters if c["confused"]), key=lambda c: -c["confused"])[:top]
    lines += [
        f"{c['cluster']} is taken for {c['confused_with']} in {c['confused']} of {c['rows']} rows."
        for c in worst
    ]
    return lines


def _detector_lines(settings: dict[str, Any]) -> list[str]:
    tried = settings.get("detectors")
    if not tried:
        return ["No surface detector: the atlas was fitted without texts, or with too few rows."]
    areas = ", ".join(
        f"{name} {value:.3f} [{low:.3f}, {high:.3f}]"
        for name, (value, low, high) in tried["auroc"].items()
    )
    return [
        f"Told from the outside ({tried['outside_are']}; {tried['inside']} rows inside, "
        f"{tried['outside']} outside; AUROC): {areas}.",
        f"Detector in use: {settings['in_use']} ({tried['state']}): {tried['why']}.",
    ]


def _states(table: "pd.DataFrame", rate: float) -> list[str]:
    from scipy.stats import binom
    from statsmodels.stats.multitest import multipletests

    states = np.full(len(table), "too few", dtype=object)
    asked = np.flatnonzero(table["reference"] >= FEWEST)
    if len(asked):
        rows = table["reference"].to_numpy()[asked]
        alarms = np.rint(table["false_alarms"].to_numpy()[asked] * rows)
        beyond = multipletests(binom.sf(alarms - 1, rows, rate), FDR, method="fdr_bh")[0]
        states[asked] = np.where(beyond, "too many", "as asked")
    return [str(each) for each in states]


def _error(probability: Float[np.ndarray, "row"], right: Float[np.ndarray, "row"]) -> float:
    order = np.argsort(probability, kind="stable")
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    gaps = [abs(probability[part].mean() - right[part].mean()) * len(part) for part in bins]
    return float(sum(gaps) / len(order))


def _wilson(count: int, rows: int) -> tuple[float, float]:
    from statsmodels.stats.proportion import proportion_confint

    if not rows:
        return float("nan"), float("nan")
    low, high = proportion_confint(count, rows, method="wilson")
    return float(low), float(high)


def _share(count: int, rows: int) -> dict[str, Any] | None:
    if not rows:
        return None
    low, high = _wilson(count, rows)
    return {"value": count / rows, "low": low, "high": high, "n": rows}


def _told(share: dict[str, Any] | None) -> str:
    if share is None:
        return "none"
    return f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}] of {share['n']}"


def _some(names: list[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as JSON values: what is not known is None."""
    return [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]
