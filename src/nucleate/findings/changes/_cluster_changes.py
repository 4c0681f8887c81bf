"""Which clusters are others in another version of a model: moved, merged, parted, split."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from nucleate._core.arguments import check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate.findings.changes._cluster_geometry import common_shift, displacements
from nucleate.findings.changes._sampling_null import (
    PairChanges,
    SamplingNull,
    displacement_intervals,
)
from nucleate.findings.changes._string_means import (
    FEWEST_STRINGS,
    LabeledStates,
    string_means,
    strings_per_cluster,
)
from nucleate.findings.changes._subgroups import FEWEST_FOR_GROUPS, GroupChange, group_changes

ChangeWord = Literal["moved", "merged", "parted", "split", "rejoined", "appeared", "vanished"]
SHARES = 6
"""Displacement, pairs, sub-clusters: each has half of its third of the false alarms allowed.

Half, because strings are no Gaussian draws: with whole thirds, halves of a real run were told apart
in 7 % of cases where 5 % are allowed (`benchmarks/changes.py`).
"""
_FEWEST_CLUSTERS = 3


@dataclass(frozen=True)
class ClusterChange:
    """What became of one cluster.

    Attributes:
        name: of the cluster.
        strings: instruction strings before and after.
        displacement: how far it moved: in a common basis in within-cluster spreads, else as the
            absolute log factor of its distances to the others.
        low, high: 95 % bootstrap interval of it over strings.
        null: the most that two samples of strings of one version are apart, over all clusters.
        p: of the displacement, over all clusters at once.
        words: what is beyond chance; empty where nothing is.
        merged_with, parted_from: the other clusters.
        groups: sub-clusters before and after where it split or was rejoined.
    """

    name: str
    strings: tuple[int, int]
    displacement: float
    low: float
    high: float
    null: float
    p: float
    words: tuple[ChangeWord, ...]
    merged_with: tuple[str, ...] = ()
    parted_from: tuple[str, ...] = ()
    groups: tuple[int, int] | None = None


@dataclass(frozen=True)
class ClusterChanges:
    """What became of all clusters between two versions of a model.

    Attributes:
        clusters: each cluster that could be judged.
        common_basis: whether displacements are distances in one basis.
        shift: what all clusters have in common and is subtracted, in within-cluster spreads; None
            without a common basis.
        apart_before, apart_after: pairs of clusters that stand apart, out of `pairs`.
        pairs: of clusters.
        alpha: the share of unchanged versions in which any word at all is allowed.
        not_asked: what was not judged, and why.
    """

    clusters: tuple[ClusterChange, ...]
    common_basis: bool
    shift: float | None
    apart_before: int
    apart_after: int
    pairs: int
    alpha: float
    not_asked: dict[str, str]

    def named(self, word: ChangeWord) -> tuple[str, ...]:
        """The clusters that a word is said of."""
        return tuple(each.name for each in self.clusters if word in each.words)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The findings in words: first what all have in common, then each change, then the rest."""
        unit = "within-cluster spreads" if self.common_basis else "log factor of distances"
        lines = [
            f"{len(self.clusters)} clusters; pairs that stand apart: {self.apart_before} of "
            f"{self.pairs} before, {self.apart_after} after."
        ]
        if self.shift is not None:
            lines.append(f"Common to all, and subtracted: a shift of {self.shift:.2f} {unit}.")
        changed = sorted((c for c in self.clusters if c.words), key=lambda c: -c.displacement)
        lines += [f"{each.name}: {_told(each, unit)}" for each in changed]
        same = len(self.clusters) - len(changed)
        if same:
            lines.append(
                f"{same} of {len(self.clusters)} clusters: no change beyond what two samples of "
                f"strings of one version differ by (level {self.alpha:g} over all clusters)."
            )
        return lines + [f"Not asked: {what}: {why}." for what, why in self.not_asked.items()]


def cluster_changes(
    before: LabeledStates,
    after: LabeledStates,
    *,
    common_basis: bool = False,
    alpha: float = 0.05,
    draws: int = 499,
    seed: int = 0,
) -> ClusterChanges:
    """Say which clusters of states are others in another version of a model, and which are not.

    Two steps of one training, a base model and its fine-tuned one, or two models altogether. The
    unit is the instruction string: each is one point, the mean of its rows. Everything is judged
    against what two samples of strings of *one* version differ by: strings are drawn anew, twice,
    as many as there are, from Gaussians of each cluster's mean and covariance. A word is said where
    the difference of the versions exceeds that of all but a share alpha of the draws, each with its
    highest over all clusters (max-T; alpha is shared by the questions):

    - *moved*: its displacement (see `ClusterChange`), less what all clusters have in common;
    - *merged*, *parted*: its separation from another cluster changed, and the two stood apart in
      one version only: 90 % of strings nearer to the own centroid, which is made without them;
    - *vanished*, *appeared*: at least 90 % of its strings were nearest to its centroid in one
      version, and at most half in the other, those that are nearest to one it merged with aside;
    - *split*, *rejoined*: its strings are one cloud in one version and several in the other: with a
      gap that a Gaussian of the same covariance has not, and that halves of the strings show too.

    Args:
        before, after: the two versions; rows, strings and widths may differ. Only clusters in both
            are judged.
        common_basis: whether a dimension means the same in both: True for steps of one training and
            for a fine-tuned model against its base, False for models that were trained apart. It
            needs equal widths.
        alpha: how often anything may be said of versions that do not differ, 0 to 1.
        draws: pairs of samples, at least 12 / alpha, with fewer nothing could be called changed.
        seed: of all draws.

    Returns:
        Every cluster with its words; what was not judged is named with the reason. Measured false
        alarms: `benchmarks/changes.py`.

    Raises:
        BadInput: labels that do not fit, fewer than three clusters with four strings in both
            versions, widths that exclude a common basis, or states that do not differ.

    Notes:
        No word does not mean no change: with few strings only large changes are beyond sampling.
        For the same prompts the null is stricter than need be, as two versions then share their
        strings; what it asks is whether *other* wordings would show the change. Where most clusters
        move, what they have in common counts as the shift of all. Without a common basis a cluster
        that moves and keeps its distances is not seen. The words describe these two sets of
        weights, not the method that led from one to the other.
    """
    _check(common_basis, alpha, draws, seed)
    names, not_asked = _judged(before, after)
    first, second = string_means(before, names, "before"), string_means(after, names, "after")
    if common_basis and first.points.shape[1] != second.points.shape[1]:
        raise BadInput(
            f"widths {first.points.shape[1]} and {second.points.shape[1]} exclude a common basis; "
            "leave it out"
        )
    level = alpha / SHARES
    rng = np.random.default_rng(seed)
    null = SamplingNull.draw(first, second, common_basis, draws, rng)
    asked = [
        k for k in range(len(names)) if min(first.counts[k], second.counts[k]) >= FEWEST_FOR_GROUPS
    ]
    if len(asked) < len(names):
        not_asked["sub-clusters"] = (
            f"{len(names) - len(asked)} clusters have fewer than {FEWEST_FOR_GROUPS} strings in a "
            "version"
        )
    groups = {each.cluster: each for each in group_changes(first, second, asked, level, seed)}
    pairs = PairChanges.of(first, second, null, level)
    moved = displacements(first, second, common_basis)
    low, high = displacement_intervals(first, second, common_basis, rng)
    limits, p = null.displacement_limits(level), null.displacement_p(moved)
    changes = tuple(
        _change(
            k, names, (int(first.counts[k]), int(second.counts[k])),
            (float(moved[k]), float(low[k]), float(high[k]), float(limits[k]), float(p[k])),
            bool(p[k] <= level), pairs, groups.get(k),
        )
        for k in range(len(names))
    )  # fmt: skip
    upper = np.triu_indices(len(names), 1)
    return ClusterChanges(
        clusters=changes,
        common_basis=common_basis,
        shift=common_shift(first, second) if common_basis else None,
        apart_before=int(pairs.apart_before[upper].sum()),
        apart_after=int(pairs.apart_after[upper].sum()),
        pairs=len(upper[0]),
        alpha=float(alpha),
        not_asked=not_asked,
    )


def _check(common_basis: bool, alpha: float, draws: int, seed: int) -> None:
    if not isinstance(common_basis, bool):
        raise BadInput(f"common_basis is {common_basis!r}; give True or False")
    check_number("alpha", alpha)
    if not 0 < alpha < 1:
        raise BadInput(f"alpha is {alpha}; give a share between 0 and 1")
    check_whole("draws", draws, least=math.ceil(2 * SHARES / alpha))
    check_whole("seed", seed, least=0)


def _judged(before: LabeledStates, after: LabeledStates) -> tuple[tuple[str, ...], dict[str, str]]:
    """Clusters with enough strings on both sides, and why others are not judged."""
    counts = strings_per_cluster(before, "before"), strings_per_cluster(after, "after")
    both = [name for name in counts[0] if name in counts[1]]
    names = [name for name in both if min(side[name] for side in counts) >= FEWEST_STRINGS]
    not_asked = {}
    single = sorted(set(counts[0]) ^ set(counts[1]))
    if single:
        not_asked[", ".join(single)] = "rows of one version only"
    few = [name for name in both if name not in names]
    if few:
        not_asked[", ".join(few)] = f"fewer than {FEWEST_STRINGS} strings in a version"
    if len(names) < _FEWEST_CLUSTERS:
        raise BadInput(
            f"{len(names)} clusters have {FEWEST_STRINGS} strings or more in both versions, and "
            f"{_FEWEST_CLUSTERS} are needed to tell which one moved; give more strings"
        )
    return tuple(names), not_asked


def _change(
    k: int,
    names: tuple[str, ...],
    strings: tuple[int, int],
    numbers: tuple[float, float, float, float, float],
    moved: bool,
    pairs: PairChanges,
    group: GroupChange | None,
) -> ClusterChange:
    merged, parted = np.flatnonzero(pairs.merged[k]), np.flatnonzero(pairs.parted[k])
    words: list[ChangeWord] = ["moved"] if moved else []
    words += ["merged"] if len(merged) else []
    words += ["parted"] if len(parted) else []
    words += ["vanished"] if pairs.vanished[k] else []
    words += ["appeared"] if pairs.appeared[k] else []
    if group is not None:
        words.append("split" if group.split else "rejoined")
    counts = None if group is None else (1, group.groups)
    if group is not None and not group.split:
        counts = (group.groups, 1)
    return ClusterChange(
        names[k], strings, *numbers, words=tuple(words),
        merged_with=tuple(names[other] for other in merged),
        parted_from=tuple(names[other] for other in parted),
        groups=counts,
    )  # fmt: skip


def _told(change: ClusterChange, unit: str) -> str:
    parts = []
    for word in change.words:
        detail = ""
        if word == "merged":
            detail = f" (no longer apart from {', '.join(change.merged_with)})"
        elif word == "parted":
            detail = f" (now apart from {', '.join(change.parted_from)})"
        elif change.groups is not None and word in ("split", "rejoined"):
            detail = f" ({change.groups[0]} -> {change.groups[1]} groups of strings)"
        parts.append(word + detail)
    return (
        f"{'; '.join(parts)}. Displacement {change.displacement:.2f} "
        f"[{change.low:.2f}, {change.high:.2f}] {unit}, by sampling at most {change.null:.2f}."
    )
