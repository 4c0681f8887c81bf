"""The main job as a user runs it: ratios to the training, time by part, memory, what came out.

    python benchmarks/reproduce.py --preset default --tasks synthetic --seeds 0 1 2
    ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 python benchmarks/reproduce.py --seeds 0

Ratios are of wall seconds within one run; the whole job is set against the longest training, as
runs are trained side by side where there are cores for it. The panel's own parts are processor
seconds. Every seed is a fresh process in a fresh folder; nothing that is written stays.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd


def run(options: argparse.Namespace, seed: int, folder: Path) -> dict[str, Any]:
    command = [
        *(sys.executable, "-c", "from nucleate.cli import main; main()", "reproduce", "--json"),
        *("--preset", options.preset, "--tasks", options.tasks, "--seed", str(seed)),
        *("--out", str(folder), "--quiet", *(options.more or [])),
    ]
    if options.null:
        command += ["--null", options.null]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout) | {"wall": time.perf_counter() - began}


def best(panel: pd.DataFrame, position: str, view: str, step: int) -> tuple[float, float, float]:
    """ARI(task) at one step: the best block, the final norm, the embedding."""
    rows = panel[
        (panel["position"] == position) & (panel["view"] == view) & (panel["step"] == step)
        & (panel["label"] == "task") & (panel["metric"] == "ari") & (panel["half"] == "all")
    ].set_index("stream")["value"]  # fmt: skip
    blocks = rows[rows.index.str.startswith("block.")]
    return float(blocks.max()), float(rows["final_norm"]), float(rows["embed"])


def show_ratios(summary: dict[str, Any], run: Path) -> None:
    """Every part of a run beside its training, and the panel by its own parts."""
    training = summary["seconds"]["training"]
    ratios = {
        part: round(seconds / training, 3)
        for part, seconds in summary["seconds"].items()
        if part != "training"
    }
    print(f"  {summary['name']}: panel / training {ratios['panel']:.2f} (at most .5); all {ratios}")
    parts = json.loads((run / "panel.json").read_text(encoding="utf-8"))["seconds"]
    total = sum(parts.values())
    shares = sorted(parts.items(), key=lambda item: -item[1])
    text = ", ".join(f"{name} {spent:.1f}" for name, spent in shares if spent > 0.01 * total)
    print(f"    panel, {total:.1f} s of processor: {text}")


def show(result: dict[str, Any], folder: Path) -> None:
    seconds = {name: round(value, 1) for name, value in result["seconds"].items()}
    print(f"  wall {result['wall']:.1f} s; parts {seconds}")
    longest = max(summary["seconds"]["training"] for summary in result["runs"])
    print(f"  whole job / training {result['wall'] / longest:.2f} (at most 1.8)")
    for summary in result["runs"]:
        show_ratios(summary, folder / summary["name"])
        panel = pd.read_csv(folder / summary["name"] / "panel.csv")
        first, last = panel["step"].min(), panel["step"].max()
        peak, share = summary["peak_memory_bytes"] / 2**30, summary["recording_share"]
        accuracy = {split: round(a["value"], 3) for split, a in summary["accuracy"].items()}
        print(f"  {summary['name']}: peak {peak:.2f} GiB, recording {share:.1%} of training")
        print(f"    accuracy {accuracy}")
        for position, found in summary["clusters"].items():
            block, norm, embed = best(panel, position, found["view"], last)
            start, _, embed_first = best(panel, position, found["view"], first)
            print(
                f"    {position} ({found['view']}): ARI best block {block:.2f}, final_norm "
                f"{norm:.2f}, embed {embed:.2f} (change {embed - embed_first:+.2f}); best block "
                f"at step 0 {start:.2f}; verdict {found['verdict']} at {found['stream']} "
                f"{found['last']:.2f} [{found['low']:.2f}, {found['high']:.2f}], "
                f"nulls {found['null']}, onset {found['onset']}"
            )
        for name in ("strongest_shift", "strongest_erase"):
            if (top := summary[name]) is not None:
                print(
                    f"    {name.replace('_', ' ')} {top['value']:.2f} at "
                    f"{top['stream']}/{top['position']} [{top['low']}, {top['high']}]"
                )
        verdicts = Counter(place["verdict"] for place in summary["places"])
        print(f"    places {dict(verdicts)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--tasks", default="synthetic")
    parser.add_argument("--null")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--more", nargs="*", help="further options of nucleate reproduce")
    options = parser.parse_args()
    for seed in options.seeds:
        print(f"{options.tasks}, {options.preset}, seed {seed}, null {options.null}")
        with tempfile.TemporaryDirectory() as folder:
            show(run(options, seed, Path(folder)), Path(folder))


if __name__ == "__main__":
    main()
