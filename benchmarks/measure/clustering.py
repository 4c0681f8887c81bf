"""One run's clustering, by nucleate and by a loop over scikit-learn; and what nulls add."""

import itertools
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from materials import POSITIONS, Training
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from nucleate.metrics import agreement, kmeans

Place = tuple[int, int, int]
"""Step, position, stream."""


@dataclass
class Found:
    """What was found of each place, and in which time.

    Attributes:
        seconds: of all places; of a sample, one number a place.
    """

    inertia: dict[Place, float]
    ari: dict[Place, float]
    seconds: list[float]
    labels: dict[tuple[int, int], Tensor] | None = None


@contextmanager
def one_thread_each(threads: int) -> Iterator[Executor]:
    """A pool in which torch uses one thread a worker, as `measure` does."""
    before = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool
    torch.set_num_threads(before)


def states_of(training: Training) -> dict[tuple[int, int], Tensor]:
    """All states [stream row width], by step and position."""
    places = [(step, at) for step in range(training.steps) for at in range(POSITIONS)]
    return {place: training.states(*place) for place in places}


def ours(
    states: dict[tuple[int, int], Tensor], training: Training, restarts: int, threads: int
) -> Found:
    """A chain of warm starts for each position, chains side by side; ARI included."""
    truth = torch.from_numpy(training.truth)

    def chain(position: int) -> Found:
        warm, found = None, Found({}, {}, [], {})
        for step in range(training.steps):
            result = kmeans(states[step, position], training.tasks, n_init=restarts, warm=warm)
            warm = result.centroids
            ari = np.asarray(agreement(result.labels, truth[None]).ari)[:, 0]
            found.labels[step, position] = result.labels
            for stream in range(training.streams):
                place = (step, position, stream)
                found.inertia[place] = float(result.inertia[stream])
                found.ari[place] = float(ari[stream])
        return found

    with one_thread_each(threads) as pool:
        start = time.perf_counter()
        parts = list(pool.map(chain, range(POSITIONS)))
        seconds = time.perf_counter() - start
    whole = Found({}, {}, [seconds], {})
    for part in parts:
        whole.inertia |= part.inertia
        whole.ari |= part.ari
        whole.labels |= part.labels
    return whole


def sample_of(training: Training, count: int, seed: int) -> list[Place]:
    """Places drawn evenly over the course of the training."""
    rng = np.random.default_rng(seed)
    steps = np.linspace(0, training.steps, count, endpoint=False) + rng.uniform(0, 1)
    return [
        (int(step) % training.steps, int(rng.integers(POSITIONS)),
         int(rng.integers(training.streams)))
        for step in steps
    ]  # fmt: skip


class Others:
    """Processes that run the loop that one would write, with the threads shared among them.

    Processes, since two OpenMP runtimes in one process slow each other down.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self._workers = workers
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        before = {name: os.environ.get(name) for name in names}
        os.environ.update(dict.fromkeys(names, str(threads // workers)))
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context)
        list(self._pool.map(_fit, [np.eye(8, dtype=np.float32)] * 2 * workers, *_constant(8, 2, 1)))
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})

    def close(self) -> None:
        self._pool.shutdown()

    def __call__(
        self,
        states: dict[tuple[int, int], Tensor],
        training: Training,
        places: list[Place],
        restarts: int,
        seed: int,
    ) -> Found:
        """Some places. Seconds of a place are its own over the number of processes."""
        rows = [states[step, position][stream].numpy() for step, position, stream in places]
        results = self._pool.map(_fit, rows, *_constant(training.tasks, restarts, seed))
        found = Found({}, {}, [])
        for place, (seconds, inertia, ari) in zip(places, results, strict=True):
            found.seconds.append(seconds / self._workers)
            found.inertia[place], found.ari[place] = inertia, ari
        return found


def _constant(*values: int) -> list[Iterator[int]]:
    return [itertools.repeat(value) for value in values]


def _fit(x: np.ndarray, k: int, restarts: int, seed: int) -> tuple[float, float, float]:
    """Seconds, inertia and ARI; the truth of a `Training` is its row's number modulo K."""
    truth = np.arange(len(x)) % k
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        result = KMeans(k, n_init=restarts, random_state=seed).fit(x)
        ari = adjusted_rand_score(truth, result.labels_)
        return time.perf_counter() - start, float(result.inertia_), float(ari)


def nulls(found: Found, training: Training, permutations: int, threads: int) -> float:
    """Seconds for ARI (and AMI) of permuted labels against all clusters that were found."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.from_numpy(training.truth)
    order = torch.rand(permutations, training.rows, generator=generator).argsort(1)
    labels = torch.cat([truth[None], truth[order]])

    def one(place: tuple[int, int]) -> None:
        agreement(found.labels[place], labels)

    with one_thread_each(threads) as pool:
        start = time.perf_counter()
        list(pool.map(one, found.labels))
        return time.perf_counter() - start
