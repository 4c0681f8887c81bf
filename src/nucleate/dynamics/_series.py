"""What every function on a series of values asks of it."""

import numpy as np
from jaxtyping import Float, Shaped

from nucleate._core.errors import BadInput


def checked(
    steps: Shaped[np.ndarray, "step"],
    *series: Shaped[np.ndarray, "*shape"],
    least: int,
    purpose: str,
) -> list[Float[np.ndarray, "step"]]:
    """The steps and the values at them as floats, or one sentence on why they cannot be used."""
    arrays = [np.asarray(array, float) for array in (steps, *series)]
    for array in arrays:
        if array.shape != (len(steps),):
            raise BadInput(
                f"values of shape {list(array.shape)} do not fit {len(steps)} steps; "
                "give one value per step"
            )
        if not np.isfinite(array).all():
            at = int(np.flatnonzero(~np.isfinite(array))[0])
            raise BadInput(
                f"the value at step {steps[at]} is {array[at]}; leave out the steps whose values "
                "are not finite"
            )
    if len(steps) < least:
        raise BadInput(f"{len(steps)} steps are too few for {purpose}; record at least {least}")
    if (np.diff(arrays[0]) <= 0).any():
        raise BadInput(f"the steps {arrays[0].tolist()} do not rise; sort them, each once")
    return arrays
