"""The permuted twin: the same rows with their tasks dealt anew over instruction strings."""

import numpy as np
from jaxtyping import Int

from nucleate._core.strings import Strings, number_strings, permute_rows
from nucleate.prompts import PromptSet


def twin_of(prompts: PromptSet, label: str) -> Int[np.ndarray, "row"]:
    """Classes of the permuted twin: what a picture shows by chance.

    Args:
        prompts: the rows.
        label: whose values are permuted as a panel permutes them for N0, once: over instruction
            strings of like length, so that rows of one string stay together; over rows where the
            rows of a string differ in it.

    Returns:
        A class a row, numbered as the sorted values of the label. Zeros without a label.
    """
    if not label:
        return np.zeros(len(prompts), dtype=np.int64)
    code = np.unique(prompts.labels[label], return_inverse=True)[1]
    of_row = number_strings(prompts.labels)
    strings = Strings.of(of_row, code, of_row, prompts.prompt_lengths)
    rng = np.random.default_rng(0)
    of_strings = np.array_equal(strings.task[of_row], code)
    dealt = strings.permuted(code, 1, rng) if of_strings else permute_rows(code, 1, rng)
    twin: np.ndarray = dealt.labels[1].numpy()
    return twin
