"""What an atlas says of some requests."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from nucleate._core.arguments import check_number
from nucleate._core.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

RATE = 0.05
"""The false-alarm rate of *outside* where none is asked for."""


@dataclass(frozen=True, eq=False)
class Look:
    """What one detector says of some requests, before it is calibrated.

    Attributes:
        cluster, probability, margin: as in `Scores`.
        unusual: in the detector's own unit, higher is more so.
        nearest: rows of the bank, nearest first.
    """

    cluster: Int[np.ndarray, "row"]
    probability: Float[np.ndarray, "row"]
    margin: Float[np.ndarray, "row"]
    unusual: Float[np.ndarray, "row"]
    nearest: Int[np.ndarray, "row neighbor"]

    @classmethod
    def joined(cls, parts: "list[Look]") -> "Look":
        """Batches, one after the other."""
        return cls(
            *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls))
        )


@dataclass(frozen=True, eq=False)
class Scores:
    """One entry a request.

    Attributes:
        cluster: code of the nearest cluster.
        probability: calibrated, of that cluster among all clusters, if the request is of any.
        p: conformal p of belonging to a known cluster, by the detector in use: states, surface, or
            both combined. Small: unlike the rows that the atlas was calibrated on.
        p_states, p_surface: of each detector alone; NaN where it was not asked.
        margin: how much nearer the nearest cluster is than the next: 0 on the border, towards 1 at
            a centroid.
        nearest: rows of the atlas's `bank` that are nearest, nearest first; none where the detector
            has no neighbors.
        names: of clusters, by code.
        rate: of false alarms, for the column `outside` of the table.
    """

    cluster: Int[np.ndarray, "row"]
    probability: Float[np.ndarray, "row"]
    p: Float[np.ndarray, "row"]
    p_states: Float[np.ndarray, "row"]
    p_surface: Float[np.ndarray, "row"]
    margin: Float[np.ndarray, "row"]
    nearest: Int[np.ndarray, "row neighbor"]
    names: tuple[str, ...]
    rate: float = RATE

    def __len__(self) -> int:
        return len(self.cluster)

    def outside(self, rate: float | None = None) -> Bool[np.ndarray, "row"]:
        """Which requests belong to no known cluster: p <= rate.

        Args:
            rate: the share of requests from known clusters that may be called so; `self.rate` if
                None.

        Raises:
            BadInput: a rate that is not between 0 and 1.
        """
        return np.asarray(self.p <= check_rate(self.rate if rate is None else rate))

    def table(self) -> "pd.DataFrame":
        """A row a request: cluster (name), probability, p, p_states, p_surface, margin, outside."""
        import pandas as pd

        return pd.DataFrame(
            {
                "cluster": np.array(self.names, dtype=object)[self.cluster],
                "probability": self.probability,
                "p": self.p,
                "p_states": self.p_states,
                "p_surface": self.p_surface,
                "margin": self.margin,
                "outside": self.outside(),
            }
        )


def check_rate(rate: float) -> float:
    """Refuse what is no rate of false alarms.

    Raises:
        BadInput: not a number above 0 and below 1.
    """
    check_number("rate", rate)
    if not 0 < rate < 1:
        raise BadInput(f"rate is {rate}; give a rate of false alarms between 0 and 1, such as 0.05")
    return float(rate)
