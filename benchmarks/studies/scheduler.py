"""How busy a study keeps two cores: its runs on two workers, against one after the other.

Both have one thread a process. The order alternates from round to round, and the number is the
median of the rounds' ratios. What others did on the machine just before stands beside it: where
they leave no core free, two workers get twice the share of one, and the ratio says nothing of the
study.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pages import begin_study, cores_kept_by_others, write_page

ASKED = 0.6
_MOST_OTHERS = 0.2
"""Cores that others may keep."""


@dataclass(frozen=True)
class Sitting:
    seconds: float
    others: float


def sitting(page: Path, executor: str, *more: str) -> Sitting:
    """A whole study into a fresh folder, start of the program included."""
    with tempfile.TemporaryDirectory() as folder:
        others, began = cores_kept_by_others(), time.perf_counter()
        study = begin_study(page, Path(folder) / "out", executor, *more)
        _, said = study.communicate()
        seconds = time.perf_counter() - began
        if study.returncode:
            raise SystemExit(said.decode())
        return Sitting(seconds, others)


def scheduler(*, quick: bool, runs: int, rounds: int) -> None:
    """Print a line a round, and the median."""
    ratios, disturbed = [], 0
    with tempfile.TemporaryDirectory() as folder:
        page = write_page(Path(folder), runs=runs, quick=quick)
        print(f"scheduler: {runs} runs of one size, one thread a process")
        print("round  first  side by side  one after the other  ratio  cores kept by others")
        for number in range(rounds):
            ways = {"two": ("process", "--workers", "2"), "one": ("inline",)}
            order = list(ways) if number % 2 == 0 else list(ways)[::-1]
            took = {name: sitting(page, *ways[name]) for name in order}
            two, one = took["two"], took["one"]
            ratios.append(two.seconds / one.seconds)
            disturbed += max(two.others, one.others) > _MOST_OTHERS
            print(
                f"{number + 1:5}  {order[0]:5}  {two.seconds:10.1f} s  {one.seconds:17.1f} s  "
                f"{ratios[-1]:5.2f}  {two.others:.2f} and {one.others:.2f}",
                flush=True,
            )
    print(f"median ratio {median(ratios):.2f}; asked: at most {ASKED}")
    if disturbed:
        print(f"in {disturbed} of {rounds} rounds others kept more than {_MOST_OTHERS} cores busy")
