"""How often the first stage of the gate passes a model that has learned nothing, and one that has.

    python benchmarks/operate/gate.py [--folder runs] [--seeds 10] [--trained 3] [--run RUN ...]

Three kinds of runs of one small size, each judged by the shipped page `trial`:

- untrained: one step at a rate of 1e-12, so that the weights are fresh ones
- scrambled: trained on instructions that say nothing of the task (`--null scrambled`)
- trained: trained as it should be; a gate that passes nothing would look perfect without it

Also judged are the runs given with --run, such as those of `nucleate reproduce`. Runs that are in
the folder already are taken from there. Prints how many of each kind end with which verdict, with
a Wilson interval, and each criterion's verdicts.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from statsmodels.stats.proportion import proportion_confint

from nucleate.monitor import GateReport, read_evidence, read_page, run_gate
from nucleate.studies import reproduce, resolve

SIZE: dict[str, Any] = {
    "outputs": ["own"],
    "synthetic": {"tasks": 8},
    "model": {"depth": 3, "width": 64},
    "training": {"steps": 150},
    "recording": {"points": 4, "rows": 320},
    "panel": {"n_permutations": 199, "n_bootstraps": 100, "n_init": 5, "untrained": 3},
    "causal": {"rows": 160},
}
KINDS: dict[str, dict[str, Any]] = {
    "untrained": {"training": {"steps": 1, "learning_rate": 1e-12}, "recording": {"points": 2}},
    "scrambled": {"null": "scrambled"},
    # Eight tasks with one held-out pair each are eight strings, and the page asks for ten.
    "trained": {"synthetic": {"held_out_cells": 2}},
}


def config_of(kind: str, seed: int) -> Any:
    settings: dict[str, Any] = {"seed": seed}
    for name, value in SIZE.items():
        own = KINDS[kind].get(name, {})
        settings[name] = {**value, **own} if isinstance(value, dict) else value
    return resolve("default", **settings, **{k: v for k, v in KINDS[kind].items() if k == "null"})


def judged(run: Path) -> GateReport:
    return run_gate(read_page("trial"), read_evidence([run]))


def made(folder: Path, kind: str, seed: int) -> Path:
    """The run of a kind and seed; trained and measured where it is not there yet."""
    home = folder / f"{kind}-{seed}"
    run = home / "own"
    if not (run / "summary.json").exists():
        reproduce(config_of(kind, seed), home, threads=1)
    return run


def told(kind: str, reports: list[GateReport]) -> None:
    verdicts = Counter(report.verdict for report in reports)
    passes, n = verdicts["pass"], len(reports)
    low, high = proportion_confint(passes, n, method="wilson")
    print(f"{kind}: passes {passes} of {n} [{low:.2f}, {high:.2f}]; {dict(verdicts)}")
    for number, criterion in enumerate(reports[0].criteria):
        found = [report.criteria[number] for report in reports]
        values = sorted(each.value for each in found if each.value is not None)
        span = f"{values[0]:.2f} to {values[-1]:.2f}" if values else "no number"
        print(f"  {criterion.name}: {dict(Counter(each.verdict for each in found))}; {span}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/gate"))
    parser.add_argument("--seeds", type=int, default=10, help="of untrained and scrambled each")
    parser.add_argument("--trained", type=int, default=3, help="seeds of trained models")
    parser.add_argument("--run", type=Path, action="append", default=[])
    asked = parser.parse_args()
    counts = {"untrained": asked.seeds, "scrambled": asked.seeds, "trained": asked.trained}
    print(f"thresholds of the page trial: {read_page('trial').digest[:12]}")
    for kind, count in counts.items():
        runs = [made(asked.folder, kind, seed) for seed in range(1000, 1000 + count)]
        if runs:
            told(kind, [judged(run) for run in runs])
    for run in asked.run:
        report = judged(run)
        print(f"{run}: {report.verdict}")
        for each in report.criteria:
            print(f"  {each.sentence}")


if __name__ == "__main__":
    main()
