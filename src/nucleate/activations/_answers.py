"""Which logits predict an answer: those of the token before each of the answer's tokens."""

import numpy as np
from jaxtyping import Bool, Int


def predicting(
    prompt_lengths: Int[np.ndarray, "row"], counts: Int[np.ndarray, "row"]
) -> tuple[Int[np.ndarray, "row kept"], Bool[np.ndarray, "row kept"]]:
    """Find the tokens whose logits predict the answers of some rows.

    Args:
        prompt_lengths: tokens of each row before its answer, at least 1: the last of them predicts
            the first token of the answer.
        counts: tokens of each row's answer; 0 is allowed.

    Returns:
        index: the predicting token of each answer token, counted from the start of the row;
            padding repeats the prompt's last token.
        real: which entries are no padding.
    """
    offset = np.arange(counts.max(initial=0))
    real = offset < counts[:, None]
    return prompt_lengths[:, None] - 1 + np.where(real, offset, 0), real
