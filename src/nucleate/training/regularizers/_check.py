"""The manipulation check: did a regularizer move the clusters that it is about?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.metrics import class_separation, condition, standardize
from nucleate.prompts import PromptSet
from nucleate.runs import Run, States

_BLOCKS = 100
_APART = ("unseen_family", "unseen_input")


@dataclass(frozen=True)
class ManipulationCheck:
    """How far apart tasks are at one place in two models: with a regularizer, and without.

    Attributes:
        stream, position: the place.
        with_, without: class separation, CDNV^-1, as `metrics.class_separation`; upwards without a
            bound, about 0 where there are no clusters.
        low, high: 95 % interval of `change`, over instruction strings.
    """

    stream: str
    position: str
    with_: float
    without: float
    low: float
    high: float

    @property
    def change(self) -> float:
        """By how much s / (1 + |s|) of the separations s is larger with the regularizer.

        Of a positive separation that is 1 / (1 + CDNV). The separations themselves have no bound:
        where clusters are nearly points, one string decides their difference.
        """
        return float(_bounded(self.with_) - _bounded(self.without))

    @property
    def cdnv(self) -> tuple[float, float]:
        """CDNV with and without: one over the separations, NaN where those are not positive."""
        return _reciprocal(self.with_), _reciprocal(self.without)

    @property
    def moved(self) -> Literal["tighter", "looser", "not shown"]:
        """Which way the clusters went, if the interval leaves out 0."""
        if self.low > 0:
            return "tighter"
        return "looser" if self.high < 0 else "not shown"

    def __str__(self) -> str:
        now, before = self.cdnv
        verdict = {
            "tighter": "task clusters are tighter with the regularizer than without",
            "looser": "task clusters are looser with the regularizer than without",
            "not shown": "no change of task clusters by the regularizer is shown",
        }[self.moved]
        return (
            f"At {self.stream}, {self.position}, {verdict}: CDNV "
            f"{_said(now)} against {_said(before)}, class separation {self.with_:.3g} against "
            f"{self.without:.3g}, change of 1 / (1 + CDNV) {self.change:+.3g} "
            f"[{self.low:+.3g}, {self.high:+.3g}]."
        )


def manipulation_check(
    with_: States | Run,
    without: States | Run,
    *,
    stream: str,
    position: str,
    prompts: PromptSet | None = None,
    view: Literal["raw", "conditioned"] = "raw",
) -> ManipulationCheck:
    """Compare the tasks' class separation at a place of two models that read the same prompt set.

    An effect of a regularizer on learning says something of clusters only if it moved them, and
    its shuffled twin did not.

    Args:
        with_: states, or a run at its last recorded step, with the regularizer.
        without: the same without it (or of the twin); all else equal, seed included.
        stream: by name.
        position: by name.
        prompts: the rows of the states; runs know theirs.
        view: `raw`, or `conditioned`: the mean of all rows of the same input is subtracted first.
            For positions that have seen the input.

    Returns:
        Both separations, of standardized states, one row for each state (rows that are equal up to
        the position are one). The interval is a jackknife over instruction strings, left out in
        100 blocks at most that each hold strings of all tasks: unlike a bootstrap it draws no row
        twice, which would count as a tight cluster. It is of two models, not of seeds.

    Raises:
        BadInput: no such place, a prompt set without tasks or of other rows, or runs of two prompt
            sets.

    Notes:
        Separation also rises when unrelated variance falls; and states that follow the answer (at
        `last`, with own outputs) change with accuracy, with or without a regularizer.
    """
    prompts = _common_probe(with_, without, prompts)
    rows, strings, tasks = _measured(prompts, position)
    both = [_last(states).at(stream, position) for states in (with_, without)]
    x = torch.stack([values[rows].float().cpu() for values in both])
    if view == "conditioned":
        prompts.check_labels("input", user="the view conditioned")
        x = condition(
            x, torch.from_numpy(_numbers(np.array(prompts.labels["input"], object)[rows]))
        )
    x = standardize(x)
    whole = np.asarray(class_separation(x, tasks))
    low, high = _jackknife(x, tasks, _blocks(strings, tasks))
    return ManipulationCheck(stream, position, float(whole[0]), float(whole[1]), low, high)


def _jackknife(
    x: Tensor, tasks: Int[np.ndarray, "row"], block: Int[np.ndarray, "row"]
) -> tuple[float, float]:
    """A 95 % interval of the change, from leaving out one block of rows after another."""
    from scipy.stats import t

    def change(kept: np.ndarray) -> float:
        made, base = _bounded(np.asarray(class_separation(x[:, kept], tasks[kept])))
        return float(made - base)

    whole = change(block >= 0)
    left = [change(block != index) for index in range(int(block.max()) + 1)]
    count = len(left)
    spread = np.sqrt((count - 1) * np.var(left))
    reach = float(t.ppf(0.975, count - 1) * spread)
    return whole - reach, whole + reach


def _bounded(separation: np.ndarray | float) -> np.ndarray:
    return np.asarray(separation / (1 + np.abs(separation)))


def _blocks(
    strings: Int[np.ndarray, "row"], tasks: Int[np.ndarray, "row"]
) -> Int[np.ndarray, "row"]:
    """Deal the strings, sorted by task, to blocks in turn."""
    first = np.unique(strings, return_index=True)[1]
    order = np.argsort(tasks[first], kind="stable")
    of_string = np.empty_like(order)
    of_string[order] = np.arange(len(order)) % min(_BLOCKS, len(order))
    return np.asarray(of_string[strings])


def _measured(
    prompts: PromptSet, position: str
) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "row"], Int[np.ndarray, "row"]]:
    """The rows that stand for the states at a position, with their strings and tasks."""
    prompts.check_labels("task", "instruction", user="a manipulation check")
    if position not in prompts.positions:
        raise BadInput(
            f"no position named {position!r}; choose one of {', '.join(prompts.positions)}"
        )
    rows = np.arange(len(prompts))
    if "split" in prompts.labels:
        rows = rows[~np.isin(np.array(prompts.labels["split"], object), _APART)]
    first = np.unique(prompts.prefix_groups(position)[rows], return_index=True)[1]
    rows = rows[np.sort(first)]
    tasks = _numbers(np.array(prompts.labels["task"], object)[rows])
    if not len(rows) or tasks.max() == 0:
        raise BadInput("the prompt set has rows of one task only; give it rows of two or more")
    return rows, _numbers(np.array(prompts.labels["instruction"], object)[rows]), tasks


def _common_probe(with_: States | Run, without: States | Run, given: PromptSet | None) -> PromptSet:
    prompt_sets = [it.prompts for it in (with_, without) if isinstance(it, Run)]
    prompt_sets += [] if given is None else [given]
    if not prompt_sets:
        raise BadInput("states do not know their rows; pass prompts= as well")
    if len({prompts.content_hash() for prompts in prompt_sets}) > 1:
        raise BadInput("the two were read on different prompt sets; compare models on one")
    for states in (with_, without):
        if isinstance(states, States) and states.values.shape[2] != len(prompt_sets[0]):
            raise BadInput(
                f"states of {states.values.shape[2]} rows are not of the prompt set, which has "
                f"{len(prompt_sets[0])}; pass the prompt set that was captured"
            )
    return prompt_sets[0]


def _last(states: States | Run) -> States:
    if isinstance(states, States):
        return states
    if not states.steps:
        raise BadInput(f"{states.path} has no recorded step yet; let it train first")
    return states.states(states.steps[-1])


def _numbers(values: np.ndarray) -> Int[np.ndarray, "row"]:
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _reciprocal(separation: float) -> float:
    return 1 / separation if separation > 0 else float("nan")


def _said(cdnv: float) -> str:
    return "undefined" if cdnv != cdnv else f"{cdnv:.3g}"
