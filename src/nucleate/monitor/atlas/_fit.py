"""Fitting an atlas to states whose clusters are known."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas._assemble import Detector, FitSettings, Material, assemble
from nucleate.monitor.atlas._atlas import Atlas
from nucleate.monitor.atlas._hashes import splits_of, text_hash
from nucleate.monitor.atlas._place import choose_place
from nucleate.monitor.atlas._requests import vector_hashes
from nucleate.monitor.atlas._surface import check_texts
from nucleate.runs import States

FEWEST_ROWS = 8
"""Rows to be fitted to that a cluster needs; with fewer it is named and left out."""
SHARES: Mapping[str, float] = {
    "place": 0.1, "fit": 0.4, "detector": 0.15, "calibration": 0.2, "reference": 0.15
}  # fmt: skip
SHARES_UNSEEN: Mapping[str, float] = {
    "place": 0.1, "fit": 0.0, "detector": 0.2, "calibration": 0.4, "reference": 0.3
}  # fmt: skip
"""Of rows that the model was not trained on, where there are others to be fitted to."""


def fit_atlas(
    states: States | Float[np.ndarray, "row width"],
    labels: Sequence[str],
    texts: Sequence[str] | None = None,
    *,
    units: Sequence[str] | None = None,
    trained_texts: Iterable[str] = (),
    outside: Iterable[str] = (),
    unit_length: bool = False,
    detector: Detector = "knn",
    neighbors: int = 5,
    bank_rows: int = 4000,
    shares: Mapping[str, float] | None = None,
    fewest: int = FEWEST_ROWS,
    keep_text: bool = False,
    encoder: Callable[[Sequence[str]], np.ndarray] | None = None,
    fingerprints: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Atlas:
    """Fit an atlas to rows whose clusters are known.

    The rows are split by the hash of their text, so that the same text never lies in two splits:
    one chooses the place, one gives centroids, covariance and neighbors, one decides which detector
    is used, one calibrates it, and one is the reference that nothing was made from.

    Args:
        states: at every place, of which one is chosen; or bare vectors of one place.
        labels: the cluster of each row, such as its task.
        texts: of each row. Without them there is no surface detector, and each distinct vector
            counts as a text of its own.
        units: what rows belong together, where that is not the text: rows of one instruction with
            several inputs. Rows of one unit are never in two splits.
        trained_texts: that the model itself was trained on. Rows with such a text, and others of
            their unit, are fitted to, and never calibrate: a model knows its training rows better
            than it will know traffic.
        outside: labels of rows that belong to no cluster, such as known off-topic requests. With
            them it is decided which detector is used; else with clusters left out one by one.
        unit_length: whether every vector is brought to one length first. Right for states of a
            model, whose blocks take the length away before they read; not for vectors whose length
            says something.
        detector: how unusual a state is: the mean distance to its nearest rows (`knn`), the squared
            distance to the nearest centroid (`mahalanobis`), or that less the squared distance from
            all rows as one cloud (`relative`; Ren et al. 2021). All after whitening.
        neighbors: how many rows count for `knn`, and are named as nearest.
        bank_rows: the most rows that neighbors are looked for among.
        shares: of rows for each split; by default `SHARES`, and `SHARES_UNSEEN` where at least
            half of the rows were trained on.
        fewest: rows that a cluster needs among those to be fitted to; smaller ones are named in
            `settings["too_few"]`, and their rows belong to no known cluster.
        keep_text: whether the artefact holds the texts of the bank; else only hashes.
        encoder: a function from texts to vectors, such as `load_encoder` gives; it is only tried
            beside the others, in `settings["detectors"]`.
        fingerprints: of model, tokenizer, template.
        seed: of splits, the rows kept, and the bootstrap.

    Raises:
        BadInput: labels, texts or units that do not fit the rows, states that are not finite, fewer
            than two clusters with enough rows, or too few rows to calibrate with.

    Notes:
        The clusters are those of the labels: whether the model forms them at all is what the panel
        says. Probabilities and p values hold for requests like the calibration rows; where traffic
        differs from them they do not, and that is what drift is for.
    """
    settings = FitSettings(detector, neighbors, bank_rows, keep_text, seed, unit_length)
    rows = states.values.shape[2] if isinstance(states, States) else len(states)
    split, hashes, trained = split_rows(
        rows, labels, texts, units=units, trained_texts=trained_texts, shares=shares, seed=seed,
        vectors=None if texts is not None else _bare(states),
    )  # fmt: skip
    if keep_text and texts is None:
        raise BadInput("keep_text is True and there are no texts; give texts")
    names, code, too_few, off = clusters_of(labels, split == "fit", set(outside), fewest)
    stream, position, vectors, place = choose_place(states, code, split)
    material = Material(
        vectors, code, split, hashes, None if texts is None else tuple(texts), off, names,
        too_few, stream, position, place, trained,
    )  # fmt: skip
    return assemble(material, settings, dict(fingerprints or {}), encoder)


def split_rows(
    rows: int,
    labels: Sequence[str],
    texts: Sequence[str] | None,
    *,
    units: Sequence[str] | None,
    trained_texts: Iterable[str],
    shares: Mapping[str, float] | None,
    seed: int,
    vectors: Float[np.ndarray, "row width"] | None = None,
) -> tuple[Shaped[np.ndarray, "row"], tuple[str, ...], frozenset[str]]:
    """The split of each row, the hash of its text, and the hashes of what was trained on."""
    for what, values in (("labels", labels), ("texts", texts), ("units", units)):
        if values is not None and len(values) != rows:
            raise BadInput(f"{len(values)} {what} for {rows} rows; give one a row")
    if texts is not None:
        check_texts(texts)
        hashes = [text_hash(text) for text in texts]
    else:
        assert vectors is not None
        hashes = vector_hashes(vectors)
    homes = np.array(hashes if units is None else [text_hash(unit) for unit in units])
    trained = frozenset(text_hash(text) for text in trained_texts)
    known = np.isin(hashes, list(trained))
    known = np.isin(homes, homes[known])
    if shares is None:
        shares = SHARES_UNSEEN if known.mean() >= 0.5 else SHARES
    split = splits_of(homes.tolist(), shares, seed)
    split[known] = "fit"
    return split, tuple(hashes), trained


def clusters_of(
    labels: Sequence[str], fit: Bool[np.ndarray, "row"], outside: set[str], fewest: int
) -> tuple[tuple[str, ...], Int[np.ndarray, "row"], dict[str, int], Bool[np.ndarray, "row"]]:
    """Names of clusters, each row's code (-1: none), clusters with too few rows, rows outside.

    Raises:
        BadInput: fewer than two clusters are left, or an outside label that no row has.
    """
    named = np.array([str(each) for each in labels], dtype=object)
    absent = outside - set(named)
    if absent:
        raise BadInput(
            f"no row has the outside label {sorted(absent)[0]!r}; the labels are "
            f"{', '.join(sorted(set(named))[:10])}"
        )
    counts = {name: int((named[fit] == name).sum()) for name in sorted(set(named) - outside)}
    names = tuple(name for name, count in counts.items() if count >= fewest)
    too_few = {name: count for name, count in counts.items() if count < fewest}
    if len(names) < 2:
        shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:10])
        raise BadInput(
            f"{len(names)} clusters have {fewest} rows or more to be fitted to, and two are "
            f"needed; give more rows (rows by cluster: {shown})"
        )
    number = {name: k for k, name in enumerate(names)}
    code = np.array([number.get(name, -1) for name in named])
    return names, code, too_few, np.isin(named, list(outside))


def _bare(states: States | Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row width"]:
    if isinstance(states, States):
        return np.asarray(states.values[-1, -1].detach().float().cpu().numpy())
    return np.asarray(states, dtype=np.float32)
