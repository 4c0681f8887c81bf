"""How often the causal map calls a place *used* in models that know nothing of tasks.

    python benchmarks/intervene/false_use.py [--runs 20]

Each run draws a task set and trains a model on it with the instruction drawn anew for every row, as
`nucleate reproduce --null scrambled` does: it learns which answers there are, and nothing of tasks.
Beside each, the same training with the instructions left as they are: there *used* is right.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from scipy.stats import binomtest

from nucleate import (
    PromptSet,
    Recorder,
    Run,
    Schedule,
    causal_map,
)
from nucleate.findings import judge_places
from nucleate.prompts import Encoder
from nucleate.studies import resolve
from nucleate.tasks import synthetic, train_tokenizer
from nucleate.training import Batches, build_model, train


def used(seed: int, outputs: str, scrambled: bool) -> int:
    """How many places of one trained model are called used."""
    config = resolve("smoke", settings=["training.device=cpu"])
    taskset = synthetic(**config.synthetic.model_dump(), outputs=outputs, seed=seed)
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    prompts = PromptSet.from_taskset(taskset, encoder, rows=120, seed=seed)
    model = build_model(config.model, vocab_size=encoder.vocab_size, max_length=64, seed=seed)
    batches = Batches(
        taskset, encoder, batch_size=config.training.batch_size, seed=seed, scrambled=scrambled
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", prompts, {})
        with Recorder(run, None, Schedule.at([])) as recorder:
            train(model, batches, config.training, run, recorder, seed=seed)
    table = judge_places(causal_map(model.eval(), prompts, seed=seed))
    return int((table["use"] == "used").sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    torch.set_num_threads(2)
    print("| outputs | instructions | runs with a place called used [95 %] |\n|---|---|---|")
    for outputs in ("own", "shared"):
        for scrambled in (True, False):
            found = sum(used(seed, outputs, scrambled) > 0 for seed in range(runs))
            bounds = binomtest(found, runs).proportion_ci(method="wilson")
            said = "drawn anew" if scrambled else "as they are"
            print(f"| {outputs} | {said} | {found} of {runs} "
                  f"[{bounds.low:.2f}, {bounds.high:.2f}] |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
