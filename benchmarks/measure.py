"""How fast `measure` is on states of a default run's shape, and how good its k-means is.

    python benchmarks/measure.py [--steps 36] [--compare 12] [--threads 2] [--seed 0]

Prints the wall time of `measure` by part, then our k-means against a loop over scikit-learn's
`KMeans(n_init=20)` and ARI on the same problems with the same threads. The loop is run on a sample
of the problems and extrapolated.
"""

import argparse
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from nucleate.metrics import _measure, _scores, measure
from nucleate.metrics._scores import CLUSTERED, VIEWS, view_of
from nucleate.runs import States
from nucleate.tasks import Probe

TASKS, FAMILIES, STRINGS, INPUTS, WIDTH, STREAMS = 20, 3, 2, 5, 96, 8
STREAM_NAMES = ("embed", *(f"block.{k}" for k in range(STREAMS - 2)), "final_norm")
LABELS = ("task", "family", "input", "output", "instruction")


def probe_of_default_shape(rng: np.random.Generator) -> Probe:
    """600 crossed rows with random instruction strings and outputs of each task's own."""
    ids = np.zeros((TASKS * FAMILIES * STRINGS * INPUTS, 12), dtype=np.int32)
    lengths, labels = [], {name: [] for name in (*LABELS, "split")}
    for string in range(TASKS * FAMILIES * STRINGS):
        instruction = rng.integers(5, 31, size=rng.integers(5, 9))
        family, task = string // STRINGS, string // (STRINGS * FAMILIES)
        for number in range(INPUTS):
            row = [*instruction, 1, 31 + number, 40 + task]
            ids[len(lengths), : len(row)] = row
            lengths.append(len(row))
            texts = (task, family, number, f"{task}.{number}", string)
            for name, text in zip(LABELS, texts, strict=True):
                labels[name].append(str(text))
            labels["split"].append("seen")
    ends = np.array(lengths)
    return Probe(
        ids=ids,
        prompt_lengths=ends - 1,
        lengths=ends,
        positions={"instruction_end": ends - 3, "last": ends - 2},
        labels={name: tuple(values) for name, values in labels.items()},
        chance=np.full(len(ends), 1 / TASKS),
        tokenizer_hash="",
    )


@dataclass
class Training:
    """States that drift from surface to tasks over the steps and with depth."""

    probe: Probe
    seed: int

    def snapshot(self, progress: float) -> States:
        generator = torch.Generator().manual_seed(self.seed)
        values = torch.empty(STREAMS, 2, len(self.probe), WIDTH)
        for stream in range(STREAMS):
            basis = torch.randn(24, WIDTH, generator=generator) / 24**0.5
            parts = {name: self._part(name, generator) for name in LABELS}
            amount = 2 * progress * stream / (STREAMS - 1)
            end = amount * parts["task"] + 0.7 * parts["family"] + 0.7 * parts["instruction"]
            last = end + 1.5 * parts["input"] + 0.7 * amount * parts["output"]
            noise = torch.randn(2, len(self.probe), 24, generator=generator)
            moved = torch.randn(2, len(self.probe), 24, generator=generator)
            last = last + 0.3 * ((1 - progress) * noise[0] + progress * moved[0])
            values[stream, 0] = torch.tanh(end @ basis)
            values[stream, 1] = torch.tanh(last @ basis)
        return States(values.half(), STREAM_NAMES, ("instruction_end", "last"))

    def _part(self, label: str, generator: torch.Generator) -> torch.Tensor:
        texts = self.probe.labels[label]
        number = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        codes = torch.tensor([number[text] for text in texts])
        return torch.randn(len(number), 24, generator=generator)[codes]


class Stopwatch:
    """Replaces functions by ones that add up their time and keep what k-means found."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.found: list[tuple[torch.Tensor, int, torch.Tensor, torch.Tensor]] = []

    def watch(self, module: object, name: str) -> None:
        original = getattr(module, name)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            result = original(*args, **kwargs)
            self.seconds[name] += time.perf_counter() - start
            if name == "kmeans":
                self.found.append((args[0], args[1], result.labels, result.inertia))
            return result

        setattr(module, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=36)
    parser.add_argument("--compare", type=int, default=40, help="problems given to scikit-learn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    training = Training(
        probe_of_default_shape(np.random.default_rng(arguments.seed)), arguments.seed
    )
    snapshots = [
        (step, training.snapshot(step / max(1, arguments.steps - 1)))
        for step in range(arguments.steps)
    ]
    untrained = [Training(training.probe, 100 + n).snapshot(0.0) for n in range(5)]
    watch = Stopwatch()
    for name in ("greedy_seeds", "kmeans", "agreement", "bootstrap_ari",
                 "class_separation", "nearest_centroid", "rankme", "view_of"):  # fmt: skip
        watch.watch(_scores, name)
    for name in ("layout", "bag_of_tokens", "rows_of", "to_table"):
        watch.watch(_measure, name)
    start, busy = time.perf_counter(), time.process_time()
    measure(snapshots, training.probe, untrained=untrained)
    total, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"measure: {total:.2f} s wall, {busy:.2f} s of processors, {arguments.threads} threads")
    for name, seconds in sorted(watch.seconds.items(), key=lambda item: -item[1]):
        print(f"  {name:18s} {seconds:7.2f} s  {seconds / total:5.1%}")
    compare(watch, arguments)


def compare(watch: Stopwatch, arguments: argparse.Namespace) -> None:
    """A sample of the problems again with scikit-learn."""
    problems = [
        (x[i], k, labels[i], float(inertia[i]))
        for x, k, labels, inertia in watch.found
        for i in range(len(x))
    ]
    rng = np.random.default_rng(arguments.seed)
    strata = defaultdict(list)
    for index, (x, k, _, _) in enumerate(problems):
        strata[len(x), k].append(index)
    each = max(1, arguments.compare // len(strata))
    ours = sum(
        watch.seconds[name] for name in ("greedy_seeds", "kmeans", "principal_axes", "agreement")
    )
    theirs, excess, apart = 0.0, [], []
    for (rows, k), indices in sorted(strata.items()):
        sample = rng.choice(indices, min(each, len(indices)), replace=False)
        spent, excess_here = 0.0, []
        for index in sample:
            x, _, labels, inertia = problems[index]
            truth = np.arange(rows) % k
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = KMeans(k, n_init=20, random_state=0).fit(x.numpy())
            adjusted_rand_score(truth, found.labels_)
            spent += time.perf_counter() - start
            excess_here.append(inertia / found.inertia_ - 1 if found.inertia_ > 1e-6 else 0.0)
            apart.append(adjusted_rand_score(labels.numpy(), found.labels_))
        theirs += spent / len(sample) * len(indices)
        excess += excess_here
        print(f"  {rows} rows, K={k:3d}: inertia {np.mean(excess_here):+.3%} "
              f"(worst {max(excess_here):+.3%}), {spent / len(sample):.2f} s a problem x {len(indices)}")  # fmt: skip
    print(f"scikit-learn, same threads: {theirs:.0f} s, extrapolated from {len(apart)} of "
          f"{len(problems)} problems; ours {ours:.1f} s: {theirs / ours:.0f} times as fast")  # fmt: skip
    print(f"mean inertia {np.mean(excess):+.3%} of scikit-learn's")


if __name__ == "__main__":
    main()
