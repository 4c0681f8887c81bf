"""Which task's answer a model gives in place of another's."""

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput
from nucleate.runs import Run


def confusions(
    run: Run, step: int, code: Int[np.ndarray, "row"], rows: Int[np.ndarray, "member"]
) -> tuple[Float[np.ndarray, "task other"], Int[np.ndarray, "task other"], int]:
    """Count the rows that got exactly the answer of another task to the same input.

    An answer that several other tasks give to the input counts for each of them in equal parts; one
    that the row's own task gives is no mistake, and one that no task gives is none between tasks.

    Args:
        run: with answers to its rows.
        step: whose greedy answers are looked at.
        code: the task of each row, from 0.
        rows: those that are looked at.

    Returns:
        For every two tasks how many rows of either got the answer of the other, how many rows of
        either there are, and how many rows got another task's answer.

    Raises:
        BadInput: the step has no answers on record.
    """
    found = run.rows(step)
    if "predicted" not in found:
        raise BadInput(
            f"step {step} of {run.path} has no answers on record, which mistakes are read from; "
            "record rows with answers"
        )
    predicted = found["predicted"].numpy()
    prompts, count = run.prompts, int(code.max()) + 1
    inputs = prompts.labels.get("input", ("",) * len(prompts))
    answers: dict[str, dict[tuple[int, ...], set[int]]] = {}
    for row, text in enumerate(inputs):
        start, stop = int(prompts.prompt_lengths[row]), int(prompts.lengths[row])
        ids = tuple(prompts.ids[row, start:stop].tolist())
        if ids:
            answers.setdefault(text, {}).setdefault(ids, set()).add(int(code[row]))
    wrong = np.zeros((count, count))
    mistakes = 0
    for row in rows.tolist():
        known = answers[inputs[row]]
        said = predicted[row].tolist()
        tasks = next((who for ids, who in known.items() if tuple(said[: len(ids)]) == ids), set())
        own = int(code[row])
        if tasks and own not in tasks:
            mistakes += 1
            for other in tasks:
                wrong[own, other] += 1 / len(tasks)
    sizes = np.bincount(code[rows], minlength=count)
    return wrong + wrong.T, sizes[:, None] + sizes[None], mistakes
