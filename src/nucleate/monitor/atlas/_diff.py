"""What became of the clusters between two atlases."""

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput
from nucleate.findings import ClusterChanges, LabeledStates, cluster_changes
from nucleate.monitor.atlas._atlas import Atlas

_MOST = 40
"""Rows of a cluster that are compared, at most: the null draws as many anew some hundred times."""


def diff_atlases(
    before: Atlas,
    after: Atlas,
    *,
    common_basis: bool = False,
    alpha: float = 0.05,
    draws: int = 499,
    seed: int = 0,
) -> ClusterChanges:
    """Say which clusters moved, merged, parted, split or vanished between two atlases.

    The rows that each atlas keeps are compared as `findings.cluster_changes` compares two versions
    of a model; at most 40 rows of each cluster count, each a string of its own.

    Args:
        before, after: of two versions of a model, or of two models; clusters are matched by name.
        common_basis: whether a dimension means the same in both: True for a model and one that was
            trained on from it, read at one place.
        alpha: how often anything may be said of versions that do not differ.
        draws: pairs of samples, at least 12 / alpha.
        seed: of all draws.

    Raises:
        BadInput: a common basis of different places, or as `cluster_changes`.
    """
    places = [(each.stream, each.position) for each in (before, after)]
    if common_basis and places[0] != places[1]:
        raise BadInput(
            f"the atlases read {' @ '.join(places[0])} and {' @ '.join(places[1])}, which have no "
            "basis in common; leave it out"
        )
    return cluster_changes(
        _kept(before, seed),
        _kept(after, seed),
        common_basis=common_basis,
        alpha=alpha,
        draws=draws,
        seed=seed,
    )


def _kept(atlas: Atlas, seed: int) -> LabeledStates:
    """The bank's rows as the model has them, a few of each cluster."""
    bank = atlas.bank
    order = np.random.default_rng(seed).permutation(len(bank))
    _, first = np.unique(np.array(bank.hashes)[order], return_index=True)
    order = order[np.sort(first)]
    rows = np.concatenate(
        [order[bank.cluster[order] == k][:_MOST] for k in range(len(atlas.clusters))]
    )
    names = np.array(atlas.clusters, dtype=object)[bank.cluster[rows]]
    strings = np.array(bank.hashes, dtype=object)[rows]
    return LabeledStates(_unwhitened(atlas, bank.vectors[rows]), names, strings)


def _unwhitened(
    atlas: Atlas, white: Float[np.ndarray, "row rank"]
) -> Float[np.ndarray, "row width"]:
    whitening = atlas.geometry.whitening.astype(np.float64)
    found = np.linalg.solve(whitening, white.T.astype(np.float64)).T + atlas.geometry.center
    return np.asarray(found, dtype=np.float32)
