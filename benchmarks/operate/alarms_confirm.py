"""Whether the package's limits hold on trainings that were not there when they were set.

    python -m benchmarks.operate.alarms_confirm FOLDER [--healthy 200] [--faults 20] [--others 40]
        [--jobs 1]

Seeds are disjoint from those of `benchmarks.operate.alarms`. Every training is judged as `nucleate
watch` does it where nobody gives reference runs: by the limits as they are shipped. FOLDER keeps
the series; what is there is not made again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.operate.alarm_trainings import FAULTS, Setting
from benchmarks.operate.alarms import (
    OTHERS,
    WITHIN,
    first_after,
    interval,
    lowers,
    make,
    path_of,
    settings,
)  # fmt: skip

FRESH = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--healthy", type=int, default=200)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--others", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    wanted = settings(given.healthy, given.faults, given.others)
    wanted = [replace(each, seed=each.seed + FRESH) for each in wanted]
    make(given.folder, wanted, given.jobs)
    healthy(given.folder, wanted)
    faults(given.folder, wanted)


def healthy(folder: Path, wanted: list[Setting]) -> None:
    from nucleate.monitor.alarms import Series, alarms_of, standard

    limits = standard()
    for name, kind in {"small": Setting(), **OTHERS}.items():
        runs = [each for each in wanted if replace(each, seed=0) == kind]
        count, statistics = 0, dict[str, int]()
        for each in runs:
            alarms = alarms_of(Series.load(path_of(folder, each)), limits)
            count += bool(alarms)
            for statistic in {alarm.statistic for alarm in alarms}:
                statistics[statistic] = statistics.get(statistic, 0) + 1
        print(f"healthy, {name}: with an alarm {interval(count, len(runs))} {statistics}")


def faults(folder: Path, wanted: list[Setting]) -> None:
    from nucleate.monitor.alarms import Series, alarms_of, standard

    limits = standard()
    for fault in FAULTS:
        worse, found, tasks = 0, 0, 0
        for each in (setting for setting in wanted if setting.fault == fault):
            series = Series.load(path_of(folder, each))
            if not lowers(series, each.at):
                continue
            worse += 1
            alarms = alarms_of(series, limits)
            delay = first_after(alarms, each.at)
            found += delay is not None and delay <= WITHIN
            tasks += any(
                each.at < alarm.step <= each.at + WITHIN and alarm.tasks for alarm in alarms
            )
        if worse:
            print(f"{fault}: found within {WITHIN} steps {interval(found, worse)} of those made "
                  f"worse; tasks named in {tasks}")  # fmt: skip


if __name__ == "__main__":
    main()
