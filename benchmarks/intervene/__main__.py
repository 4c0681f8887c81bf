"""The work of a causal map, nucleate beside a naive loop and nnsight; and a whole map.

    python benchmarks/intervene                      # 8 streams x 2 positions x 11 edits x 300 rows
    python benchmarks/intervene --rows 1000 --rounds 1
    python benchmarks/intervene --map                # `causal_map` itself, on 1,000 rows

All peers put the same given states into the same rows, and their logits are compared. nnsight is
not needed: where it is not installed it is named as absent; where it lives in another environment,
give that one's interpreter to --peer-python (the naive loop is then run there as well).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peers import LABELS, PEERS

HERE = Path(__file__).parent


class Worker:
    """A peer's process, and the line on which it is spoken to."""

    def __init__(self, python: str, name: str, options: argparse.Namespace, saved: Path) -> None:
        places = [str(HERE.parents[1] / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {
            "PYTHONPATH": os.pathsep.join(places),
            "OMP_NUM_THREADS": str(options.threads),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        arguments = [name, str(options.rows), str(options.threads), str(saved)]
        self._process = subprocess.Popen(
            [python, str(HERE / "worker.py"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | settings,
        )  # fmt: skip
        self.name, self.saved, self.seconds = name, saved, list[float]()
        self.facts: dict[str, Any] = self._answer()

    def again(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        self.seconds.append(self._answer())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        return json.loads(line)


def compare(options: argparse.Namespace) -> None:
    """All peers take turns, so that a machine whose speed drifts is fair to all."""
    with tempfile.TemporaryDirectory() as folder:
        started = [
            (f"{name}{' (peer python)' if python != sys.executable else ''}", python, name)
            for name, python in _who(options)
        ]
        workers = {
            label: Worker(python, name, options, Path(folder) / f"{number}.pt")
            for number, (label, python, name) in enumerate(started)
        }
        there = {label: w for label, w in workers.items() if "absent" not in w.facts}
        for _ in range(options.rounds):
            for worker in there.values():
                worker.again()
        truth = torch.load(there["naive"].saved)
        ours = there["nucleate"].seconds
        print(
            f"{options.rows} rows, {options.threads} threads, medians of {options.rounds} rounds, "
            f"load {os.getloadavg()[0]:.1f}\n\n"
            "| | seconds | time over ours | largest difference of a logit |\n|---|---|---|---|"
        )
        for label, worker in workers.items():
            if label not in there:
                print(f"| {LABELS[worker.name]} | {worker.facts['absent']} | | |")
                continue
            error = float((torch.load(worker.saved) - truth).abs().max())
            ratio = median(a / b for a, b in zip(worker.seconds, ours, strict=True))
            where = f"{LABELS[worker.name]}, torch {worker.facts['versions']['torch']}"
            print(f"| {where} | {median(worker.seconds):.2f} | {ratio:.2f} | {error:.0e} |")
        for worker in workers.values():
            worker.close()


def _who(options: argparse.Namespace) -> list[tuple[str, str]]:
    peers = [(name, sys.executable) for name in PEERS if name != "nnsight"]
    if options.peer_python != sys.executable:
        peers.append(("naive", options.peer_python))
    return [*peers, ("nnsight", options.peer_python)]


def whole_map(options: argparse.Namespace) -> None:
    """`causal_map` on the tasks and the model of the default run, with random weights."""
    from nucleate import PromptSet, causal_map
    from nucleate.prompts import Encoder
    from nucleate.studies import resolve
    from nucleate.tasks import synthetic, train_tokenizer
    from nucleate.training import build_model

    torch.set_num_threads(options.threads)
    config = resolve("default")
    taskset = synthetic(**config.synthetic.model_dump(), outputs="own", seed=0)
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    # Rows of new families and inputs come on top, and are not tested.
    prompts = PromptSet.from_taskset(taskset, encoder, rows=options.rows, seed=0)
    model = build_model(config.model, vocab_size=encoder.vocab_size, max_length=32, seed=0).eval()
    seconds = []
    for _ in range(options.rounds):
        began = time.perf_counter()
        found = causal_map(model, prompts)
        seconds.append(time.perf_counter() - began)
    print(
        f"causal_map: {len(found.table)} places, {int(found.table['rows'].iloc[0])} rows, "
        f"{options.threads} threads, load {os.getloadavg()[0]:.1f}: {median(seconds):.1f} s "
        f"(median of {options.rounds}; target 20 s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/intervene")
    add = parser.add_argument
    add("--map", action="store_true", help="time `causal_map` itself, without peers")
    add("--rows", type=int, help="rows; 300, and 1000 for --map")
    add("--rounds", type=int, default=3)
    add("--threads", type=int, default=2, help="compute threads of torch")
    add("--peer-python", default=sys.executable, help="interpreter of nnsight")
    options = parser.parse_args()
    options.rows = options.rows or (1000 if options.map else 300)
    whole_map(options) if options.map else compare(options)


if __name__ == "__main__":
    main()
