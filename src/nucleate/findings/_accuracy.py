"""Accuracy by split, with intervals over instruction strings, and when it rose above guessing."""

import math

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, Num

from nucleate.dynamics import Onset, Trajectory, binomial_band, onset
from nucleate.runs import Run
from nucleate.tasks import SPLITS

_RESAMPLES = 1000


def accuracy_table(run: Run) -> pd.DataFrame:
    """Accuracy and loss by split at every recorded step, from the prompt set's own rows.

    Returns:
        `step, split, accuracy, loss, n, strings, low, high, chance`: greedy exact match with its
        95 % interval (`clustered_interval`), mean negative log-likelihood of answer tokens in
        nats, rows, instruction strings, and how often a task drawn at random has the same answer
        to the same input.
    """
    records = []
    for split in splits_of(run):
        there, strings = _rows_of(run, split)
        for step in run.steps:
            rows = run.rows(step)
            correct, nll = rows["correct"].numpy()[there], rows["nll"].numpy()[there]
            low, high = clustered_interval(correct, strings)
            records.append(
                {
                    "step": step, "split": split, "accuracy": float(correct.mean()),
                    "loss": float(nll.mean()), "n": len(correct), "strings": int(strings.max()) + 1,
                    "low": low, "high": high, "chance": float(run.prompts.chance[there].mean()),
                }
            )  # fmt: skip
    return pd.DataFrame(records).sort_values("step", kind="stable", ignore_index=True)


def splits_of(run: Run) -> list[str]:
    """The splits that the prompt set has rows of, in their usual order."""
    return [split for split in SPLITS if split in run.prompts.labels["split"]]


def accuracy_onset(run: Run, split: str) -> Onset:
    """When accuracy rises above guessing for good; instruction strings are resampled."""
    there, strings = _rows_of(run, split)
    count = int(strings.max()) + 1
    belongs = np.eye(count)[strings]
    correct = np.stack([run.rows(step)["correct"].numpy()[there] for step in run.steps])
    drawn = np.random.default_rng(0).multinomial(count, [1 / count] * count, _RESAMPLES)
    draws = (correct @ belongs) @ drawn.T / (drawn @ belongs.sum(0))
    band = np.full(len(run.steps), binomial_band(float(run.prompts.chance[there].mean()), count))
    return onset(Trajectory(np.array(run.steps), correct.mean(1), band), draws)


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
    """The rows of a split, and the instruction string of each, from 0."""
    labels = run.prompts.labels
    there = np.flatnonzero(np.array(labels["split"], object) == split)
    said = np.array(labels["instruction"], object)[there]
    return there, np.unique(said, return_inverse=True)[1].astype(np.int64)
