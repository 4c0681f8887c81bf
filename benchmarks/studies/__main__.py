"""Studies over many runs: do they keep two cores busy, and do kills cost a result?

python benchmarks/studies                # 12 runs of `smoke` size, 3 rounds; 10 kills
python benchmarks/studies --quick        # 6 runs of seconds, 1 round; 4 kills
python benchmarks/studies --only kills --seed 7
"""

import argparse

from kills import kills
from scheduler import scheduler


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["scheduler", "kills"])
    parser.add_argument("--rounds", type=int, help="of the scheduler")
    parser.add_argument("--kills", type=int, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of times and targets of the kills")
    asked = parser.parse_args()
    quick, runs = asked.quick, 6 if asked.quick else 12
    if asked.only != "kills":
        scheduler(quick=quick, runs=runs, rounds=asked.rounds or (1 if quick else 3))
    if asked.only != "scheduler":
        kills(quick=quick, runs=runs, count=asked.kills or (4 if quick else 10), seed=asked.seed)


if __name__ == "__main__":
    main()
