"""How often a span is called *read* in models that have nothing to read there.

    python benchmarks/intervene/false_sources.py --models 60

Two kinds of null models, trained as those of `false_use.py`: the instruction is drawn anew for
every row, so that it says nothing (`drawn anew`: accuracy is low), and all tasks have the same
answers, so that nothing need be read (`one answer`: accuracy is high, and can be lost by damage
alone). Beside them the same trainings with tasks as they are. The place is that of the largest
shift; where none moves an answer, the last block's output at the last token. All spans and blocks
of a place are asked. A model counts where any of its lines is called *read*, by either rule: `lost`
or `regained` above a tenth of the answers at the lower end of their simultaneous intervals, or the
same of their excess over random spans of equal length. About 6 seconds of one core per model.
"""

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from false_use import trained
from scipy.stats import binom, binomtest

from nucleate import causal_map
from nucleate.activations import stream_names
from nucleate.intervene import attention_sources
from nucleate.tasks import TaskSet

MARGIN = 0.1
NOMINAL = 0.05
KINDS = {"drawn anew": True, "one answer": True, "as they are": False}


def of_one_answer(taskset: TaskSet) -> TaskSet:
    """The set with the first task's answer to an input in all tasks."""
    first = taskset.tasks[0]
    given = {x: answer for (task, x), answer in taskset.answers.items() if task == first}
    examples = tuple(replace(row, output=given[row.input]) for row in taskset.examples)
    answers = {(task, x): given[x] for task, x in taskset.answers}
    return replace(taskset, examples=examples, answers=answers)


def sources(seed: int, outputs: str, kind: str) -> pd.DataFrame:
    """What one trained model shows."""
    change = of_one_answer if kind == "one answer" else lambda taskset: taskset
    model, prompts = trained(seed, outputs, kind == "drawn anew", None, change)
    place = causal_map(model, prompts, seed=seed, say=lambda said: None).strongest
    if place is None or place[0] == "embed":
        place = stream_names(model)[-2], "last"
    stream, position = place
    return attention_sources(model, prompts, stream=stream, position=position, seed=seed)


def reads(table: pd.DataFrame, by: str) -> bool:
    lows = [f"{effect}_{by}_low" for effect in ("lost", "regained")]
    return bool((table[lows] > MARGIN).any(axis=None))


def line(outputs: str, kind: str, models: int) -> str:
    tables = [sources(seed, outputs, kind) for seed in range(models)]
    most = f"{binom.ppf(0.975, models, NOMINAL) / models:.1%}" if KINDS[kind] else "-"
    shares = []
    for by in ("simultaneous", "excess"):
        count = sum(reads(table, by) for table in tables)
        low, high = binomtest(count, models).proportion_ci(method="wilson")
        shares.append(f"{count} of {models} = {count / models:.1%} [{low:.1%}, {high:.1%}]")
    accuracy = np.mean([table["accuracy"].iloc[-1] for table in tables])
    lost = max(table["lost"].max() for table in tables)
    regained = max(table["regained"].max() for table in tables)
    return (
        f"| {outputs} | {kind} | {accuracy:.2f} | {' | '.join(shares)} | {most} | "
        f"{lost:.2f} | {regained:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", type=int, default=60, help="trained models of each kind")
    add("--outputs", nargs="+", default=["own", "shared"], choices=["own", "shared"])
    add("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| outputs | instructions | accuracy | models with a span that is read [95 %] | by excess "
        f"over random spans | most that {NOMINAL:.0%} and the binomial margin allow | largest lost "
        "| largest regained |\n|---|---|---|---|---|---|---|---|"
    )
    for outputs in options.outputs:
        for kind in options.kinds:
            print(line(outputs, kind, options.models), flush=True)


if __name__ == "__main__":
    main()
