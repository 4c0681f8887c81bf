"""What the training loop and the recorder cost, side by side in one process, as ratios.

    python benchmarks/training.py [--steps 120] [--rounds 3]

- loop / bare: our training loop (batches drawn, answer positions, gradient clipping, schedule,
  journal) against forward, backward and optimizer step alone on one fixed batch of the same model.
- recording share: time in the recorder / time of training, at the density of the default preset.
- shared / row by row: one reading of the prompt set with and without shared prefixes.

The variants take turns, so that a machine whose speed drifts is fair to all.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from nucleate.activations import read
from nucleate.recording import Recorder, Schedule
from nucleate.runs import Run
from nucleate.studies import resolve
from nucleate.studies._one_run import Material, prepare
from nucleate.training import (
    Batches,
    TrainingConfig,
    build_model,
    train,
)


def fresh_model(material: Material) -> torch.nn.Module:
    return build_model(
        CONFIG.model, vocab_size=material.encoder.vocab_size, max_length=material.longest, seed=0
    )


def bare(material: Material, batches: Batches, steps: int) -> float:
    """Forward, backward, step: what any loop of this model has to pay."""
    model = fresh_model(material).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    batch = batches.at(0)
    ids = torch.from_numpy(batch.ids)
    labels = ids.clone()
    for row, prompt in enumerate(batch.prompt_lengths):
        labels[row, :prompt] = -100
        labels[row, batch.lengths[row] :] = -100
    began = time.perf_counter()
    for _ in range(steps):
        model(input_ids=ids, labels=labels, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - began


def ours(
    material: Material, batches: Batches, steps: int, schedule: Schedule
) -> tuple[float, float]:
    """Seconds of training and of recording in our loop."""
    config = TrainingConfig(**(CONFIG.training.model_dump() | {"steps": steps}))
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", material.prompts, {})
        with Recorder(run, None, schedule) as recorder:
            trained = train(fresh_model(material), batches, config, run, recorder, seed=0)
    return trained.seconds, trained.recording_seconds


def reading(material: Material, share: bool) -> float:
    model = fresh_model(material)
    began = time.perf_counter()
    for _ in range(5):
        read(model, material.prompts, share_prefixes=share)
    return (time.perf_counter() - began) / 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    material = prepare(CONFIG, "own")
    batches = Batches(
        material.taskset, material.encoder, batch_size=CONFIG.training.batch_size, seed=0
    )
    # As dense as in the default preset: points a step, the same in every round.
    points = round(CONFIG.recording.points * options.steps / CONFIG.training.steps)
    schedule = Schedule.log_then_linear(options.steps, max(2, points)).within(None)
    bare(material, batches, 10)
    ratios, watched, shares, prefixes = [], [], [], []
    for _ in range(options.rounds):
        alone = bare(material, batches, options.steps)
        unwatched, _ = ours(material, batches, options.steps, Schedule.at([]))
        training, recording = ours(material, batches, options.steps, schedule)
        ratios.append(alone / unwatched)
        watched.append(unwatched / (training + recording))
        shares.append(recording / training)
        prefixes.append(reading(material, True) / reading(material, False))
    print(f"threads {torch.get_num_threads()}, {options.steps} steps, {options.rounds} rounds")
    for name, values in {
        "speed of our loop / bare forward-backward-step loop": ratios,
        "speed with recording / without": watched,
        "recording share (seconds in the recorder / seconds of training)": shares,
        "reading with shared prefixes / row by row": prefixes,
    }.items():
        print(f"{name}: {statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]")


CONFIG = resolve("default")

if __name__ == "__main__":
    main()
