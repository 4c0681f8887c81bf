"""How often the panel says "clusters" where there are none, and where there are some.

    python -m benchmarks.false_positives [--sets 200] [--power-sets 100] [--seed 0] [--workers 2]

Every data set is a crossed prompt set (8 tasks x 3 families x 4 strings x 4 inputs) with states of
six blocks and the final norm, each drawn independently: the most that choosing a stream could gain.
The stream is chosen on one half of the strings and judged on the other, with N0, N1 (five untrained
models), N2 and the bootstrap, at the end of the instruction and, conditioned on the input, at the
last token: a data set counts as soon as one of these two is called clusters.

Null data, and the rung that must hold it back:

- permuted: strings gather in groups that have nothing to do with the task
- families: whole families gather in such groups (N0, over families)
- gaussian: one Gaussian with a random covariance; no groups at all
- surface: means of random embeddings of the tokens, and words that lean towards the task; the
  untrained models do the same (N1, N2)
- words: the same, but the untrained models are noise (N2)
- order: every string has the same words, and the task's own one often stands last; states weigh
  late words more, those of untrained models too (N1)

The first kind is also made in other shapes: tasks of unequal size, two tasks, a hundred, and one
string a task, where N0 is undefined and the verdict has to stay undecided, also for true clusters.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.stats import binom, binomtest

from nucleate.findings import choose_stream, cluster_verdict
from nucleate.metrics import (
    agreement,
    condition,
    kmeans,
    standardize,
)
from nucleate.panel import (
    Metric,
    MetricInput,
    Panel,
    Permuted,
    Score,
    SurfaceText,
    Untrained,
    measure,
    panel_metrics,
)
from nucleate.prompts import PromptSet
from nucleate.runs import States

WIDTH, MODELS = 32, 5
STREAMS = (*(f"block.{number}" for number in range(6)), "final_norm")
PLACES = (("instruction_end", "raw"), ("last", "conditioned"))
AMOUNTS = (0.4, 0.5, 0.6, 0.8)
"""Standard deviation of the tasks' means against 1 of each string's own noise."""
GUARDS = {
    "N0": {"n0_q99": -np.inf},
    "N1": {"n1_max": -np.inf},
    "N2": {"n2": -np.inf},
    "interval": {"low": np.inf},
}
"""What a row of the panel would have to hold for a part of the verdict to be ignored."""
_COMMON, _OWN, _FIRST = 24, 3, 5

OfStrings = Callable[["Data", torch.Generator], torch.Tensor]
"""Draws a part [string width] of the states."""


@dataclass(frozen=True)
class Shape:
    """Numbers of a crossed prompt set.

    Attributes:
        strings: of each family, one number a task.
        families: of each task.
        inputs: of each string.
    """

    strings: tuple[int, ...] = (4,) * 8
    families: int = 3
    inputs: int = 4

    @property
    def tasks(self) -> int:
        return len(self.strings)


@dataclass(frozen=True)
class Kind:
    """How data sets are made.

    Attributes:
        trained: the part of the states that each string has.
        untrained: the same in untrained models.
        lean: how much the words, or their order, lean towards the task.
        ordered: whether the task shows in the order of the words alone.
        shape: of the prompt set.
    """

    trained: OfStrings
    untrained: OfStrings
    lean: float = 0.0
    ordered: bool = False
    shape: Shape = Shape()


def _words(rng: np.random.Generator, task: int, kind: Kind) -> list[int]:
    if kind.ordered:
        words = _FIRST + rng.permutation(2 * kind.shape.tasks)
        if rng.random() < kind.lean:
            words = np.append(words[words != _FIRST + task], _FIRST + task)
        return words.tolist()
    length = int(rng.integers(6, 10))
    own = _FIRST + _COMMON + _OWN * task + rng.integers(_OWN, size=length)
    common = _FIRST + rng.integers(_COMMON, size=length)
    return np.where(rng.random(length) < kind.lean, own, common).tolist()


def prompts_of(rng: np.random.Generator, kind: Kind) -> PromptSet:
    """Task x family x string x input, with instructions of random words."""
    shape, rows, texts = kind.shape, [], []
    tasks = np.repeat(np.arange(shape.tasks), shape.families)
    family_of = np.repeat(np.arange(len(tasks)), np.array(shape.strings)[tasks])
    first_input = _FIRST + _COMMON + _OWN * shape.tasks
    for string, family in enumerate(family_of):
        task = int(tasks[family])
        words = _words(rng, task, kind)
        for number in range(shape.inputs):
            output = first_input + shape.inputs + task
            rows.append([*words, 1, first_input + number, output])
            texts.append((task, family, number, string))
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), dtype=np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    names = ("task", "family", "input", "instruction")
    columns = zip(*texts, strict=True)
    labels = {name: tuple(map(str, column)) for name, column in zip(names, columns, strict=True)}
    return PromptSet(
        ids=ids,
        prompt_lengths=lengths - 1,
        lengths=lengths,
        positions={"instruction_end": lengths - 3, "last": lengths - 2},
        labels={**labels, "split": ("seen",) * len(rows)},
        chance=np.full(len(rows), 1 / shape.tasks),
        tokenizer_hash="",
    )


class Data:
    """States of one prompt set, made of parts that are drawn anew for each seed."""

    def __init__(self, prompts: PromptSet) -> None:
        self.prompts = prompts
        self.string = torch.tensor([int(text) for text in prompts.labels["instruction"]])
        self.input = torch.tensor([int(text) for text in prompts.labels["input"]])
        ends = prompts.ends("instruction_end")
        first = np.unique(self.string.numpy(), return_index=True)[1]
        self.family, self.task = (
            torch.tensor([int(prompts.labels[name][row]) for row in first])
            for name in ("family", "task")
        )
        self.tasks = int(self.task.max()) + 1
        self.words = [torch.from_numpy(prompts.ids[row, : ends[row] - 1]).long() for row in first]

    def states(self, seed: int, of_strings: OfStrings) -> States:
        """A part of each string; at the last position of its input and noise besides."""
        generator = torch.Generator().manual_seed(seed)
        values = torch.empty(len(STREAMS), 2, len(self.prompts), WIDTH)
        for stream in range(len(STREAMS)):
            end = of_strings(self, generator)[self.string]
            of_input = torch.randn(int(self.input.max()) + 1, WIDTH, generator=generator)[
                self.input
            ]
            noise = torch.randn(len(self.prompts), WIDTH, generator=generator)
            values[stream, 0], values[stream, 1] = end, end + 2 * of_input + noise
        return States(values, STREAMS, ("instruction_end", "last"))

    def noise(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(len(self.task), WIDTH, generator=generator)

    def permuted(self, generator: torch.Generator) -> torch.Tensor:
        order = torch.randperm(len(self.task), generator=generator)
        return self._grouped(self.task[order], 2.0, generator)

    def families(self, generator: torch.Generator) -> torch.Tensor:
        families = int(self.family.max()) + 1
        order = torch.randperm(families, generator=generator)
        return self._grouped(order[self.family] * self.tasks // families, 2.0, generator)

    def gaussian(self, generator: torch.Generator) -> torch.Tensor:
        mixing = torch.randn(WIDTH, WIDTH, generator=generator)
        return self.noise(generator) * torch.logspace(0, -1.5, WIDTH) @ mixing

    def surface(self, generator: torch.Generator) -> torch.Tensor:
        table = torch.randn(_FIRST + _COMMON + _OWN * self.tasks, WIDTH, generator=generator)
        means = torch.stack([table[words].mean(0) for words in self.words])
        return 2 * means + 0.2 * self.noise(generator)

    def order(self, generator: torch.Generator) -> torch.Tensor:
        table = torch.randn(_FIRST + 2 * self.tasks, WIDTH, generator=generator)
        weights = 0.5 ** torch.arange(2 * self.tasks - 1, -1, -1.0)
        sums = torch.stack([weights @ table[words] for words in self.words])
        return 2 * sums + 0.2 * self.noise(generator)

    def _grouped(
        self, group: torch.Tensor, amount: float, generator: torch.Generator
    ) -> torch.Tensor:
        means = amount * torch.randn(int(group.max()) + 1, WIDTH, generator=generator)
        return means[group] + self.noise(generator)


def clusters(amount: float, shape: Shape = Shape()) -> Kind:
    """Clusters of the task: means of sd `amount` in every dimension."""
    return Kind(
        lambda data, generator: data._grouped(data.task, amount, generator),
        Data.noise,
        shape=shape,
    )


SHAPES = {
    "unequal": Shape((1, 1, 2, 2, 4, 4, 8, 8)),
    "two": Shape((4, 4), families=6),
    "hundred": Shape((4,) * 100, families=1, inputs=2),
    "one string": Shape((1,) * 20, families=1, inputs=8),
}
"""Strings of each family by task, beside the 8 tasks x 3 families x 4 strings of all others."""


NULL_KINDS = {
    "permuted": Kind(Data.permuted, Data.noise),
    "families": Kind(Data.families, Data.noise),
    "gaussian": Kind(Data.gaussian, Data.gaussian),
    "surface": Kind(Data.surface, Data.surface, lean=0.5),
    "words": Kind(Data.surface, Data.noise, lean=0.5),
    "order": Kind(Data.order, Data.order, lean=0.7, ordered=True),
}
SHAPED_KINDS = {
    f"{way}, {name}": Kind(part, Data.noise, shape=shape)
    for name, shape in SHAPES.items()
    for way, part in (("permuted", Data.permuted), ("families", Data.families))
    if way == "permuted" or shape.families > 1
}


def _of_task() -> Metric:
    """The panel's ARI of the task alone: other labels take time, and the verdict reads none."""
    agreement = panel_metrics()["agreement"]

    def measured(block: MetricInput) -> Iterable[Score]:
        where = block.where
        codes = {name: code for name, code in where.codes.items() if name == "task"}
        undefined = {name: why for name, why in where.undefined.items() if name == "task"}
        where = replace(where, codes=codes, undefined=undefined)
        return agreement.measure(replace(block, where=where))

    return replace(agreement, measure=measured)


def judged(kind: Kind, seed: int) -> dict[str, float]:
    """What is said of one data set: by the panel, by the panel without a part, and naively."""
    torch.set_num_threads(1)
    data = Data(prompts_of(np.random.default_rng(seed), kind))
    states = data.states(100 * seed, kind.trained)
    models = [data.states(100 * seed + n, kind.untrained) for n in range(1, MODELS + 1)]
    panel = measure(
        states,
        data.prompts,
        nulls=(Permuted(199), Untrained(models), SurfaceText()),
        metrics=(_of_task(), "separation"),
        n_init=10,
        seed=seed,
        n_jobs=1,
    )
    rows = [row for place in PLACES if (row := _reported(panel, *place)) is not None]
    called = {"panel": any(cluster_verdict(row) == "clusters" for row in rows)}
    for name, ignored in GUARDS.items():
        called[f"without {name}"] = any(
            cluster_verdict({**row, **ignored}) == "clusters" for row in rows
        )
    called["naive"] = _naive(data, states, seed)
    return called | _sizes(panel)


def _reported(panel: Panel, position: str, view: str) -> pd.Series | None:
    """ARI(task) on the half `report`, of the stream chosen on the other; None if undefined."""
    table = panel.table
    ari = table[(table.position == position) & (table["view"] == view) & (table.metric == "ari")]
    if ari.value.isna().all():
        return None
    chosen = choose_stream(table, position, view, 0)
    here = (table.position == position) & (table["view"] == view) & (table.stream == chosen)
    wanted = (table.label == "task") & (table.metric == "ari") & (table.half == "report")
    return table[here & wanted].iloc[0]


def _sizes(panel: Panel) -> dict[str, float]:
    """Medians over streams at the end of the instruction, or where all is undefined there at the
    last token, on all strings."""
    table = panel.table
    for position, view in PLACES:
        here = (table.position == position) & (table["view"] == view)
        if table[here & (table.label == "task")].value.notna().any():
            break
    found = table[here & (table.label == "task") & (table.half == "all")]
    return {
        name: float(found[found.metric == name].value.median()) for name in ("ari", "separation")
    }


def _naive(data: Data, states: States, seed: int) -> bool:
    """The largest ARI of all streams, on all rows, against tasks permuted over rows."""
    task = data.task[data.string]
    rng = np.random.default_rng(seed)
    permuted = [torch.from_numpy(rng.permutation(task.numpy())) for _ in range(199)]
    for number, (_, view) in enumerate(PLACES):
        x = states.values[:, number].float()
        z = standardize(x if view == "raw" else condition(x, data.input))
        found = agreement(
            kmeans(z, data.tasks, n_init=10).labels, torch.stack([task, *permuted])
        ).ari
        best = found[np.argmax(found[:, 0])]
        if best[0] > np.quantile(best[1:], 0.99):
            return True
    return False


def rates(kind: Kind, sets: int, *, seed: int = 0, workers: int = 1) -> dict[str, float]:
    """Shares of data sets that are called clusters, and medians of their ARI and separation."""
    each = (delayed(judged)(kind, seed * 10_000 + number) for number in range(sets))
    table = pd.DataFrame(Parallel(n_jobs=workers)(each))
    sizes = ["ari", "separation"]
    return {**table.drop(columns=sizes).mean(), **table[sizes].median()}


def most_allowed(sets: int) -> float:
    """5 % and the binomial margin: the 99 % point of a rate that truly is 5 %."""
    return float(binom.ppf(0.99, sets, 0.05)) / sets


def with_interval(rate: float, sets: int) -> str:
    """A rate and its 95 % interval (Wilson 1927)."""
    bounds = binomtest(round(rate * sets), sets).proportion_ci(method="wilson")
    return f"{rate:.3f} [{bounds.low:.3f}, {bounds.high:.3f}]"


def _row(name: str, found: Mapping[str, float], sets: int) -> str:
    cells = [name, with_interval(found["panel"], sets)]
    cells += [f"{found[part]:.3f}" for part in (*(f"without {name}" for name in GUARDS), "naive")]
    return "| " + " | ".join([*cells, f"{found['ari']:z.2f}", f"{found['separation']:z.2f}"]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--power-sets", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    parts = " | ".join(f"without {name}" for name in GUARDS)
    head = f"called clusters [95 %] | {parts} | naive | ARI | separation |\n|{'---|' * 9}"
    print(f"{given.sets} null data sets a kind; at most {most_allowed(given.sets):.3f} of them may "
          "be called clusters (5 % and the binomial margin). Naive: the largest ARI of all "
          "streams, on all rows, above the 99 % point of tasks permuted over rows.\n")  # fmt: skip
    print(f"| null data | {head}")
    for name, kind in {**NULL_KINDS, **SHAPED_KINDS}.items():
        found = rates(kind, given.sets, seed=given.seed, workers=given.workers)
        print(_row(name, found, given.sets), flush=True)
    print(f"\n{given.power_sets} data sets of clusters each\n")
    print(f"| sd of task means / of strings | {head}")
    powers = {f"{amount:g}": clusters(amount) for amount in AMOUNTS}
    powers |= {f"1.5, {name}": clusters(1.5, shape) for name, shape in SHAPES.items()}
    for name, kind in powers.items():
        found = rates(kind, given.power_sets, seed=given.seed, workers=given.workers)
        print(_row(name, found, given.power_sets), flush=True)


if __name__ == "__main__":
    main()
