"""Accuracy by split, with intervals over instruction strings, and when it rose above guessing."""

import math
from contextlib import suppress

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, Num

from nucleate._core.errors import BadInput
from nucleate._core.strings import number_strings
from nucleate.dynamics import Onset, Trajectory, binomial_band, onset
from nucleate.prompts import PromptSet
from nucleate.runs import Run
from nucleate.tasks import SPLITS

_RESAMPLES = 1000


_COLUMNS = ("step", "split", "accuracy", "loss", "n", "strings", "low", "high", "chance")
ALL = "all"
"""The split of rows that say of none."""


def accuracy_table(run: Run) -> pd.DataFrame:
    """Accuracy and loss by split at every recorded step, from the prompt set's own rows.

    Args:
        run: any run. Rows without an answer are left out, and steps at which answers were not
            scored.

    Returns:
        `step, split, accuracy, loss, n, strings, low, high, chance`: greedy exact match with its
        95 % interval (`clustered_interval`), mean negative log-likelihood of answer tokens in
        nats, rows, instruction strings, and how often a task drawn at random has the same answer
        to the same input (NaN where that is not known). Without a column `split` all rows are of
        the split `all`. Empty where nothing was scored.
    """
    records = []
    scored = _scored(run)
    for split in splits_of(run) if scored else ():
        there, strings = _rows_of(run, split)
        for step, rows in scored.items():
            correct, nll = rows["correct"][there], rows["nll"][there]
            low, high = clustered_interval(correct, strings)
            records.append(
                {
                    "step": step, "split": split, "accuracy": float(correct.mean()),
                    "loss": float(nll.mean()), "n": len(correct), "strings": int(strings.max()) + 1,
                    "low": low, "high": high, "chance": float(run.prompts.chance[there].mean()),
                }
            )  # fmt: skip
    table = pd.DataFrame(records, columns=list(_COLUMNS))
    return table.sort_values("step", kind="stable", ignore_index=True)


def splits_of(run: Run) -> list[str]:
    """The splits that answered rows are of: ours in their usual order, then the user's own."""
    answered = answered_rows(run.prompts)
    names = run.prompts.labels.get("split")
    if names is None:
        return [ALL] if answered.any() else []
    found = dict.fromkeys(names[row] for row in np.flatnonzero(answered))
    return [*(split for split in SPLITS if split in found),
            *(split for split in found if split not in SPLITS)]  # fmt: skip


def answered_rows(prompts: PromptSet) -> Bool[np.ndarray, "row"]:
    """Which rows have an answer."""
    answered: Bool[np.ndarray, row] = prompts.lengths > prompts.prompt_lengths
    return answered


def accuracy_onset(run: Run, split: str) -> Onset | None:
    """When accuracy rises above guessing for good; instruction strings are resampled.

    Returns:
        The onset; None where nothing was scored, or it is not known what guessing gives.
    """
    there, strings = _rows_of(run, split)
    scored = _scored(run)
    chance = float(run.prompts.chance[there].mean())
    if not scored or not math.isfinite(chance):
        return None
    count = int(strings.max()) + 1
    belongs = np.eye(count)[strings]
    correct = np.stack([rows["correct"][there] for rows in scored.values()])
    drawn = np.random.default_rng(0).multinomial(count, [1 / count] * count, _RESAMPLES)
    draws = (correct @ belongs) @ drawn.T / (drawn @ belongs.sum(0))
    band = np.full(len(scored), binomial_band(chance, count))
    return onset(Trajectory(np.array(list(scored)), correct.mean(1), band), draws)


def _scored(run: Run) -> dict[int, dict[str, np.ndarray]]:
    """`correct` and `nll` of every row, by step, where a recorder has scored answers."""
    found = {}
    for step in run.steps:
        with suppress(BadInput):  # a damaged snapshot is named where its states are read
            rows = run.rows(step)
            if {"correct", "nll"} <= rows.keys():
                found[step] = {name: rows[name].numpy() for name in ("correct", "nll")}
    return found


def clustered_interval(
    correct: Num[np.ndarray, "row"] | Bool[np.ndarray, "row"],
    strings: Int[np.ndarray, "row"],
) -> tuple[float, float]:
    """95 % Wilson interval of a share of rows that come in groups.

    Rows of one instruction string tend to be right or wrong together, so that they count for less
    than as many independent ones. The variance of the share over strings, as of a ratio of sums,
    gives the number of independent rows that would vary as much (Kish 1965); Wilson's interval is
    taken of that number (Korn and Graubard 1998). Where nothing varies, each string counts as one
    row.

    Args:
        correct: 0 or 1 per row.
        strings: instruction string of each row, from 0.

    Returns:
        Both ends, 0 to 1.
    """
    rows, share = len(correct), float(np.mean(correct))
    sizes = np.bincount(strings).astype(float)
    count = len(sizes)
    independent = float(count)
    if 0 < share < 1 and count > 1:
        off = np.bincount(strings, correct) - share * sizes
        variance = count / (count - 1) * float((off**2).sum()) / rows**2
        varies_as = share * (1 - share) / variance if variance else math.inf
        independent = min(float(rows), max(varies_as, 1.0))
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(share * independent, independent, method="wilson")
    return float(low), float(high)


def _rows_of(run: Run, split: str) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "row"]]:
    """The answered rows of a split, and the instruction string of each, from 0."""
    prompts, there = run.prompts, answered_rows(run.prompts)
    if "split" in prompts.labels:
        there = there & (np.array(prompts.labels["split"], object) == split)
    rows = np.flatnonzero(there)
    strings = number_strings(prompts.labels) if prompts.labels else np.arange(len(prompts))
    return rows, np.unique(strings[rows], return_inverse=True)[1].astype(np.int64)
