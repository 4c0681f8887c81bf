"""How often a direction is said to steer where there is nothing to steer by.

    python benchmarks/intervene/false_steering.py --models 34

Two kinds of null, and beside them what is to be found (`as they are`). `drawn anew`: models that
were trained with the instruction drawn anew for every row, as those of `false_use.py`, so that they
know nothing of tasks. `permuted`: models that know their tasks, asked with tasks and their answers
permuted over instruction strings: half of class A's prompts then answer as class B without
steering, and the direction is one of shuffled labels. Classes are halves of the tasks, four tasks
in six ways; class B's behavior is to answer with one of its tasks' answers. Tests of one model
share its weights, so that the intervals are a little too narrow. About 9 seconds of one core per
model.
"""

import argparse
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from false_use import _train, relabeled
from scipy.stats import binom, binomtest

from nucleate import PromptSet
from nucleate.findings import steering_verdict
from nucleate.intervene import Steering, try_steering
from nucleate.prompts import Encoder
from nucleate.studies import resolve
from nucleate.tasks import synthetic, train_tokenizer
from nucleate.training import build_model

NOMINAL = 0.05
# How many of the six ways to halve four tasks are tried in each model.
KINDS = {"drawn anew": 6, "permuted": 2, "as they are": 2}
VERDICTS = ("steers", "does not steer", "undecided")


def trained(seed: int, scrambled: bool) -> tuple[torch.nn.Module, PromptSet]:
    """A model of the smoke size, and prompts of enough strings for a verdict."""
    config = resolve("smoke", settings=["training.device=cpu"])
    taskset = synthetic(**config.synthetic.model_dump(), outputs="own", seed=seed)
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    prompts = PromptSet.from_taskset(taskset, encoder, rows=800, seed=seed)
    model = build_model(config.model, vocab_size=encoder.vocab_size, max_length=64, seed=seed)
    _train(model, taskset, encoder, prompts, config, seed, scrambled)
    return model.eval(), prompts


def classed(prompts: PromptSet, chosen: tuple[str, ...]) -> PromptSet:
    """The prompts with a label `class`: B of the chosen tasks, A of the others."""
    of_row = tuple("B" if task in chosen else "A" for task in prompts.labels["task"])
    return replace(prompts, labels=prompts.labels | {"class": of_row})


def tested(kind: str, model: torch.nn.Module, prompts: PromptSet, seed: int) -> list[Steering]:
    """The tests of one kind in one model."""
    rng = np.random.default_rng(seed)
    tasks = sorted(set(prompts.labels["task"]))
    ways = rng.permutation(list(combinations(tasks, len(tasks) // 2)))[: KINDS[kind]]
    found = []
    for chosen in ways:
        asked = relabeled(prompts, rng) if kind == "permuted" else prompts
        asked = classed(asked, tuple(chosen.tolist()))
        found.append(try_steering(model, asked, label="class", of="A", to="B", rows=100, seed=seed))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", type=int, default=34, help="trained models of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tests: dict[str, list[Steering]] = {kind: [] for kind in KINDS}
    for seed in range(options.models):
        known, ignorant = trained(seed, False), trained(seed, True)
        for kind, found in tests.items():
            found += tested(kind, *(ignorant if kind == "drawn anew" else known), seed)
    for name in ("groups", "turned_without"):
        values = {kind: [each.about[name] for each in found] for kind, found in tests.items()}
        print(name, {kind: (min(each), max(each)) for kind, each in values.items()})
    print(f"| | steers [95 %] | does not steer | undecided | most that {NOMINAL:.0%} allow |")
    print("|---|---|---|---|---|")
    for kind, found in tests.items():
        said = [steering_verdict(each) for each in found]
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
