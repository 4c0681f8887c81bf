"""What recording costs a training: a plain loop and HF Trainer, with a recorder and without.

Every training is a process of its own, for a recorder could leave something behind that slows
the trainings after it; which of the two goes first changes from round to round.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from materials import POSITIONS, SEED, Rows, Shape, as_probe, build, draw

_LENGTH = 40  # tokens of a training row
_POOL = 4096  # rows to train on, again and again
_RATE = 1e-3


def compare(options: argparse.Namespace, loop: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Trainings with and without a recorder, in turns."""
    names = ("steps", "snapshots", "depth", "width", "vocabulary", "train_rows", "probe_rows")
    setting = {name: getattr(options, name) for name in names}
    setting |= {"threads": options.threads, "length": _LENGTH, "loop": loop}
    found: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for turn in range(options.rounds):
        for recorded in (False, True) if turn % 2 == 0 else (True, False):
            run = _in_process(setting | {"recorded": recorded})
            found[recorded].append(run)
            word = "recorded" if recorded else "alone"
            say(f"{loop}, {word}, round {turn + 1} of {options.rounds}: {run['seconds']:.1f} s")
    return {
        "loop": loop,
        "setting": setting,
        "seconds_without": [run["seconds"] for run in found[False]],
        "seconds_with": [run["seconds"] for run in found[True]],
        "recorder": [run["recorder_seconds"] for run in found[True]],
        "same_weights": len({run["weights"] for runs in found.values() for run in runs}) == 1,
        **found[True][-1]["folder"],
    }


def _in_process(setting: dict[str, Any]) -> dict[str, Any]:
    places = [str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH", "")]
    more = {
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        "OMP_NUM_THREADS": str(setting["threads"]),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(setting)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | more,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def train(setting: dict[str, Any]) -> dict[str, Any]:
    """One training from its first step to its last, the recorder's opening and closing included."""
    from nucleate.recording import Recorder, Schedule

    torch.set_num_threads(setting["threads"])
    shape = _shape(setting)
    model = build(shape).train()
    rows = draw("crossed", setting["probe_rows"], shape.vocabulary)
    steps = setting["steps"]
    generator = torch.Generator().manual_seed(SEED)
    pool = torch.randint(shape.vocabulary, (_POOL, _LENGTH), generator=generator)
    torch.manual_seed(SEED)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "run"
        began = time.perf_counter()
        if setting["recorded"]:
            schedule = Schedule.log(setting["snapshots"], last=steps).within(None)
            recorder = Recorder(where, as_probe(rows), schedule)
        else:
            recorder = None
        with recorder or nullcontext():
            LOOPS[setting["loop"]](model, pool, setting, recorder, Path(folder))
        seconds = time.perf_counter() - began
        if recorder is not None and recorder.error is not None:
            raise recorder.error
        weights = hashlib.sha256()
        for tensor in model.state_dict().values():
            weights.update(tensor.numpy().tobytes())
        return {
            "seconds": seconds,
            "recorder_seconds": recorder.seconds if recorder else 0.0,
            "weights": weights.hexdigest(),
            "folder": _disk(where, shape, rows) if recorder else None,
        }


def _shape(setting: dict[str, Any]) -> Shape:
    width = setting["width"]
    return Shape(
        label="trained",
        kind="gpt2",
        depth=setting["depth"],
        width=width,
        heads=4,
        kv_heads=4,
        inner=4 * width,
        vocabulary=setting["vocabulary"],
        rows=0,
    )


def _plain(model: Any, pool: torch.Tensor, setting: dict[str, Any], recorder: Any, _: Path) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, fused=True)
    size = setting["train_rows"]
    for step in range(setting["steps"]):
        if recorder:
            recorder.step(model, step)
        rows = torch.arange(step * size, (step + 1) * size) % len(pool)
        loss = model(input_ids=pool[rows], labels=pool[rows], use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if recorder:
        recorder.step(model, setting["steps"])


def _trainer(
    model: Any, pool: torch.Tensor, setting: dict[str, Any], recorder: Any, folder: Path
) -> None:
    from transformers import Trainer, TrainingArguments

    callbacks = []
    if recorder:
        from nucleate.recording.hf import Callback

        callbacks.append(Callback(recorder))
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        max_steps=setting["steps"],
        per_device_train_batch_size=setting["train_rows"],
        learning_rate=_RATE,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=SEED,
    )
    data = [{"input_ids": row, "labels": row} for row in pool]
    Trainer(model=model, args=arguments, train_dataset=data, callbacks=callbacks).train()


def _disk(where: Path, shape: Shape, rows: Rows) -> dict[str, int]:
    """Bytes of the run folder beside those of the states in half precision."""
    from nucleate.runs import Run

    snapshots = len(Run(where).steps)
    of_states = sum(file.stat().st_size for file in (where / "states").iterdir())
    numbers = (shape.depth + 2) * len(POSITIONS) * len(rows) * shape.width
    return {
        "snapshots": snapshots,
        "own_bytes": snapshots * numbers * 2,
        "states_bytes": of_states,
        "bytes": sum(file.stat().st_size for file in where.rglob("*") if file.is_file()),
    }


LOOPS: dict[str, Callable[..., None]] = {"plain": _plain, "trainer": _trainer}

if __name__ == "__main__":
    print(json.dumps(train(json.loads(sys.argv[1]))))
