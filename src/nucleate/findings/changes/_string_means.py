"""The points that clusters of two versions are compared by: the mean state of each string."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, Shaped

from nucleate._core.errors import BadInput
from nucleate.metrics import as_states, condition

FEWEST_STRINGS = 4
"""A cluster of fewer strings has no spread worth the name."""
_FLAT = 1e-4
"""Where strings differ by less than this share of the states' size, only rounding is left."""


@dataclass(frozen=True, eq=False)
class LabeledStates:
    """States at one place of one version of a model, with what each row is of.

    Attributes:
        states: at one stream and position; any float dtype, any width.
        clusters: of each row, such as its task.
        strings: of each row: its instruction, the unit that is resampled. A string belongs to one
            cluster.
        inputs: of each row, where rows have inputs that all clusters share: what an input has in
            common is subtracted first. None where it is not to be.
    """

    states: Float[np.ndarray, "row width"]
    clusters: Shaped[np.ndarray, "row"]
    strings: Shaped[np.ndarray, "row"]
    inputs: Shaped[np.ndarray, "row"] | None = None


@dataclass(frozen=True, eq=False)
class StringMeans:
    """The mean state of every string, strings of one cluster side by side.

    Attributes:
        points: one a string.
        strings: the name of each.
        starts: where each cluster begins.
        counts: strings of each cluster.
    """

    points: Float[np.ndarray, "string width"]
    strings: tuple[str, ...]
    starts: Int[np.ndarray, "cluster"]
    counts: Int[np.ndarray, "cluster"]

    @cached_property
    def of(self) -> Int[np.ndarray, "string"]:
        """The cluster of each string."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def centroids(self) -> Float[np.ndarray, "cluster width"]:
        """The mean of each cluster's strings."""
        return np.asarray(np.add.reduceat(self.points, self.starts) / self.counts[:, None])

    @cached_property
    def deviations(self) -> Float[np.ndarray, "string width"]:
        """Each string less its cluster's mean."""
        return np.asarray(self.points - self.centroids[self.of])

    @cached_property
    def spreads(self) -> Float[np.ndarray, "cluster"]:
        """Squared distance of a string from its cluster's mean, expected, in all dimensions."""
        squares = np.add.reduceat(np.square(self.deviations).sum(1), self.starts)
        return np.asarray(squares / (self.counts - 1))

    def with_points(self, points: Float[np.ndarray, "string width"]) -> "StringMeans":
        """Other points for the same strings."""
        return StringMeans(points, self.strings, self.starts, self.counts)

    def member(self, cluster: int) -> slice:
        """Where a cluster's strings are."""
        return slice(self.starts[cluster], self.starts[cluster] + self.counts[cluster])


def strings_per_cluster(side: LabeledStates, name: str) -> dict[str, int]:
    """How many strings each cluster has; refuses labels that do not fit.

    Raises:
        BadInput: labels of another length, states that are not finite, or a string in two clusters.
    """
    rows = len(side.states)
    for what in ("clusters", "strings", "inputs"):
        column = getattr(side, what)
        if column is not None and len(column) != rows:
            raise BadInput(
                f"{what} of the version {name} has {len(column)} values for {rows} rows; give one "
                "a row"
            )
    if not np.isfinite(side.states).all():
        raise BadInput(f"states of the version {name} hold NaN or infinity; leave such rows out")
    homes: dict[str, str] = {}
    found: dict[str, int] = {}
    for string, cluster in zip(side.strings.tolist(), side.clusters.tolist(), strict=True):
        home = homes.setdefault(str(string), str(cluster))
        if home != str(cluster):
            raise BadInput(
                f"the string {string!r} is in the clusters {home!r} and {cluster!r}; give a string "
                "one cluster"
            )
    for home in homes.values():
        found[home] = found.get(home, 0) + 1
    return found


def string_means(side: LabeledStates, clusters: tuple[str, ...], name: str) -> StringMeans:
    """One point a string, of the named clusters, in their order.

    Raises:
        BadInput: the strings of a place do not differ from each other.
    """
    states = as_states(side.states)[0]
    if side.inputs is not None:
        _, codes = np.unique(side.inputs.astype(str), return_inverse=True)
        states = condition(states, codes)
    points = states.double().cpu().numpy()
    own = side.clusters.astype(str)
    means, names, counts = [], [], []
    for cluster in clusters:
        inside = np.flatnonzero(own == cluster)
        texts, codes = np.unique(side.strings[inside].astype(str), return_inverse=True)
        sums = np.zeros((len(texts), points.shape[1]))
        np.add.at(sums, codes, points[inside])
        means.append(sums / np.bincount(codes)[:, None])
        names += texts.tolist()
        counts.append(len(texts))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    found = StringMeans(np.concatenate(means), tuple(names), starts, np.array(counts))
    size = np.square(np.asarray(as_states(side.states)[0].double().cpu())).sum(1).mean()
    if np.median(found.spreads) <= _FLAT**2 * size:
        raise BadInput(
            f"strings of one cluster have the same state in the version {name}; choose a place "
            "that has seen the instruction"
        )
    return found
