"""How often a direction is said to steer where there is nothing to steer by.

    python benchmarks/intervene/false_steering.py --models 50

Three kinds of null, and beside them what is to be found (`as they are`). `drawn anew`: models that
were trained with the instruction drawn anew for every row, as those of `false_use.py`, so that they
know nothing of tasks. `permuted`: models that know their tasks, asked with classes that are
permuted over instruction strings, so that the direction is one of shuffled labels. `other place`:
the same models with their true classes, steered at the first token, which every prompt begins with
and whose state is the same in all. Classes are halves of the tasks; class B's behavior is to answer
with one of its tasks' answers. A test is one model under one assignment of tasks to classes. Two
tests of each kind per model; about 10 seconds of one core per model.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch
from false_use import _train
from scipy.stats import binom, binomtest

from nucleate import PromptSet
from nucleate.findings import steering_verdict
from nucleate.intervene import try_steering
from nucleate.prompts import Encoder
from nucleate.studies import resolve
from nucleate.tasks import synthetic, train_tokenizer
from nucleate.training import build_model

NOMINAL = 0.05
KINDS = ("drawn anew", "permuted", "other place", "as they are")
VERDICTS = ("steers", "does not steer", "undecided")


def trained(seed: int, scrambled: bool) -> tuple[torch.nn.Module, PromptSet]:
    """A model of the smoke size, and prompts of enough strings for a verdict."""
    config = resolve("smoke", settings=["training.device=cpu"])
    taskset = synthetic(**config.synthetic.model_dump(), outputs="own", seed=seed)
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    prompts = PromptSet.from_taskset(
        taskset, encoder, rows=800, seed=seed, positions=("first", "instruction_end", "last")
    )
    model = build_model(config.model, vocab_size=encoder.vocab_size, max_length=64, seed=seed)
    _train(model, taskset, encoder, prompts, config, seed, scrambled)
    return model.eval(), prompts


def classed(prompts: PromptSet, permuted: bool, rng: np.random.Generator) -> PromptSet:
    """The prompts with a label `class`: half of the tasks, drawn at random."""
    tasks = sorted(set(prompts.labels["task"]))
    chosen = set(rng.permutation(tasks)[: len(tasks) // 2])
    of_row = np.array(["B" if task in chosen else "A" for task in prompts.labels["task"]])
    if permuted:
        strings = np.array(prompts.labels["instruction"])
        first, string = np.unique(strings, return_index=True, return_inverse=True)[1:]
        of_row = rng.permutation(of_row[first])[string.reshape(-1)]
    return replace(prompts, labels=prompts.labels | {"class": tuple(of_row.tolist())})


def tested(kind: str, known: tuple, ignorant: tuple, seed: int, number: int) -> tuple[str, int]:
    """The verdict of one test, and over how many groups."""
    model, prompts = ignorant if kind == "drawn anew" else known
    rng = np.random.default_rng([seed, number])
    asked = classed(prompts, kind == "permuted", rng)
    place = {"stream": "block.1", "position": "first"} if kind == "other place" else {}
    if not place:
        kept = {name: at for name, at in asked.positions.items() if name != "first"}
        asked = replace(asked, positions=kept)
    found = try_steering(model, asked, label="class", of="A", to="B", rows=100, seed=seed, **place)
    return steering_verdict(found), found.about["groups"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", type=int, default=50, help="trained models of each kind")
    add("--tests", type=int, default=2, help="tests of each kind a model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    verdicts: dict[str, list[str]] = {kind: [] for kind in KINDS}
    groups = []
    for seed in range(options.models):
        known, ignorant = trained(seed, False), trained(seed, True)
        for kind in KINDS:
            for number in range(options.tests):
                verdict, count = tested(kind, known, ignorant, seed, number)
                verdicts[kind].append(verdict)
                groups.append(count)
    print(f"groups of tried prompts: {min(groups)} to {max(groups)}\n")
    print(f"| | steers [95 %] | does not steer | undecided | most that {NOMINAL:.0%} allow |")
    print("|---|---|---|---|---|")
    for kind, said in verdicts.items():
        count, total = said.count("steers"), len(said)
        low, high = binomtest(count, total).proportion_ci(method="wilson")
        most = "-" if kind == "as they are" else f"{int(binom.ppf(0.975, total, NOMINAL))}"
        rest = " | ".join(str(said.count(name)) for name in VERDICTS[1:])
        print(
            f"| {kind} | {count} of {total} = {count / total:.1%} [{low:.1%}, {high:.1%}] | "
            f"{rest} | {most} |"
        )


if __name__ == "__main__":
    main()
