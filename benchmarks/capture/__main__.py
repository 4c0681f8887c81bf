"""Reading hidden states, nucleate beside its peers; and what recording costs a training.

    python benchmarks/capture                           # every peer, both models, both prompt sets
    python benchmarks/capture --recording               # 40 snapshots in 2,000 steps
    python benchmarks/capture --models tiny --rounds 2  # a trial; its ratios mean nothing

TransformerLens and nnsight are not needed: a peer that is not installed is named as absent.
Where they live in another environment, give its interpreter to --peer-python.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from materials import PROBES, SHAPES, draw
from peers import BATCH, PEERS
from recording_cost import LOOPS, compare
from tables import (
    READING_NOTES,
    RECORDING_NOTES,
    heading,
    machine,
    reading_table,
    recording_table,
)

HERE = Path(__file__).parent
THIRD_PARTIES = ("transformer_lens", "nnsight")


class Worker:
    """A peer's process, and the line on which it is spoken to."""

    def __init__(self, python: str, arguments: list[str], threads: int) -> None:
        places = [str(HERE.parents[1] / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {
            "PYTHONPATH": os.pathsep.join(places),
            "OMP_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        self._process = subprocess.Popen(
            [python, str(HERE / "worker.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | settings,
        )

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"absent": f"failed: its process ended with {self._process.wait()}"}
        return dict(json.loads(line))

    def seconds(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        return float(self.answer()["seconds"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def read_all(options: argparse.Namespace, model: str, prompts: str) -> dict[str, Any]:
    """Every peer on one model and one prompt set.

    All processes live at once and take turns: in each round every peer reads all rows once, the
    first in turn being another each time, so that a machine whose speed drifts is fair to all.
    """
    shape = SHAPES[model]
    rows = draw(prompts, options.rows or shape.rows, shape.vocabulary)
    # Without anything to share it would be the same as `capture`.
    names = [name for name in options.peers if (name, prompts) != ("unshared", "mixed")]
    facts: dict[str, dict[str, Any]] = {}
    workers: dict[str, Worker] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        truth = str(Path(folder) / "truth.npy")
        for name in ("truth", *names):
            third = name != "truth" and PEERS[name].needs[0] in THIRD_PARTIES
            python = options.peer_python if third else sys.executable
            arguments = [name, model, prompts, str(len(rows)), str(options.threads), truth]
            worker = Worker(python, arguments, options.threads)
            stack.callback(worker.close)
            found = worker.answer()
            if name == "truth":
                if "saved" not in found:
                    raise RuntimeError(f"no states of single rows: {found['absent']}")
                continue
            facts[name] = found | {"seconds": []}
            if "absent" not in found:
                workers[name] = worker
            say(f"{shape.label}, {prompts}: {name} {found.get('absent', 'ready')}")
        for turn in range(options.rounds):
            order = list(workers)
            for name in order[turn % len(order) :] + order[: turn % len(order)]:
                facts[name]["seconds"].append(workers[name].seconds())
            say(f"{shape.label}, {prompts}: round {turn + 1} of {options.rounds}")
    return {
        "model": shape.label,
        "vocabulary": shape.vocabulary,
        "streams": shape.depth + 2,
        "prompts": prompts,
        "rows": len(rows),
        "tokens": int(rows.lengths.sum()),
        "padded_tokens": rows.padded(BATCH),
        "batch": BATCH,
        "peers": facts,
    }


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/capture", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--rounds", type=int, help="timed rounds; 5 for readings, 3 for --recording")
    add("--threads", type=int, default=2, help="compute threads of torch (default 2)")
    add("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    reading = parser.add_argument_group("readings")
    add = reading.add_argument
    add("--models", nargs="+", choices=SHAPES, default=["gpt2", "llama"])
    add("--prompt-sets", nargs="+", choices=PROBES, default=list(PROBES))
    add("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    add("--rows", type=int, help="rows of a prompt set; the model's own number if not given")
    add("--peer-python", default=sys.executable, help="interpreter of TransformerLens and nnsight")
    recording = parser.add_argument_group("recording")
    add = recording.add_argument
    add("--recording", action="store_true", help="measure a training instead of readings")
    add("--loops", nargs="+", choices=LOOPS, default=list(LOOPS))
    add("--steps", type=int, default=2000)
    add("--snapshots", type=int, default=40)
    add("--depth", type=int, default=6, help="blocks of the GPT-2 that is trained")
    add("--width", type=int, default=96)
    add("--vocabulary", type=int, default=1024)
    add("--train-rows", type=int, default=32, help="rows of 40 tokens in a training batch")
    add("--prompts-rows", type=int, default=512, help="rows of the crossed prompt set")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.recording else 5)
    return options


def main() -> None:
    options = parse()
    results: dict[str, Any] = {"machine": machine(options.threads), "rounds": options.rounds}
    kind = "recording" if options.recording else "readings"
    results[kind] = []
    print(heading(results), flush=True)
    for found, report in recordings(options) if options.recording else readings(options):
        results[kind].append(found)
        print(report, flush=True)
        if options.json:  # anew after every part: what is measured is kept if the next one fails
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(RECORDING_NOTES if options.recording else READING_NOTES)


def readings(options: argparse.Namespace) -> Iterator[tuple[dict[str, Any], str]]:
    for model in options.models:
        for prompts in options.prompt_sets:
            found = read_all(options, model, prompts)
            yield found, reading_table(found)


def recordings(options: argparse.Namespace) -> Iterator[tuple[dict[str, Any], str]]:
    for loop in options.loops:
        found = compare(options, loop, say)
        yield found, recording_table(found)


if __name__ == "__main__":
    main()
