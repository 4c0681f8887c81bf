"""One peer in a process of its own, with `PEER ROWS THREADS LOGITS` on its command line.

A line on standard input is one timed map; the answer is a JSON line. The first map is not timed:
its logits are saved, to be compared.
"""

import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version

import torch
from materials import build, draw
from peers import PEERS


def main() -> None:
    name, rows, threads, saved = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(int(threads))
    model, work, peer = build(), draw(int(rows)), PEERS[name]
    try:
        torch.save(peer(model, work), saved)
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), file=answers, flush=True)
        return
    versions = {"torch": torch.__version__}
    for package in ("transformers", name):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from its sources
            continue
    print(json.dumps({"versions": versions}), file=answers, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        peer(model, work)
        print(json.dumps(time.perf_counter() - began), file=answers, flush=True)


if __name__ == "__main__":
    main()
