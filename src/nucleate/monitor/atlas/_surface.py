"""The surface detector: what the letters of a text alone say, without a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput

MOST_CHARACTERS = 100_000
"""The longest text that is scored."""
_FEATURES = 2**20
_BATCH = 1024


@dataclass(frozen=True, eq=False)
class Surface:
    """Rows of the bank by their letters, weighted by how rare a run of letters is (TF-IDF).

    What counts is runs of two to four letters within words: they stand typos, and languages that
    are written without spaces. They are hashed, so that the artefact holds none.

    Attributes:
        columns: hashed runs of letters that the bank knows.
        idf: the weight of each.
        unknown: the weight of one that it does not know.
        data, indices, indptr: rows of the bank as a sparse matrix of length-one rows.
    """

    columns: Int[np.ndarray, "word"]
    idf: Float[np.ndarray, "word"]
    unknown: float
    data: Float[np.ndarray, "entry"]
    indices: Int[np.ndarray, "entry"]
    indptr: Int[np.ndarray, "edge"]

    @classmethod
    def fit(cls, texts: Sequence[str]) -> "Surface":
        """Weights and rows of the bank's texts."""
        counts = _counts(texts)
        seen = np.asarray((counts > 0).sum(0)).ravel()
        columns = np.flatnonzero(seen)
        rows = len(texts)
        idf = np.log((1 + rows) / (1 + seen[columns])) + 1
        empty = np.zeros(0)
        made = cls(
            columns, idf.astype(np.float32), float(np.log(1 + rows) + 1),
            empty, empty.astype(np.int64), empty.astype(np.int64),
        )  # fmt: skip
        found = made._weighted(counts)
        return cls(
            columns, made.idf, made.unknown, found.data.astype(np.float32),
            found.indices.astype(np.int64), found.indptr.astype(np.int64),
        )  # fmt: skip

    def similarities(self, texts: Sequence[str]) -> Float[np.ndarray, "row kept"]:
        """Cosine of each text with each row of the bank, 0 to 1."""
        return np.asarray((self._weighted(_counts(texts)) @ self._bank.T).toarray())

    def take(self, rows: Int[np.ndarray, "chosen"]) -> "Surface":
        """Some rows of the bank only, with the same weights."""
        found = self._bank[rows]
        return Surface(
            self.columns, self.idf, self.unknown, found.data,
            found.indices.astype(np.int64), found.indptr.astype(np.int64),
        )  # fmt: skip

    @cached_property
    def _bank(self) -> Any:
        from scipy.sparse import csr_matrix

        shape = (len(self.indptr) - 1, _FEATURES)
        return csr_matrix((self.data, self.indices, self.indptr), shape=shape)

    @cached_property
    def _weights(self) -> Float[np.ndarray, "feature"]:
        weights = np.full(_FEATURES, self.unknown, dtype=np.float32)
        weights[self.columns] = self.idf
        return weights

    def _weighted(self, counts: Any) -> Any:
        """Counts, dampened by their logarithm and weighted, each row of length one."""
        counts = counts.astype(np.float32)
        counts.data = (1 + np.log(counts.data)) * self._weights[counts.indices]
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        length = np.sqrt(np.bincount(rows, counts.data**2, counts.shape[0]))
        counts.data /= np.maximum(length[rows], 1e-12).astype(np.float32)
        return counts


def surface_scores(
    surface: Surface,
    cluster: Int[np.ndarray, "kept"],
    texts: Sequence[str],
    neighbors: int,
    clusters: int,
) -> tuple[
    Float[np.ndarray, "row"], Float[np.ndarray, "row cluster"], Int[np.ndarray, "row neighbor"]
]:
    """How unlike the bank's texts are on average that are most like each, and which.

    Args:
        surface: of the bank.
        cluster: of each row of the bank.
        texts: to score.
        neighbors: how many texts count.
        clusters: how many there are.

    Returns:
        One less the mean cosine; a squared distance from each cluster, 2 - 2 cosine of its most
        alike text; and rows of the bank.
    """
    order = np.argsort(cluster, kind="stable")
    present, starts = np.unique(cluster[order], return_index=True)
    parts = []
    for start in range(0, len(texts), _BATCH):
        alike = surface.similarities(texts[start : start + _BATCH])
        squared = np.full((len(alike), clusters), 2.0, dtype=np.float32)
        squared[:, present] = 2 - 2 * np.maximum.reduceat(alike[:, order], starts, axis=1)
        few = np.argpartition(-alike, neighbors - 1, axis=1)[:, :neighbors]
        found = np.take_along_axis(alike, few, 1)
        nearest = np.take_along_axis(few, np.argsort(-found, axis=1, kind="stable"), 1)
        parts.append((1 - found.mean(1).astype(np.float64), np.maximum(squared, 0), nearest))
    unusual, squared, nearest = (np.concatenate(each) for each in zip(*parts, strict=True))
    return unusual, squared, nearest


def check_texts(texts: Sequence[str]) -> None:
    """Refuse texts that cannot be scored.

    Raises:
        BadInput: one is no text, is empty, or is longer than 100,000 characters; the first such
            row is named.
    """
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput(f"the text of row {row} is a {type(text).__name__}; give texts")
        if not text.strip():
            raise BadInput(f"the text of row {row} is empty; leave the row out")
        if len(text) > MOST_CHARACTERS:
            raise BadInput(
                f"the text of row {row} has {len(text):,} characters, and {MOST_CHARACTERS:,} are "
                "the most; shorten it or leave it out"
            )


def _counts(texts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        n_features=_FEATURES,
        alternate_sign=False,
        norm=None,
        analyzer="char_wb",
        ngram_range=(2, 4),
    )
    return vectorizer.transform(texts)
