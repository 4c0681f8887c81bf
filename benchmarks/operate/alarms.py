"""How often alarms are false, and how soon faults are found, over small trainings.

    python -m benchmarks.operate.alarms make FOLDER [--healthy 240] [--faults 20] [--jobs 1]
    python -m benchmarks.operate.alarms show FOLDER [--write]
    python -m benchmarks.operate.alarms cost

`make` trains (some four seconds of a core each) and keeps the series in FOLDER; what is there is
not made again. `show` prints the tables. `--write` puts the worst of the healthy runs into the
package, from which limits follow where nobody gives reference runs. `cost` takes the time of the
series beside that of the training.

Healthy runs differ in their seed (weights, batches). With references: for each tenth of the runs
some of the others are drawn. Without: the limits come from the other nine tenths of the runs, at
half the rate, as the package's do. Either way no run is judged by limits that it took part in.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from benchmarks.operate.alarm_trainings import FAULTS, Setting, Training

OTHERS = {
    "gpt2, 64 wide": Setting(arch="gpt2", width=64),
    "own outputs": Setting(outputs="own"),
    "16 tasks": Setting(tasks=16, batch=128),
}


def path_of(folder: Path, setting: Setting) -> Path:
    parts = [
        setting.arch, setting.width, setting.tasks, setting.outputs, setting.rate, setting.steps,
        (setting.fault or "healthy").replace(" ", "-"), setting.at, setting.seed,
    ]  # fmt: skip
    return folder / ("_".join(map(str, parts)) + ".json")


def make_one(folder: Path, setting: Setting) -> str:
    import torch

    from nucleate.monitor.alarms import Gauge, Series

    torch.set_num_threads(1)
    path = path_of(folder, setting)
    if path.exists():
        return path.name
    training = Training(setting)
    gauge = Gauge(training.prompts)
    series = None
    for reading in training.readings():
        if series is None:
            columns = gauge.columns(reading.states.streams)
            series = Series(path.stem, gauge.tasks, columns, gauge.prompts_hash, [])
        numbers = gauge.read(reading.step, reading.states, reading.scores, reading.training_loss)
        series.numbers.append(numbers)
    assert series is not None
    series.save(path)
    path.with_suffix(".pair").write_text(json.dumps(training.pair))
    return path.name


def settings(healthy: int, faults: int, others: int) -> list[Setting]:
    base = Setting()
    found = [replace(base, seed=seed) for seed in range(healthy)]
    # Faults at different steps, of seeds that no healthy run has.
    for fault in FAULTS:
        for number in range(faults):
            at = 100 + 5 * (number % 5)
            steps = at + 55
            found.append(replace(base, seed=10_000 + number, fault=fault, at=at, steps=steps))
    for setting in OTHERS.values():
        found += [replace(setting, seed=20_000 + number) for number in range(others)]
    return found


def make(folder: Path, wanted: list[Setting], jobs: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for count, _ in enumerate(pool.map(make_one, [folder] * len(wanted), wanted), 1):
            if count % 20 == 0:
                print(f"{count}/{len(wanted)} {time.monotonic() - began:.0f} s", flush=True)


FOLDS = 10
REFERENCES = 60
CAUTION = 2  # without references the package's limits are held to half the rate
WITHIN = 50
WORSE = "(accuracy down by .05 or more within 50 steps)"
FAMILIES: dict[str, list[str] | None] = {
    "all": None, "states": ["states"], "answers by task": ["answers"],
    "loss and accuracy": ["loss"], "training loss": ["training"],
}  # fmt: skip


def interval(count: int, of: int) -> str:
    """Clopper-Pearson, 95 %."""
    from scipy.stats import binomtest

    low, high = binomtest(count, of).proportion_ci()
    return f"{count}/{of} = {count / of:.3f} [{low:.3f}, {high:.3f}]"


def against(worst, rate: float, sources, references=()):
    """A standard whose limits are over some statistics only."""
    from nucleate.monitor.alarms import Standard, limits_from

    loss, training = (limits_from(worst, rate, [name]) for name in ("loss", "training"))
    return Standard(limits_from(worst, rate, sources), loss, training, tuple(references))


def first_after(alarms, at: int) -> int | None:
    """Steps from the fault to the first alarm."""
    return min((alarm.step - at for alarm in alarms if alarm.step > at), default=None)


def falls_of(series, at: int, statistic: str) -> np.ndarray:
    """How far a share falls below that at the fault, by column, at each reading after it."""
    steps, values = list(series.steps), series.values
    columns = [k for k, column in enumerate(series.columns) if column.statistic == statistic]
    first, last = steps.index(at), steps.index(at + WITHIN)
    return values[first, columns] - values[first + 1 : last + 1][:, columns]


def lowers(series, at: int) -> bool:
    """Whether accuracy falls by .05 or more, or is lost, within 50 steps of the fault."""
    falls = falls_of(series, at, "accuracy")
    return bool(np.isnan(falls).any() or falls.max() >= 0.05)


class Shown:
    """The series of a folder, and the tables of them."""

    def __init__(self, folder: Path, wanted: list[Setting], rate: float) -> None:
        from nucleate.monitor.alarms import Series, worst_of

        self.folder, self.rate = folder, rate
        self.random = np.random.default_rng(0)
        known = {each: path_of(folder, each) for each in wanted}
        self.series = {each: Series.load(path) for each, path in known.items() if path.exists()}
        plain = [each for each in self.series if each.fault is None]
        base = Setting()
        self.healthy = [self.series[e] for e in plain if replace(e, seed=0) == base]
        self.faulty = [each for each in self.series if each.fault is not None]
        self.worst = worst_of(self.healthy, bands=False, origin=ORIGIN)
        self.fold = self.random.permutation(len(self.healthy)) % FOLDS

    def healthy_rates(self) -> None:
        from nucleate.monitor.alarms import Worst, alarms_of, standard

        print(f"\nHealthy trainings with an alarm, {len(self.healthy)} runs, rate {self.rate:g}")
        for name, sources in FAMILIES.items():
            count, kinds = 0, {}
            for fold in range(FOLDS):
                kept = Worst(self.worst.names, self.worst.table[self.fold != fold], "")
                limit = against(kept, self.rate / CAUTION, sources)
                for index in np.flatnonzero(self.fold == fold):
                    alarms = alarms_of(self.healthy[index], limit)
                    count += bool(alarms)
                    for kind in {alarm.statistic for alarm in alarms}:
                        kinds[kind] = kinds.get(kind, 0) + 1
            print(f"  own past, {name}: {interval(count, len(self.healthy))} {kinds}")
        for size in (19, 30, REFERENCES):
            count, kinds = 0, {}
            for fold in range(FOLDS):
                others = self.random.permutation(np.flatnonzero(self.fold != fold))[:size]
                limit = standard([self.healthy[k] for k in others], rate=self.rate)
                for index in np.flatnonzero(self.fold == fold):
                    alarms = alarms_of(self.healthy[index], limit)
                    count += bool(alarms)
                    for kind in {(alarm.rule, alarm.statistic) for alarm in alarms}:
                        kinds[kind] = kinds.get(kind, 0) + 1
            print(f"  {size} reference runs: {interval(count, len(self.healthy))} {kinds}")

    def other_rates(self) -> None:
        from nucleate.monitor.alarms import alarms_of, standard

        print("\nHealthy trainings of other kinds with an alarm")
        limit = against(self.worst, self.rate / CAUTION, None)
        for name, setting in OTHERS.items():
            own = [s for e, s in self.series.items() if replace(e, seed=0) == setting]
            if not own:
                continue
            count = sum(bool(alarms_of(each, limit)) for each in own)
            line = f"  {name}: limits of the package {interval(count, len(own))}"
            if len(own) >= 2 * 19:
                half = len(own) // 2
                there = standard(own[:half], rate=self.rate)
                count = sum(bool(alarms_of(each, there)) for each in own[half:])
                line += f"; {half} of their own as references {interval(count, len(own) - half)}"
            print(line)

    def faults(self) -> None:
        from nucleate.monitor.alarms import worst_of

        some = [self.healthy[k] for k in self.random.permutation(len(self.healthy))[:REFERENCES]]
        with_bands = worst_of(some, bands=True)
        for title, worst, references, rate in (
            ("own past only", self.worst, (), self.rate / CAUTION),
            (f"{REFERENCES} reference runs", with_bands, some, self.rate),
        ):
            print(f"\nFaults, {title}: found within {WITHIN} steps, median steps of those found")
            limits = {
                name: against(worst, rate, sources, references)
                for name, sources in FAMILIES.items()
            }
            for fault in FAULTS:
                self._fault(fault, limits)

    def _fault(self, fault: str, limits) -> None:
        from nucleate.monitor.alarms import alarms_of

        runs = [each for each in self.faulty if each.fault == fault]
        if not runs:
            return
        raised = {
            name: [alarms_of(self.series[each], limit) for each in runs]
            for name, limit in limits.items()
        }
        delay = {
            name: [first_after(a, each.at) for a, each in zip(alarms, runs, strict=True)]
            for name, alarms in raised.items()
        }
        lowered = [lowers(self.series[each], each.at) for each in runs]
        print(f"  {fault}, {len(runs)} runs, {sum(lowered)} of which it makes worse {WORSE}")
        for name, values in delay.items():
            found = [v is not None and v <= WITHIN for v in values]
            steps = [v for v, known in zip(values, found, strict=True) if known]
            middle = f"{np.median(steps):.0f}" if steps else "-"
            worse = sum(f for f, low in zip(found, lowered, strict=True) if low)
            early = sum(
                any(alarm.step <= each.at for alarm in alarms)
                for alarms, each in zip(raised[name], runs, strict=True)
            )
            line = f"    {name:18} all {interval(sum(found), len(runs))}"
            if 0 < sum(lowered) < len(runs):
                line += f"; of those made worse {interval(worse, sum(lowered))}"
            print(f"{line}; median {middle} steps; before the fault {early}")
        for other in ("loss and accuracy", "training loss"):
            for ours in ("all", "states"):
                print(f"    {ours} against {other}: {lead(delay[ours], delay[other])}")
        if fault in ("mixed labels", "narrow"):
            self._named(fault, runs, raised["all"])

    def _named(self, fault: str, runs: list[Setting], raised) -> None:
        """Whether the tasks that the fault is about are those that the alarms name."""
        exact, among, others, shares, had = 0, 0, 0, [], 0
        for each, alarms in zip(runs, raised, strict=True):
            pair = json.loads(path_of(self.folder, each).with_suffix(".pair").read_text())
            inside = [a for a in alarms if each.at < a.step <= each.at + WITHIN and a.tasks]
            named = {task for alarm in inside for task in alarm.tasks}
            tasks = self.series[each].tasks
            falls = falls_of(self.series[each], each.at, "right")[-1]
            if fault == "mixed labels":
                wanted = set(pair)
            else:
                wanted = {task for task, fall in zip(tasks, falls, strict=True) if fall >= 0.3}
            had += bool(wanted)
            exact += bool(wanted) and named == wanted
            among += bool(wanted) and (
                wanted <= named if fault == "mixed labels" else bool(wanted & named)
            )
            shares.append(len(wanted & named) / max(1, len(wanted)) if wanted else np.nan)
            sound = {task for task, fall in zip(tasks, falls, strict=True) if fall < 0.1}
            others += len(named & (sound - wanted))
        if fault == "mixed labels":
            print(f"    the pair named: {interval(among, had)}, no other task: {exact}/{had}")
        elif had:
            share = f"mean share of them named {np.nanmean(shares):.2f}"
            print(
                f"    of the runs with tasks down by .3 or more, one named {interval(among, had)}"
            )
            print(f"    {share}")
        print(f"    tasks named that lost less than .1: {others} in all runs")

    def write(self) -> None:
        """Put the worst of the healthy runs into the package."""
        from nucleate.monitor import alarms

        place = Path(alarms.__file__).parent / "healthy.json"
        rows = [[None if np.isnan(v) else round(float(v), 4) for v in r] for r in self.worst.table]
        known = {"origin": self.worst.origin, "names": self.worst.names, "worst": rows}
        place.write_text(json.dumps(known, separators=(",", ":")) + "\n", encoding="utf-8")
        print(f"wrote {place.name}: {len(rows)} runs")


def cost() -> None:
    """CPU time of the series and the rules beside that of the training, reading not counted."""
    import torch

    from nucleate.monitor.alarms import Gauge, Watch, standard
    from nucleate.monitor.alarms._series import empty_series

    torch.set_num_threads(1)
    print("CPU time of the series and the rules over that of the training alone")
    for name, setting in {"small": Setting(), **OTHERS}.items():
        shares = []
        for seed in range(3):
            training = Training(replace(setting, seed=seed))
            gauge, watch, spent = Gauge(training.prompts), None, 0.0
            for reading in training.readings():
                if watch is None:
                    empty = empty_series("cost", gauge, reading.states.streams)
                    watch = Watch(empty, standard())
                began = time.process_time()
                watch.add(
                    gauge.read(reading.step, reading.states, reading.scores, reading.training_loss)
                )
                spent += time.process_time() - began
            shares.append(spent / training.seconds)
        readings = setting.steps // setting.every + 1
        print(
            f"  {name}: {' '.join(f'{share:.2%}' for share in shares)} ({setting.steps} steps in "
            f"{training.seconds:.1f} s, {readings} readings of {spent / readings * 1e3:.1f} ms)"
        )


ORIGIN = (
    "small Llama models (2 blocks, 48 wide) trained for 200 steps on 8 synthetic tasks with shared "
    "answers, read every 5 steps"
)


def lead(ours: list[int | None], theirs: list[int | None]) -> str:
    """By how many steps ours is earlier, run by run; None never."""
    pairs = list(zip(ours, theirs, strict=True))
    both = [b - a for a, b in pairs if a is not None and b is not None]
    middle = f"median {np.median(both):+.0f} steps" if both else "never both"
    earlier, later = sum(d > 0 for d in both), sum(d < 0 for d in both)
    only = sum(a is not None and b is None for a, b in pairs)
    missed = sum(a is None and b is not None for a, b in pairs)
    return (
        f"{middle} (+ is earlier); earlier {earlier}, same {sum(d == 0 for d in both)}, later "
        f"{later}, only ours {only}, only theirs {missed}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["make", "show", "cost"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--healthy", type=int, default=240)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--others", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    wanted = settings(given.healthy, given.faults, given.others)
    if given.what == "cost":
        cost()
    elif given.folder is None:
        parser.error("name a folder")
    elif given.what == "make":
        make(given.folder, wanted, given.jobs)
    else:
        shown = Shown(given.folder, wanted, given.rate)
        if given.write:
            shown.write()
        shown.healthy_rates()
        shown.other_rates()
        shown.faults()


if __name__ == "__main__":
    main()
