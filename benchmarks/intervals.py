"""How often the interval of an ARI holds the true value, and from how many instruction strings on.

    python -m benchmarks.intervals [--sets 100] [--populations 3] [--seed 0]

A population has means of tasks (in a space of few dimensions, so that some tasks lie close to
others and k-means has many optima) and of families; a data set draws strings and rows anew. The
true value is the mean over data sets of the number that is reported: what the same procedure gives
on other strings of the same tasks. An interval covers if it holds that mean.

- one solution: strings are resampled under the clustering of least inertia
- near-best: each resample takes one of `SOLUTIONS` clusterings of nearly the same inertia, as the
  panel does
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from nucleate.metrics import Space, agreement, bootstrap_ari, kmeans, resamples, standardize
from nucleate.panel import SOLUTIONS

DRAWS = 200


@dataclass(frozen=True)
class Design:
    """Numbers of a crossed prompt set, and standard deviations against 1 of each string's own.

    Attributes:
        tasks, families, strings, inputs: of each task, of each family, of each string.
        task, family, row: of the means of tasks and of families, and of rows of one string.
        width, dimensions: of the states, and of the space that the means of the tasks lie in.
    """

    tasks: int
    families: int
    strings: int
    inputs: int = 4
    task: float = 0.8
    family: float = 0.5
    row: float = 0.5
    width: int = 48
    dimensions: int = 5

    @property
    def count(self) -> int:
        """Instruction strings."""
        return self.tasks * self.families * self.strings


@dataclass(frozen=True)
class Coverage:
    """Means over populations: the true ARI, and of each kind of interval coverage and width."""

    truth: float
    one: float
    one_width: float
    near: float
    near_width: float


def data_sets(design: Design, sets: int, rng: np.random.Generator) -> torch.Tensor:
    """Standardized states [set row width] of one population."""
    d = design
    basis = rng.normal(size=(d.dimensions, d.width)) / np.sqrt(d.dimensions)
    tasks = d.task * rng.normal(size=(d.tasks, d.dimensions)) @ basis
    families = d.family * rng.normal(size=(d.tasks, d.families, d.width))
    strings = rng.normal(size=(sets, d.tasks, d.families, d.strings, d.width))
    strings += (tasks[:, None] + families)[:, :, None]
    rows = d.row * rng.normal(size=(*strings.shape[:-1], d.inputs, d.width))
    rows += strings[..., None, :]
    return standardize(torch.tensor(rows.reshape(sets, -1, d.width), dtype=torch.float32))


def coverage(
    design: Design, *, sets: int, populations: int, seed: int = 0, half: bool = True
) -> Coverage:
    """Coverage and width of both kinds of intervals.

    Args:
        design: of the data sets.
        sets, populations: data sets of each population, and populations.
        half: report on one half of the strings, clustered together with the other, as the panel
            does for the verdict.
    """
    of_string = torch.arange(design.count)
    strings = of_string.repeat_interleave(design.inputs)
    labels = strings // (design.families * design.strings)
    chosen = np.flatnonzero(np.arange(design.count) % 2 == 1) if half else np.arange(design.count)
    weights = resamples(chosen, design.count, DRAWS, seed)
    inside = torch.from_numpy(np.isin(strings, chosen))
    found = []
    for population in range(populations):
        rng = np.random.default_rng([seed, population])
        x = Space.of(data_sets(design, sets, rng))
        best = kmeans(x, design.tasks, solutions=SOLUTIONS, seed=seed)
        values = np.asarray(agreement(best.labels[:, inside], labels[None, inside]).ari)[:, 0]
        truth, row = values.mean(), [values.mean()]
        for clusters in (best.labels, best.near):
            draws = bootstrap_ari(clusters, labels, strings, weights)
            low, high = np.quantile(draws, [0.025, 0.975], axis=1)
            row += [np.mean((low <= truth) & (truth <= high)), np.mean(high - low)]
        found.append(row)
    return Coverage(*np.mean(found, axis=0))


def by_separation() -> Iterator[tuple[str, Design]]:
    """Designs from hardly to clearly separated."""
    for task in (0.3, 0.5, 0.8, 1.2, 2.0):
        yield f"20 x 3 x 2, {task:g}", Design(20, 3, 2, inputs=5, task=task)
        yield f"8 x 3 x 4, {task:g}", Design(8, 3, 4, task=task)
        yield f"2 x 3 x 8, {task:g}", Design(2, 3, 8, task=task)


def by_strings() -> Iterator[tuple[str, Design]]:
    """Designs of few strings."""
    for tasks, strings in (
        (2, 2), (2, 4), (2, 6), (2, 10), (2, 20), (4, 2), (4, 4), (4, 6), (4, 10), (8, 2), (8, 4),
        (20, 2), (20, 4), (50, 2),
    ):  # fmt: skip
        for task in (0.3, 0.8, 2.0):
            yield f"{tasks} x {strings}, {task:g}", Design(tasks, 1, strings, task=task, family=0)


def _line(name: str, design: Design, found: Coverage, half: bool) -> str:
    cells = [name, str(design.count // 2 if half else design.count)]
    cells += [f"{found.truth:z.2f}", f"{found.one:.2f}", f"{found.one_width:.2f}"]
    cells += [f"{found.near:.2f}", f"{found.near_width:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--populations", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    size = {"sets": given.sets, "populations": given.populations, "seed": given.seed}
    for title, designs in (
        ("tasks x families x strings, sd of the task means", by_separation()),
        ("tasks x strings, sd of the task means", by_strings()),
    ):
        print(f"| {title} | strings | true ARI | one solution: covers | width "
              f"| near-best: covers | width |\n|{'---|' * 7}")  # fmt: skip
        for name, design in designs:
            found = coverage(design, **size)
            print(_line(name, design, found, half=True), flush=True)
        print()


if __name__ == "__main__":
    main()
