"""How often the panel says "clusters" where there are none, and where there are some.

    python -m benchmarks.false_positives [--sets 200] [--seed 0]

Every data set is a crossed probe (8 tasks x 3 families x 4 strings x 4 inputs) with states of
three streams. The stream is chosen on one half of the strings and judged on the other, with N0, N1
(five untrained models), N2 and the bootstrap, at both positions: a data set counts as soon as one
of the two is called clusters.

- permuted: the strings are clustered, but not by task
- gaussian: one Gaussian with a random covariance, alike for all rows of a string at its end
- surface: means of random embeddings of the tokens, words that lean towards the task, and noise
- clusters: the task's mean is there, at the separation that the table tells
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import binom, binomtest

from nucleate.metrics import (
    Panel,
    Permuted,
    SurfaceText,
    Untrained,
    choose_stream,
    measure,
    verdict,
)
from nucleate.runs import States
from nucleate.tasks import Probe

TASKS, FAMILIES, STRINGS, INPUTS, WIDTH = 8, 3, 4, 4, 32
STREAMS = ("block.0", "block.1", "final_norm")
AMOUNT = 1.0
"""Of the task's mean against noise of the string and of the row, in the data sets with clusters."""
_COMMON, _OWN = 24, 3


def probe_of(rng: np.random.Generator, lean: float) -> Probe:
    """Random instruction strings; a share `lean` of their tokens are of the task's own words."""
    rows, texts = [], []
    for string in range(TASKS * FAMILIES * STRINGS):
        family = string // STRINGS
        task = family // FAMILIES
        length = int(rng.integers(6, 10))
        own = 5 + _COMMON + _OWN * task + rng.integers(_OWN, size=length)
        words = np.where(rng.random(length) < lean, own, 5 + rng.integers(_COMMON, size=length))
        for number in range(INPUTS):
            rows.append([*words.tolist(), 1, 100 + number, 120 + task])
            texts.append((task, family, number, f"{task}.{number}", string))
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), dtype=np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    names = ("task", "family", "input", "output", "instruction")
    columns = zip(*texts, strict=True)
    labels = {name: tuple(map(str, column)) for name, column in zip(names, columns, strict=True)}
    return Probe(
        ids=ids,
        prompt_lengths=lengths - 1,
        lengths=lengths,
        positions={"instruction_end": lengths - 3, "last": lengths - 2},
        labels={**labels, "split": ("seen",) * len(rows)},
        chance=np.full(len(rows), 1 / TASKS),
        tokenizer_hash="",
    )


class Data:
    """States of one probe, made of parts that are drawn anew for each seed."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.string, self.task, self.input = (
            torch.from_numpy(np.unique(probe.labels[name], return_inverse=True)[1])
            for name in ("instruction", "task", "input")
        )

    def states(self, seed: int, of_strings: Callable[[torch.Generator], torch.Tensor]) -> States:
        """A part of each string, noise of the string, and at the last position input and noise."""
        generator = torch.Generator().manual_seed(seed)
        values = torch.empty(len(STREAMS), 2, len(self.probe), WIDTH)
        for stream in range(len(STREAMS)):
            end = of_strings(generator)[self.string]
            of_input = torch.randn(INPUTS, WIDTH, generator=generator)[self.input]
            noise = torch.randn(len(self.probe), WIDTH, generator=generator)
            values[stream, 0], values[stream, 1] = end, end + 2 * of_input + noise
        return States(values, STREAMS, ("instruction_end", "last"))

    def noise(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(int(self.string.max()) + 1, WIDTH, generator=generator)

    def permuted(self, generator: torch.Generator) -> torch.Tensor:
        strings = int(self.string.max()) + 1
        group = torch.arange(strings)[torch.randperm(strings, generator=generator)] % TASKS
        return 2 * torch.randn(TASKS, WIDTH, generator=generator)[group] + self.noise(generator)

    def gaussian(self, generator: torch.Generator) -> torch.Tensor:
        mixing = torch.randn(WIDTH, WIDTH, generator=generator)
        scales = torch.logspace(0, -1.5, WIDTH)
        return self.noise(generator) * scales @ mixing

    def surface(self, generator: torch.Generator) -> torch.Tensor:
        table = torch.randn(200, WIDTH, generator=generator)
        ends = self.probe.ends("instruction_end")
        first = np.unique(self.probe.labels["instruction"], return_index=True)[1]
        means = [table[torch.from_numpy(self.probe.ids[row, : ends[row]].astype(int))].mean(0)
                 for row in first]  # fmt: skip
        return 2 * torch.stack(means) + 0.2 * self.noise(generator)

    def clusters(self, generator: torch.Generator) -> torch.Tensor:
        of_string = torch.zeros(int(self.string.max()) + 1, dtype=torch.long)
        of_string[self.string] = self.task
        means = torch.randn(TASKS, WIDTH, generator=generator)
        return AMOUNT * means[of_string] + self.noise(generator)


KINDS = {
    "permuted": (0.0, Data.permuted, Data.noise),
    "gaussian": (0.0, Data.gaussian, Data.gaussian),
    "surface": (0.5, Data.surface, Data.surface),
    "clusters": (0.0, Data.clusters, Data.noise),
}
"""Kind -> how much the words lean towards the task, the trained states, the untrained ones."""


def one(kind: str, seed: int) -> tuple[bool, float, float]:
    """Whether a data set is called clusters, the ARI alone against N0, and the separation."""
    lean, trained, untrained = KINDS[kind]
    data = Data(probe_of(np.random.default_rng(seed), lean))
    models = [
        data.states(10_000 + 10 * seed + number, lambda g: untrained(data, g))
        for number in range(5)
    ]
    panel = measure(
        data.states(seed, lambda g: trained(data, g)),
        data.probe,
        nulls=(Permuted(199), Untrained(models), SurfaceText()),
        metrics=("agreement", "separation"),
        restarts=10,
        seed=seed,
        workers=1,
    )
    return _judge(panel)


def _judge(panel: Panel) -> tuple[bool, float, float]:
    table, called, small_p = panel.table, False, False
    for position, view in (("instruction_end", "raw"), ("last", "conditioned")):
        stream = choose_stream(table, position, view, 0)
        here = table[
            (table.position == position) & (table["view"] == view) & (table.stream == stream)
            & (table.label == "task")
        ]  # fmt: skip
        row = here[(here.metric == "ari") & (here.half == "report")].iloc[0]
        called |= verdict(row) == "clusters"
        small_p |= row.p <= 0.05 / 2
    separation = here[here.metric == "separation"].value.iloc[0]
    return called, float(small_p), float(separation)


def rates(kind: str, sets: int, seed: int = 0) -> dict[str, float]:
    """Shares over many data sets."""
    found = [one(kind, seed * 100_000 + number) for number in range(sets)]
    called, small_p, separation = map(np.array, zip(*found, strict=True))
    return {
        "called": float(called.mean()),
        "small_p": float(small_p.mean()),
        "separation": float(np.median(separation)),
    }


def most_allowed(sets: int) -> float:
    """5 % and the binomial margin: the 99 % point of a rate that truly is 5 %."""
    return float(binom.ppf(0.99, sets, 0.05)) / sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{arguments.sets} data sets a kind; at most {most_allowed(arguments.sets):.3f} of the "
          "null ones may be called clusters (5 % and the binomial margin)")  # fmt: skip
    print("| kind | called clusters [95 %] | beyond N0 alone (p <= .05, two places) | separation |")
    print("|---|---|---|---|")
    for kind in KINDS:
        found = rates(kind, arguments.sets, arguments.seed)
        interval = binomtest(round(found["called"] * arguments.sets), arguments.sets).proportion_ci(
            method="wilson"
        )
        print(f"| {kind} | {found['called']:.3f} [{interval.low:.3f}, {interval.high:.3f}] | "
              f"{found['small_p']:.3f} | {found['separation']:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
