"""The permuted twin: the same rows with their tasks dealt anew over instruction strings."""

import numpy as np
from jaxtyping import Int

from nucleate._core.strings import number_strings
from nucleate.prompts import PromptSet


def twin_of(prompts: PromptSet, label: str) -> Int[np.ndarray, "row"]:
    """Classes of the permuted twin: what a picture shows by chance.

    Args:
        prompts: the rows.
        label: whose values are permuted over instruction strings; rows of one string stay together.

    Returns:
        A class a row, numbered as the sorted values of the label. Zeros without a label.
    """
    if not label:
        return np.zeros(len(prompts), dtype=np.int64)
    code = np.unique(prompts.labels[label], return_inverse=True)[1]
    of_row = number_strings(prompts.labels)
    first = np.unique(of_row, return_index=True)[1]
    if not np.array_equal(code[first][of_row], code):  # the label differs within a string
        twin: Int[np.ndarray, row] = np.random.default_rng(0).permutation(code)
        return twin
    dealt: Int[np.ndarray, row] = np.random.default_rng(0).permutation(code[first])[of_row]
    return dealt
