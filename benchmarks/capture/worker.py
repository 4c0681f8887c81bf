"""One peer in a process of its own: reads when told to, and says how long that took.

The benchmark starts one worker a peer, with `PEER MODEL PROBE ROWS THREADS TRUTH` on its command
line, and lets them take turns: a line on standard input is one timed reading. Answers are JSON
lines on standard output; whatever libraries print goes to standard error.
"""

import gc
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from materials import SHAPES, Rows, Shape, build, draw, streams
from peers import PEERS, Peer, Read, States, single_rows


def peak_extra(call: Callable[[], States | None]) -> tuple[States | None, int]:
    """What a call returns, and by how many bytes resident memory rose at most during it.

    Linux keeps the peak itself and lets a process reset it; elsewhere a thread samples.
    """
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before, peak = _status("VmRSS"), lambda: _status("VmHWM")
    except OSError:
        before, peak = _sampled()
    found = call()
    return found, peak() - before


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def _sampled() -> tuple[int, Callable[[], int]]:
    import psutil

    process, ended, highest = psutil.Process(), threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.001):
            highest[0] = max(highest[0], process.memory_info().rss)

    before = process.memory_info().rss
    threading.Thread(target=watch, daemon=True).start()

    def peak() -> int:
        ended.set()
        return max(highest[0], process.memory_info().rss)

    return before, peak


def error_of(found: States | None, shape: Shape, truth: Path) -> dict[str, Any]:
    """Largest relative error of a state vector, over streams, positions and rows."""
    if found is None:
        return {"error": None, "missing": None}
    names, values = found
    every = streams(shape)
    worst = 0.0
    wanted = np.load(truth, mmap_mode="r")
    for name, states in zip(names, values, strict=True):
        right = torch.from_numpy(np.array(wanted[every.index(name)]))
        error = (states.float() - right).norm(dim=-1) / right.norm(dim=-1)
        worst = max(worst, float(error.nan_to_num(nan=float("inf")).max()))
    return {"error": worst, "missing": [name for name in every if name not in names]}


def first(read: Read, shape: Shape, rows: Rows, truth: Path) -> dict[str, Any]:
    """Memory and error of the first reading, after two rows that load whatever is lazy."""
    read(rows.take(np.arange(2)))
    found, extra = peak_extra(lambda: read(rows))
    size = 0 if found is None else found[1].numel() * found[1].element_size()
    return {
        "peak_extra_bytes": extra,
        "result_bytes": size,
        **error_of(found, shape, truth),
    }


def _versions(peer: Peer) -> dict[str, str]:
    from transformers import __version__

    return {
        "version": peer.version(),
        "stack": f"torch {torch.__version__}, transformers {__version__}",
        "kernels": torch.backends.cpu.get_cpu_capability(),
    }


def serve(answer: Callable[[dict[str, Any]], None]) -> None:
    name, model, prompts, count, threads, truth = sys.argv[1:]
    torch.set_num_threads(int(threads))
    shape = SHAPES[model]
    rows = draw(prompts, int(count), shape.vocabulary)
    if name == "truth":
        np.save(truth, single_rows(shape, rows).numpy())
        answer({"saved": truth})
        return
    peer = PEERS[name]
    if reason := peer.absent():
        answer({"absent": reason})
        return
    read = peer.prepare(build(shape), shape)
    answer(_versions(peer) | first(read, shape, rows, Path(truth)))
    for _ in sys.stdin:
        gc.collect()
        began = time.perf_counter()
        read(rows)
        answer({"seconds": time.perf_counter() - began})


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def answer(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=out, flush=True)

    with torch.no_grad():
        try:
            serve(answer)
        except Exception as error:
            answer({"absent": f"failed: {type(error).__name__}: {str(error).splitlines()[0]}"})
            raise


if __name__ == "__main__":
    main()
