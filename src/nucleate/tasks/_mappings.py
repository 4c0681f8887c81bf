"""What each task answers to each input, as numbers of output symbols."""

import numpy as np
from jaxtyping import Int

from nucleate._core.errors import BadInput

_SWAPS = 20_000


def own_mappings(
    tasks: int, inputs: int, rng: np.random.Generator
) -> Int[np.ndarray, "task input"]:
    """Give each task `inputs` output symbols of its own, numbered so that numbers tell nothing."""
    return rng.permutation(tasks * inputs).reshape(tasks, inputs)


def shared_mappings(
    tasks: int, inputs: int, symbols: int, rng: np.random.Generator
) -> Int[np.ndarray, "task input"]:
    """Give each task a mapping into one set of output symbols.

    For each input every symbol is the answer of equally many tasks (one more or less), so that an
    input alone says as little as can be; two tasks agree on at most half of the inputs.

    Raises:
        BadInput: too few symbols to distinguish so many tasks.
    """
    balanced = np.arange(tasks) % symbols
    # Which symbols get one task more than others also differs from input to input.
    answers = np.stack(
        [rng.permutation(symbols)[rng.permutation(balanced)] for _ in range(inputs)], axis=1
    )
    for _ in range(_SWAPS):
        agreements = (answers[:, None] == answers[None]).sum(axis=2)
        np.fill_diagonal(agreements, 0)
        close = np.argwhere(agreements > inputs // 2)
        if not len(close):
            return answers
        task, other = close[rng.integers(len(close))][0], rng.integers(tasks)
        column = rng.integers(inputs)
        answers[[task, other], column] = answers[[other, task], column]
    raise BadInput(
        f"output_symbols is {symbols}: {tasks} tasks over {inputs} inputs cannot be distinguished "
        "by them, ask for more symbols or inputs, or for fewer tasks."
    )
