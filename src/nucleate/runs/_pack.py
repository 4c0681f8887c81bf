"""The bytes of a snapshot: states at the least precision that holds them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from nucleate.runs._states import States

_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
# What a row may lose of its largest value: the rounding of bfloat16. That of float16 is an eighth
# of it, so that only values which float16 cannot express at all make a difference.
_LOSS = 2.0**-8


@dataclass(frozen=True)
class PackedSnapshot:
    """A snapshot as the bytes of its file.

    Attributes:
        data: the bytes.
        dtype: that the states have in it.
        lost: numbers of values, where there are any: `not_finite` (kept as they are), `zeroed`
            (too small for the dtype) and `subnormal` (so small that they have lost digits).
        not_finite_at: where states are not finite, such as `from block.1 on`; None if nowhere.
    """

    data: bytes
    dtype: str
    lost: dict[str, int] = field(default_factory=dict)
    not_finite_at: str | None = None


def pack_snapshot(step: int, states: States, rows: Mapping[str, Tensor]) -> PackedSnapshot:
    """Make the bytes of one snapshot.

    States are stored as float16 where that holds them, else as bfloat16, else as float32. A dtype
    holds states if no finite value becomes infinite, and if in every row of every place the largest
    error is at most 1/256 of the largest value. Values that are not finite decide nothing and stay
    what they are.

    Args:
        step: optimizer steps taken before these states were read.
        states: of any float dtype.
        rows: tensors whose first dimension is the rows of the prompt set, such as `correct`.
    """
    from safetensors.torch import save

    stored = _stored(states.values)
    lost = _lost(states.values, stored)
    header = {
        "step": str(step),
        "streams": json.dumps(states.streams),
        "positions": json.dumps(states.positions),
        "compute_dtype": _name(states.compute_dtype or states.values.dtype),
        "stored_dtype": _name(stored.dtype),
        **{name: str(count) for name, count in lost.items()},
    }
    tensors = {"states": stored.contiguous().cpu()}
    tensors |= {name: value.contiguous().cpu() for name, value in rows.items()}
    where = states.not_finite if "not_finite" in lost else None
    return PackedSnapshot(save(tensors, metadata=header), header["stored_dtype"], lost, where)


def _stored(values: Float[Tensor, "*place width"]) -> Float[Tensor, "*place width"]:
    largest = _largest(values)
    for dtype in _DTYPES:
        info = torch.finfo(dtype)
        if info.bits > torch.finfo(values.dtype).bits:
            break
        rounded = values.to(dtype)
        # The quick answer, which nearly all states get: no value is too large, and rounding
        # between the smallest numbers loses no more than it may.
        smallest = info.smallest_normal * info.eps / 2 / _LOSS
        quick = ((largest <= info.max) & (largest >= smallest)) | (largest == 0)
        if bool(quick.all()) or _holds(rounded, values):
            return rounded
    return values


def _holds(rounded: Float[Tensor, "*place width"], values: Float[Tensor, "*place width"]) -> bool:
    finite = torch.isfinite(values)
    if bool((finite & ~torch.isfinite(rounded)).any()):
        return False
    wide = torch.promote_types(values.dtype, torch.float32)
    known = values.to(wide).where(finite, 0)
    error = rounded.to(wide).where(finite, 0) - known
    return bool((_largest(error) <= _LOSS * _largest(known)).all())


def _largest(values: Float[Tensor, "*place width"]) -> Float[Tensor, "*place"]:
    """The largest absolute value of each row, in a dtype that compares it exactly."""
    wide = torch.promote_types(values.dtype, torch.float32)
    if not values.shape[-1]:
        return values.new_zeros(values.shape[:-1], dtype=wide)
    return values.abs().amax(-1).to(wide)


def _lost(
    values: Float[Tensor, "*place width"], stored: Float[Tensor, "*place width"]
) -> dict[str, int]:
    kept = int(torch.count_nonzero(stored))
    small = stored.abs() < torch.finfo(stored.dtype).smallest_normal
    counts = {
        "not_finite": int((~torch.isfinite(stored)).sum()),
        "zeroed": int(torch.count_nonzero(values)) - kept,
        "subnormal": int(small.sum()) - (stored.numel() - kept),
    }
    return {name: count for name, count in counts.items() if count}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
