"""A million rows from disk: seconds and peak memory of a process that does nothing else.

python benchmarks/measure/out_of_core.py FILE K     # what the child process runs
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROWS, WIDTH, K = 1_000_000, 256, 100
_BLOCK = 50_000


def write(path: Path, rows: int) -> None:
    """Overlapping clusters in half precision."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(K, WIDTH, generator=generator) / 4
    x = torch.empty(rows, WIDTH, dtype=torch.float16)
    for start in range(0, rows, _BLOCK):
        part = x[start : start + _BLOCK]
        noise = torch.randn(part.shape, generator=generator)
        part.copy_(noise + centers[torch.arange(start, start + len(part)) % K])
    save_file({"states": x}, path)


def run(rows: int) -> dict[str, Any]:
    """What the child process says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.safetensors"
        write(path, rows)
        answer = subprocess.run(
            [sys.executable, __file__, str(path), str(K)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return dict(json.loads(answer.stdout))


def main() -> None:
    from nucleate.metrics.clusters._streaming import kmeans_streaming

    imported = _peak()
    start = time.perf_counter()
    found = kmeans_streaming(sys.argv[1], int(sys.argv[2]), tensor="states", standardized=True)
    seconds = time.perf_counter() - start
    truth = torch.arange(len(found.labels)) % K
    table = torch.zeros(K, K).index_put_((truth, found.labels.long()), torch.ones(()), True)
    facts = {
        "seconds": seconds,
        "passes": found.passes,
        "converged": found.converged,
        "imported": imported,
        "peak": _peak(),
        "purity": float(table.amax(1).sum() / len(truth)),
    }
    print(json.dumps(facts))


def _peak() -> int:
    """Bytes. Linux's `ru_maxrss` of a new process begins with its parent's, `VmHWM` does not."""
    status = Path("/proc/self/status")
    if status.exists():
        found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(found.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
