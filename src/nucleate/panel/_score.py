"""Score: what a metric gives, one number a stream with its values under the nulls."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Shown = Literal["as it is", "negated", "reciprocal"]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Score:
    """One metric of one label on all streams, with its values under the nulls.

    All values are *strengths*: larger is more clustered. What the table shows follows from them.

    Attributes:
        label: what the number is about; empty for the states alone.
        metric: name of the number.
        values: one strength a stream.
        half: `all` rows, or the half that the stream is chosen or reported on.
        k: number of classes or clusters.
        n: number of rows.
        strings: number of instruction strings that these rows have.
        unit: what N0 permutes: `strings`, `texts`, `rows` or `none`; empty without N0.
        no_null: why the unit is `none`.
        null: N0, under permuted labels.
        blocks: N0, under labels permuted by whole families.
        gaussian: N3, on draws from one Gaussian.
        control: N5, with control labels fixed for each instruction.
        draws: resamples of the instruction strings, for the interval.
        classes: one value a class, for the table by class.
        note: why the values are missing, if they are, for all streams.
        shown: how a strength becomes the number that is shown.
    """

    label: str
    metric: str
    values: Float[np.ndarray, "stream"]
    half: str = "all"
    k: int = 0
    n: int = 0
    strings: int = 0
    unit: str = ""
    no_null: str = ""
    null: Float[np.ndarray, "stream labeling"] | None = None
    blocks: Float[np.ndarray, "stream labeling"] | None = None
    gaussian: Float[np.ndarray, "stream gaussian"] | None = None
    control: Float[np.ndarray, "stream"] | None = None
    draws: Float[np.ndarray, "stream draw"] | None = None
    classes: Float[np.ndarray, "stream class"] | None = None
    note: str = ""
    shown: Shown = "as it is"

    @property
    def key(self) -> Key:
        return self.label, self.metric, self.half


def show(strengths: Float[np.ndarray, "..."], shown: Shown) -> Float[np.ndarray, "..."]:
    """Turn strengths into the numbers that the table shows."""
    if shown == "negated":
        return -strengths
    if shown == "reciprocal":
        return np.where(strengths > 0, 1 / np.where(strengths > 0, strengths, 1), np.nan)
    return strengths
