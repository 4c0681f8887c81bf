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
    for name in ("kmeans", "agreement", "bootstrap_ari", "principal_axes", "class_separation",
                 "nearest_centroid", "rankme", "view_of"):  # fmt: skip
        watch.watch(_scores, name)
    for name in ("layout", "bag_of_tokens", "rows_of", "to_table"):
        watch.watch(_measure, name)
    start = time.perf_counter()
    measure(snapshots, training.probe, untrained=untrained)
    total = time.perf_counter() - start
    print(f"measure, {arguments.steps} steps: {total:.2f} s, {arguments.threads} threads")
    print("  by part, in seconds of its thread (places run side by side):")
    for name, seconds in sorted(watch.seconds.items(), key=lambda item: -item[1]):
        print(f"  {name:18s} {seconds:7.2f}")
    compare(watch, truths(training.probe), arguments)


def truths(probe: Probe) -> dict[tuple[int, int], np.ndarray]:
    """The label that K clusters of so many rows are compared with."""
    codes = {name: np.unique(probe.labels[name], return_inverse=True)[1] for name in LABELS}
    rows = len(probe)
    known = {(rows, int(codes[name].max()) + 1): codes[name] for name in LABELS[:4]}
    for name in ("task", "family"):
        known[rows // INPUTS, int(codes[name].max()) + 1] = codes[name][::INPUTS]
    return known


def compare(
    watch: Stopwatch, known: dict[tuple[int, int], np.ndarray], arguments: argparse.Namespace
) -> None:
    """A sample of the problems again with scikit-learn, for quality and for time."""
    strata = defaultdict(list)
    for x, k, labels, inertia in watch.found:
        if (x.shape[1], k) in known:
            strata[x.shape[1], k] += list(zip(x, labels, inertia.tolist(), strict=True))
    rng = np.random.default_rng(arguments.seed)
    each = max(1, arguments.compare // len(strata))
    ours = watch.seconds["kmeans"] + watch.seconds["principal_axes"]
    theirs, excess, apart = 0.0, [], []
    for (rows, k), problems in sorted(strata.items()):
        sample = rng.choice(len(problems), min(each, len(problems)), replace=False)
        truth, spent, start_of = known[rows, k], 0.0, len(excess)
        for x, labels, inertia in (problems[index] for index in sample):
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = KMeans(k, n_init=20, random_state=0).fit(x.numpy())
            their_ari = adjusted_rand_score(truth, found.labels_)
            spent += time.perf_counter() - start
            excess.append(inertia / found.inertia_ - 1 if found.inertia_ > 1e-6 else 0.0)
            apart.append(abs(their_ari - adjusted_rand_score(truth, labels.numpy())))
        theirs += spent / len(sample) * len(problems)
        print(f"  {rows} rows, K={k:3d}: inertia {np.mean(excess[start_of:]):+.3%}, "
              f"ARI apart {np.mean(apart[start_of:]):.3f}, scikit-learn "
              f"{spent / len(sample):.2f} s x {len(problems)} problems")  # fmt: skip
    side_by_side = ours / min(arguments.threads, 2)
    print(f"scikit-learn's loop, {arguments.threads} threads: {theirs:.0f} s, extrapolated from "
          f"{len(apart)} problems; our k-means about {side_by_side:.1f} s: "
          f"{theirs / side_by_side:.0f} times as fast")  # fmt: skip
    print(f"our inertia: {np.mean(excess):+.3%} of scikit-learn's on average; "
          f"ARI {np.mean(apart):.3f} apart")  # fmt: skip


if __name__ == "__main__":
    main()
