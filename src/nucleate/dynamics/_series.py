"""What every function on a series of values asks of it."""

import numpy as np
from jaxtyping import Float, Shaped

from nucleate._core.errors import BadInput


def as_numbers(values: object, what: str) -> Float[np.ndarray, "*shape"]:
    """Any kind of array of numbers as one of float64.

    Raises:
        BadInput: it is none.
    """
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"{what} are no array of numbers ({type(values).__name__}); give a number per step"
        ) from error


def checked(
    steps: Shaped[np.ndarray, "step"],
    *series: Shaped[np.ndarray, "*shape"],
    least: int,
    purpose: str,
) -> list[Float[np.ndarray, "step"]]:
    """The steps and the values at them as floats, or one sentence on why they cannot be used."""
    arrays = [as_numbers(steps, "steps"), *(as_numbers(each, "values") for each in series)]
    if arrays[0].ndim != 1:
        raise BadInput(f"steps of shape {list(arrays[0].shape)} are no sequence; give a list")
    for array in arrays:
        if array.shape != arrays[0].shape:
            raise BadInput(
                f"values of shape {list(array.shape)} do not fit {len(arrays[0])} steps; "
                "give one value per step"
            )
        if not np.isfinite(array).all():
            at = int(np.flatnonzero(~np.isfinite(array))[0])
            raise BadInput(
                f"the value at step {arrays[0][at]:g} is {array[at]}; leave out the steps whose "
                "values are not finite"
            )
    if len(arrays[0]) < least:
        raise BadInput(f"{len(arrays[0])} steps are too few for {purpose}; record at least {least}")
    if (np.diff(arrays[0]) <= 0).any():
        raise BadInput(f"the steps {arrays[0].tolist()} do not rise; sort them, each once")
    return arrays
