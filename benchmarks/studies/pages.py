"""The pages that are measured, a study as a process of its own, and what else keeps the machine."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import yaml

# Nothing is linked to a size: a run takes a few seconds, most of them in panel and training.
_TINY = {
    "preset": "smoke",
    "outputs": ["own"],
    "synthetic": {"tasks": 3, "families": 2, "inputs": 3, "strings": 4, "unseen_strings": 2},
    "model": {"depth": 1, "width": 8, "heads": 2},
    "training": {"steps": 16, "batch_size": 16, "checkpoint_every": 4, "device": "cpu"},
    "recording": {"points": 4, "rows": 36},
    "panel": {"n_init": 1, "n_permutations": 19, "n_bootstraps": 20, "untrained": 1,
              "keyframes": 2},
    "causal": {"rows": 18},
}  # fmt: skip
_SMOKE = {"preset": "smoke", "outputs": ["own"], "training": {"device": "cpu"}}


def write_page(folder: Path, *, runs: int, quick: bool) -> Path:
    """A page of runs that differ in their seeds alone, so all are of one size."""
    page = folder / "page.yaml"
    content: dict[str, Any] = {"base": _TINY if quick else _SMOKE, "seeds": list(range(runs))}
    page.write_text(yaml.safe_dump(content), encoding="utf-8")
    return page


def begin_study(page: Path, out: Path, executor: str, *more: str) -> subprocess.Popen[bytes]:
    """`nucleate study run`, with one thread in every process."""
    words = ["study", "run", str(page), "--out", str(out), "--executor", executor, "--quiet", *more]
    return subprocess.Popen(
        [sys.executable, "-c", "from nucleate.cli import main; main()", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def cores_kept_by_others() -> float:
    """Cores that are busy before we begin, over a second.

    Not meanwhile: workers are no children of the study's process, so that their time could not be
    told from that of others.
    """
    return psutil.cpu_percent(interval=1.0) / 100 * (psutil.cpu_count() or 1)
