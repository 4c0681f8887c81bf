"""States: the hidden states of prompts at one moment, with the names of their places."""

from dataclasses import dataclass
from html import escape

import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate._core.names import nearest


@dataclass(frozen=True, repr=False, eq=False)
class States:
    """Hidden states of every row of the prompt set at every (stream, position).

    Two States are equal only if they are the same object; compare their `values`.

    Attributes:
        values: the states, any float dtype, on any device.
        streams: names of the places along the depth: `embed`, `block.0` ..., `final_norm`.
        positions: names of the token positions that were read, such as `instruction_end`.
        compute_dtype: what the model computed in, where that is not the values' own dtype: under
            autocast float32 states carry bfloat16's error.
    """

    values: Float[Tensor, "stream position row width"]
    streams: tuple[str, ...]
    positions: tuple[str, ...]
    compute_dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        named = (len(self.streams), len(self.positions))
        if tuple(self.values.shape[:2]) != named:
            raise BadInput(
                f"states of shape {tuple(self.values.shape)} do not fit {named[0]} stream and "
                f"{named[1]} position names; the first two dimensions are streams and positions"
            )

    def __repr__(self) -> str:
        _, _, rows, width = self.values.shape
        dtype = str(self.values.dtype).removeprefix("torch.")
        span = self.streams if len(self.streams) < 3 else (self.streams[0], "...", self.streams[-1])
        marked = "" if self.not_finite is None else f"; not finite {self.not_finite}"
        return (
            f"States({len(self.streams)} streams {', '.join(span)}; "
            f"positions {', '.join(self.positions)}; {rows} rows, width {width}, {dtype} on "
            f"{self.values.device}{marked})"
        )

    @property
    def not_finite(self) -> str | None:
        """Where states are NaN or infinite, such as `from block.1 on in 3 of 48 rows`.

        None where all are finite.
        """
        bad = ~self.values.isfinite().all(-1).all(1).cpu()
        streams, rows = bad.any(1).tolist(), bad.any(0).tolist()
        if not any(streams):
            return None
        names = [name for name, is_bad in zip(self.streams, streams, strict=True) if is_bad]
        onward = names == list(self.streams[self.streams.index(names[0]) :]) and len(names) > 1
        where = f"from {names[0]} on" if onward else f"at {', '.join(names)}"
        if all(rows):
            return where
        return f"{where} in {sum(rows)} of {len(rows)} rows, first in row {rows.index(True)}"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    def at(self, stream: str, position: str) -> Float[Tensor, "row width"]:
        """The states of one place; the tensor itself notes it, as its attribute `place`.

        Raises:
            BadInput: no such stream or position; the names that exist are listed.
        """
        states = self.values[index_of(stream, self.streams, "stream")][
            index_of(position, self.positions, "position")
        ]
        states.place = stream, position  # type: ignore[attr-defined]  # erasers are fitted to it
        return states


def index_of(name: str, names: tuple[str, ...], kind: str) -> int:
    """The index of `name` in `names`.

    Args:
        name: what is looked for.
        names: the names that exist.
        kind: what they are names of, for the message.

    Raises:
        BadInput: there is no such name; the nearest one and all of them are listed.
    """
    if name not in names:
        raise BadInput(
            f"no {kind} named {name!r}{nearest(name, names)}; choose one of {', '.join(names)}"
        )
    return names.index(name)
