"""How often the dynamics room says what is not there, and how often what is.

    python -m benchmarks.dynamics [--runs 400] [--seed 0] [--only onset]

Every line is a rate over simulated series whose answer is known, with a 95 % interval (Wilson).
False alarms may be 5 % and the binomial margin (the 99 % point of a rate that truly is 5 %). Lines
without a requirement say what a result can be fooled by, or how much of a stated effect is found.
The command fails if a requirement is missed.

The onset that an interval has to cover is the first recorded step from which the *expected* value
is above the band; over seeds, the median of it over all seeds that might have been drawn. Heights
are in standard errors (SE) of the value at one step.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom, binomtest, pearsonr
from tests.dynamics.made import autoregressive, learning_curve, logistic, ramp, resampled

from nucleate import dynamics

Rng = np.random.Generator
Simulated = Callable[[Rng], Any]
SE_BAND = 2.33
"""99 % point of a null distribution whose spread is one SE."""


@dataclass(frozen=True)
class Case:
    """One line: what is simulated, and what becomes of it (None: does not count)."""

    room: str
    what: str
    run: Simulated
    at_least: float = 0.0
    false_alarm: bool = False


def given(function: Callable[..., Any], *arguments: Any, **named: Any) -> Simulated:
    """The function with everything but the generator decided."""
    return lambda rng: function(rng, *arguments, **named)


def onset_covers(
    rng: Rng, steps: int, height: float, length: float, persistent: float, jitter: float = 0
) -> bool | None:
    """Ramps that start anywhere; those in which no onset is found do not count."""
    truth = height * ramp(steps, rng.integers(steps // 10, 2 * steps // 3), length * steps)
    band = 0.2 * height
    if truth[-1] <= band:
        return None
    values, draws = resampled(truth, rng, persistent)
    shaken = jitter * rng.standard_normal(steps)
    trajectory = dynamics.Trajectory(np.arange(steps), values + shaken, np.full(steps, band))
    found = dynamics.onset(trajectory, draws + shaken[:, None])
    if found.low is None or found.high is None:
        return None
    return bool(found.low <= int(np.argmax(truth > band)) <= found.high)


def no_onset(rng: Rng, steps: int, persistent: float, untrained: int, drawn: bool) -> bool:
    """Flat series under the 99 % point of their noise, or under the most of untrained models."""
    values, draws = resampled(np.zeros(steps), rng, persistent)
    band = np.full(steps, SE_BAND)
    if untrained:
        band = np.max([resampled(0 * values, rng, persistent)[0] for _ in range(untrained)], axis=0)
    trajectory = dynamics.Trajectory(np.arange(steps), values, band)
    return dynamics.onset(trajectory, draws if drawn else None).step is None


def begins(rng: Rng, seeds: int) -> np.ndarray:
    """Where the seeds' ramps begin of 100 steps: about a third, with heavy tails."""
    return np.clip(35 + 10 * rng.standard_t(3, seeds), 1, 60)


def seeds_of(
    rng: Rng, begin: np.ndarray, height: float, length: float, size: float = 1
) -> tuple[list[dynamics.Trajectory], list[np.ndarray]]:
    """A ramp of 100 steps and its resampled values for each seed; `size` is that of the noise."""
    made = [resampled(height * ramp(100, at, 100 * length), rng, size=size) for at in begin]
    steps, band = np.arange(100), np.full(100, 0.2 * height)
    return [dynamics.Trajectory(steps, values, band) for values, _ in made], [d for _, d in made]


def seeds_cover(rng: Rng, seeds: int, height: float, length: float, drawn: bool) -> bool:
    trajectories, draws = seeds_of(rng, begins(rng, seeds), height, length)
    found = dynamics.onset_over_seeds(trajectories, draws if drawn else None)
    truth = np.floor(35 + 20 * length) + 1
    assert found.low is not None
    return bool(found.low <= truth <= (np.inf if found.high is None else found.high))


def order_decided(
    rng: Rng, delay: float, height: float, length: float, size: float = 1, own: float = 3
) -> bool:
    """Two ramps a seed, each off the seed's begin by `own` steps, one of them delayed."""
    begin = begins(rng, 8)
    first, second = begin + own * rng.standard_normal((2, 8))
    a = seeds_of(rng, first, height, length)[0]
    b = seeds_of(rng, second + delay, height, length, size)[0]
    return dynamics.onset_order(a, b).verdict != "undecided"


def changes_found(rng: Rng, steps: int, phi: float, jump: float = 0, rise: float = 0) -> bool:
    """Any point; with a jump, one within 2 steps of it; with a rise, more than of ramps."""
    at = steps // 2
    values = autoregressive(phi, steps, rng)[0] + jump * (np.arange(steps) >= at)
    found = dynamics.change_points(
        np.arange(steps), values + rise * np.linspace(0, 1, steps), seed=int(rng.integers(2**31))
    )
    if rise:
        return len(found.points) > found.ramp_high
    return any(abs(point - at) <= 2 for point in found.points) if jump else bool(found.points)


def associated(rng: Rng, steps: int, how: str, shared: float = 0, phi: float = 0.5) -> bool:
    """Whether two learning curves correlate; `shared` is the correlation of their noise."""
    common = autoregressive(phi, steps, rng)[0]
    a, b = (
        learning_curve(steps, rng, noise=0.02 * np.sqrt(1 - shared), phi=phi)
        + 0.02 * np.sqrt(shared) * common
        for _ in range(2)
    )
    if how == "values":
        return bool(pearsonr(a, b).pvalue < 0.05)
    if how == "differences":
        return bool(pearsonr(np.diff(a), np.diff(b)).pvalue < 0.05)
    found = dynamics.association(np.arange(steps), a, b, 199, seed=int(rng.integers(2**31)))
    return found.p < 0.05


def phase_like(rng: Rng, curve: Simulated, noise: float, phi: float) -> bool:
    values = curve(rng)
    values = values + noise * autoregressive(phi, len(values), rng)[0]
    return dynamics.abruptness(np.arange(len(values)), values).phase_like


def logistic_curve(rng: Rng, width: float, steps: int = 60) -> np.ndarray:
    return logistic(steps, rng.uniform(0.3, 0.7), width)


def power_curve(rng: Rng, steps: int = 60) -> np.ndarray:
    t = np.linspace(0, 1, steps)
    return np.asarray(1 - (1 + t / rng.uniform(0.01, 0.1)) ** -rng.uniform(0.3, 2))


def goes_with(rng: Rng, how: str, effect: float = 0, tasks: int = 20, seeds: int = 6) -> bool:
    """A predictor and an outcome of tasks that return in every seed, half of it the task's own."""
    own = rng.standard_normal((2, tasks, 1)) + rng.standard_normal((2, tasks, seeds))
    own[1] = effect * own[0] + np.sqrt(1 - effect**2) * own[1] + rng.standard_normal(seeds)
    table = pd.DataFrame({
        "task": np.repeat(np.arange(tasks), seeds), "seed": np.tile(np.arange(seeds), tasks),
        "margin": own[0].ravel(), "accuracy": own[1].ravel(),
    })  # fmt: skip
    if how == "seed alone":
        table["task"] = np.arange(len(table))
    return dynamics.between_tasks(table).adjusted.p < 0.05


def onset_cases() -> list[Case]:
    covers = [
        ("ramp of a tenth of the training, 10 SE high, 40 steps", (40, 10, 0.1, 0.5)),
        ("ramp of half of it, 10 SE, 40 steps", (40, 10, 0.5, 0.5)),
        ("ramp of half of it, 5 SE, 120 steps", (120, 5, 0.5, 0.5)),
        ("... noise of each step its own", (120, 5, 0.5, 0.0)),
        ("... noise nine tenths persistent", (120, 5, 0.5, 0.9)),
        ("ramp of all of it, 40 SE, nine tenths persistent, 120 steps", (120, 40, 1.0, 0.9)),
    ]
    flats = [
        ("99 % point as band, 40 steps, draws", (40, 0.5, 0, True)),
        ("... without draws", (40, 0.5, 0, False)),
        ("largest of 5 untrained as band, draws", (40, 0.5, 5, True)),
        ("... noise nine tenths persistent", (40, 0.9, 5, True)),
    ]
    return [
        *[Case("onset covered", what, given(onset_covers, *a), 0.9) for what, a in covers],
        Case("onset covered", "ramp of half, 10 SE, shaken by 1 SE a step that no draw knows",
             given(onset_covers, steps=40, height=10, length=0.5, persistent=0.5, jitter=1)),
        *[Case("no onset if flat", what, given(no_onset, *a), 0.95) for what, a in flats],
        Case("no onset if flat", "largest of 5 untrained as band, without draws",
             given(no_onset, steps=40, persistent=0.5, untrained=5, drawn=False)),
    ]  # fmt: skip


def seed_cases() -> list[Case]:
    covers = [
        ("6 seeds, half of the training, 10 SE, draws", (6, 10, 0.5, True)),
        ("8 seeds, a tenth, 40 SE, draws", (8, 40, 0.1, True)),
        ("12 seeds, half, 5 SE, draws", (12, 5, 0.5, True)),
        ("6 seeds, half, 10 SE, without draws", (6, 10, 0.5, False)),
        ("8 seeds, a tenth, 40 SE, without draws", (8, 40, 0.1, False)),
    ]
    return [
        *[Case("median covered", what, given(seeds_cover, *a), 0.9) for what, a in covers],
        Case("median covered", "12 seeds, half, 5 SE, without draws",
             given(seeds_cover, seeds=12, height=5, length=0.5, drawn=False)),
        Case("order decided", "8 seeds, none is earlier, half of the training, 10 SE",
             given(order_decided, 0, 10, 0.5), false_alarm=True),
        Case("order decided", "... the second's noise 3 times as large",
             given(order_decided, 0, 10, 0.5, size=3)),
        Case("order decided", "the second later by 10 of 100 steps, a tenth, 40 SE",
             given(order_decided, 10, 40, 0.1)),
        Case("order decided", "the second later by 10 of 100 steps, half, 10 SE",
             given(order_decided, 10, 10, 0.5)),
    ]  # fmt: skip


def change_cases() -> list[Case]:
    noise = [(steps, phi) for steps in (40, 100) for phi in (0.0, 0.5, 0.9)]
    return [
        *[Case("change points", f"noise, persistence {phi}, {steps} steps",
               given(changes_found, steps=steps, phi=phi), false_alarm=True)
          for steps, phi in noise],
        Case("change points", "random walk, 100 steps",
             lambda rng: bool(dynamics.change_points(
                 np.arange(100), rng.standard_normal(100).cumsum()).points)),
        Case("more points than a ramp", "straight ramp of 10 SD, persistence .5, 100 steps",
             given(changes_found, steps=100, phi=0.5, rise=10), false_alarm=True),
        Case("change found within 2 steps", "jump of 3 SD, persistence 0, 100 steps",
             given(changes_found, steps=100, phi=0.0, jump=3)),
        Case("change found within 2 steps", "jump of 3 SD, persistence .5, 100 steps",
             given(changes_found, steps=100, phi=0.5, jump=3)),
        Case("change found within 2 steps", "jump of 6 SD, persistence .5, 100 steps",
             given(changes_found, steps=100, phi=0.5, jump=6)),
    ]  # fmt: skip


def association_cases() -> list[Case]:
    return [
        *[Case("association", f"unrelated learning curves, {steps} steps, persistence {phi}",
               given(associated, steps=steps, how="", phi=phi), false_alarm=True)
          for steps, phi in ((40, 0.0), (40, 0.5), (100, 0.0), (100, 0.5), (100, 0.9))],
        *[Case(f"correlation of {how}", "unrelated learning curves, 100 steps, persistence .5",
               given(associated, steps=100, how=how)) for how in ("values", "differences")],
        *[Case("association", f"noise shared with r = {r}, {steps} steps",
               given(associated, steps=steps, how="", shared=r))
          for steps, r in ((40, 0.5), (100, 0.5), (100, 0.8))],
    ]  # fmt: skip


def abrupt_cases() -> list[Case]:
    smooth: list[tuple[str, Simulated]] = [
        ("a constant", lambda _: np.zeros(60)),
        ("a straight ramp", lambda _: np.linspace(0, 1, 60)),
        ("a power law", power_curve),
        ("a logistic curve of width .3", given(logistic_curve, 0.3)),
    ]
    return [
        *[Case("phase-like", f"{what}, noise of 3 %, persistence {phi}",
               given(phase_like, curve=curve, noise=0.03, phi=phi), false_alarm=True)
          for what, curve in smooth for phi in (0.0, 0.5)],
        *[Case("phase-like", f"a logistic curve of width {width}, noise of 3 %, persistence .5",
               given(phase_like, curve=given(logistic_curve, width), noise=0.03, phi=0.5))
          for width in (0.05, 0.1, 0.14)],
    ]  # fmt: skip


def between_cases() -> list[Case]:
    return [
        Case("between tasks", "unrelated, 20 tasks x 6 seeds", given(goes_with, how=""),
             false_alarm=True),
        Case("between tasks", "unrelated, 20 tasks, 1 seed", given(goes_with, how="", seeds=1),
             false_alarm=True),
        Case("between tasks", "unrelated, with the seed as only random effect",
             given(goes_with, how="seed alone")),
        Case("between tasks", "r = .5, 20 tasks x 6 seeds", given(goes_with, how="", effect=0.5)),
    ]  # fmt: skip


GROUPS = {
    "onset": onset_cases, "seeds": seed_cases, "changes": change_cases,
    "association": association_cases, "abrupt": abrupt_cases, "between": between_cases,
}  # fmt: skip


def most_allowed(runs: int) -> float:
    """5 % and the binomial margin."""
    return float(binom.ppf(0.99, runs, 0.05)) / runs


def line(case: Case, runs: int, seed: int) -> tuple[str, bool]:
    """One line of the table, and whether its requirement is met."""
    answers = [case.run(np.random.default_rng([seed, number])) for number in range(runs)]
    counted = [answer for answer in answers if answer is not None]
    rate, count = float(np.mean(counted)), len(counted)
    ends = binomtest(sum(counted), count).proportion_ci(method="wilson")
    asked, met = "", True
    if case.false_alarm:
        asked, met = f"<= {most_allowed(count):.3f}", rate <= most_allowed(count)
    elif case.at_least:
        asked, met = f">= {case.at_least:.2f}", rate >= case.at_least
    flag = "" if met else " **missed**"
    return (f"| {case.room} | {case.what} | {rate:.3f} [{ends.low:.3f}, {ends.high:.3f}] | "
            f"{count} | {asked}{flag} |", met)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=GROUPS)
    arguments = parser.parse_args()
    print("| rate of | simulated | rate [95 %] | series | required |\n|---|---|---|---|---|")
    all_met = True
    for name, cases in GROUPS.items():
        for case in cases() if arguments.only in (None, name) else []:
            text, met = line(case, arguments.runs, arguments.seed)
            all_met &= met
            print(text, flush=True)
    sys.exit(not all_met)


if __name__ == "__main__":
    main()
