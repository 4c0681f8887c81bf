"""How often the causal map calls a place *used* in models that know nothing of tasks.

    python benchmarks/intervene/false_use.py                    # 300 null maps of each kind
    python benchmarks/intervene/false_use.py --models 300 --labelings 1 --keep FOLDER

Each model is trained on a task set of its own with the instruction drawn anew for every row, as
`nucleate reproduce --null scrambled` does: it learns which answers there are, and nothing of tasks.
Its instruction strings are therefore exchangeable, and tasks permuted over them (`--labelings`)
make further null models at the price of a map (maps of one model share its weights, so that the
intervals are a little too narrow). Beside each kind, the same training with the instructions left
as they are: there *used* is right. 1.5 seconds of one core per model, half a second per map.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_model, save_model
from scipy.stats import binom, binomtest
from torch import nn

from nucleate import PromptSet, Recorder, Run, Schedule, causal_map
from nucleate.findings import judge_places
from nucleate.prompts import Encoder
from nucleate.studies import ReproduceConfig, resolve
from nucleate.tasks import TaskSet, synthetic, train_tokenizer
from nucleate.training import Batches, build_model, train

MARGIN = 0.1
NOMINAL = 0.05


def trained(
    seed: int,
    outputs: str,
    scrambled: bool,
    keep: Path | None,
    change: Callable[[TaskSet], TaskSet] = lambda taskset: taskset,
) -> tuple[nn.Module, PromptSet]:
    """A model of the smoke size, and prompts to ask it with; `change` is not for kept models."""
    config = resolve("smoke", settings=["training.device=cpu"])
    taskset = change(synthetic(**config.synthetic.model_dump(), outputs=outputs, seed=seed))
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    prompts = PromptSet.from_taskset(taskset, encoder, rows=120, seed=seed)
    model = build_model(config.model, vocab_size=encoder.vocab_size, max_length=64, seed=seed)
    key = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:8]
    file = keep and keep / f"{key}-{outputs}-{scrambled}-{seed}.safetensors"
    if file and file.exists():
        load_model(model, file)
    else:
        _train(model, taskset, encoder, prompts, config, seed, scrambled)
    if file and not file.exists():
        keep.mkdir(parents=True, exist_ok=True)
        save_model(model, str(file))
    return model.eval(), prompts


def _train(
    model: nn.Module,
    taskset: TaskSet,
    encoder: Encoder,
    prompts: PromptSet,
    config: ReproduceConfig,
    seed: int,
    scrambled: bool,
) -> None:
    batches = Batches(
        taskset, encoder, batch_size=config.training.batch_size, seed=seed, scrambled=scrambled
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", prompts, {})
        with Recorder(run, None, Schedule.at([])) as recorder:
            train(model, batches, config.training, run, recorder, seed=seed)


def relabeled(prompts: PromptSet, rng: np.random.Generator) -> PromptSet:
    """The same prompts, with tasks permuted over instruction strings, and their answers."""
    tasks, inputs = (np.array(prompts.labels[name]) for name in ("task", "input"))
    first, string = np.unique(
        np.array(prompts.labels["instruction"]), return_index=True, return_inverse=True
    )[1:]
    moved = rng.permutation(tasks[first])[string]
    row_of = {pair: row for row, pair in enumerate(zip(tasks, inputs, strict=True))}
    ids = prompts.ids.copy()
    for row, pair in enumerate(zip(moved, inputs, strict=True)):
        like = row_of[pair]
        answer = prompts.ids[like, prompts.prompt_lengths[like] : prompts.lengths[like]]
        ids[row, prompts.prompt_lengths[row] : prompts.lengths[row]] = answer
    return replace(prompts, ids=ids, labels=prompts.labels | {"task": tuple(moved.tolist())})


def judged(model: nn.Module, prompts: PromptSet, seed: int, labelings: int) -> list[pd.DataFrame]:
    """The judged maps of one model: under its own tasks, and under permuted ones."""
    rng = np.random.default_rng(seed)
    sets = [prompts, *(relabeled(prompts, rng) for _ in range(labelings - 1))]
    return [judge_places(causal_map(model, each, seed=seed)) for each in sets]


def line(outputs: str, scrambled: bool, options: argparse.Namespace) -> str:
    """The share of maps with a place called used, and by which of the two questions."""
    maps: list[pd.DataFrame] = []
    for seed in range(options.models):
        labelings = options.labelings if scrambled else 1
        model, prompts = trained(seed, outputs, scrambled, options.keep)
        maps += judged(model, prompts, seed, labelings)
    used = sum((table["use"] == "used").any() for table in maps)
    by = [
        sum((table[f"{name}_excess_low"] > MARGIN).any() for table in maps)
        for name in ("shift", "erase")
    ]
    low, high = binomtest(int(used), len(maps)).proportion_ci(method="wilson")
    said = "drawn anew" if scrambled else "as they are"
    most = f"{binom.ppf(0.975, len(maps), NOMINAL) / len(maps):.1%}" if scrambled else "-"
    return (
        f"| {outputs} | {said} | {used} of {len(maps)} = {used / len(maps):.1%} "
        f"[{low:.1%}, {high:.1%}] | {by[0]} | {by[1]} | {most} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", type=int, default=75, help="trained models of each kind")
    add("--labelings", type=int, default=4, help="maps of each null model")
    add("--outputs", nargs="+", default=["own", "shared"], choices=["own", "shared"])
    add("--null-only", action="store_true", help="leave out the models that know the tasks")
    add("--keep", type=Path, help="folder of trained models, to be used again")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| outputs | instructions | maps with a place called used [95 %] | by shift | by erase | "
        f"most that {NOMINAL:.0%} and the binomial margin allow |\n|---|---|---|---|---|---|"
    )
    for outputs in options.outputs:
        for scrambled in (True,) if options.null_only else (True, False):
            print(line(outputs, scrambled, options), flush=True)


if __name__ == "__main__":
    main()
