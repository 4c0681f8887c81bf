"""measure: from snapshots to a panel."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._errors import BadInput
from nucleate.metrics._layout import LABELS, layout
from nucleate.metrics._panel import Key, Panel, Place, rows_of, to_table
from nucleate.metrics._scores import VIEWS, Effort, Scored, score
from nucleate.metrics._surface import bag_of_tokens
from nucleate.runs import States
from nucleate.tasks import Probe

_Chains = dict[Place, dict[str, Int[Tensor, "stream row"]]]


def measure(
    snapshots: Iterable[tuple[int, States]],
    probe: Probe,
    *,
    untrained: Sequence[States] = (),
    permutations: int = 199,
    bootstraps: int = 200,
    restarts: int = 20,
    seed: int = 0,
    steps_total: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Panel:
    """Measure every stream and position of every snapshot, each number beside its nulls.

    Rows with equal tokens up to a position are one state there and are read once; rows of the
    splits unseen_family and unseen_input are left out. K of k-means is the number of classes of
    the label at hand. Snapshots are taken one at a time, in order: each starts k-means from the
    clusters of the one before as well as afresh.

    Args:
        snapshots: (step, states of all rows of the probe), in order; any float dtype.
        probe: the rows, their labels and positions.
        untrained: states of untrained models (N1), at least 5 for a verdict of clusters.
        permutations: labels permuted for N0; 0 leaves N0 out.
        bootstraps: resamples of the instruction strings for intervals; 0 leaves them out.
        restarts: how good k-means must be, as scikit-learn's `n_init`.
        seed: of k-means, permutations, halves and resamples.
        steps_total: number of snapshots, for `progress`, where `snapshots` has no length.
        progress: called with (snapshots done, total) after each one.

    Returns:
        The panel.

    Raises:
        BadInput: no snapshots; states of other rows, streams or positions than expected; a probe
            without the labels that metrics are about.
    """
    probe.check_labels(*LABELS, "instruction", "split", user="measure")
    if steps_total is None:
        steps_total = len(snapshots) if isinstance(snapshots, Sequence) else 0
    effort = Effort(restarts=restarts, seed=seed)
    run: _Measuring | None = None
    with _one_thread_each() as pool:
        for done, (step, states) in enumerate(snapshots, start=1):
            if run is None:
                run = _Measuring(probe, states, permutations, bootstraps, effort, pool)
                run.add_nulls(untrained)
            run.add(step, states)
            if progress is not None:
                progress(done, max(steps_total, done))
    if run is None:
        raise BadInput("no snapshots were given; record at least one step")
    return run.panel()


@contextmanager
def _one_thread_each() -> Iterator[Executor]:
    """A pool with a worker for each of torch's threads, in which torch itself uses one.

    The operations are small: two places side by side scale, two threads in one operation do not.
    Numbers do not depend on how many workers there are.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


class _Measuring:
    """What stays the same from snapshot to snapshot, and what grows."""

    def __init__(
        self,
        probe: Probe,
        first: States,
        permutations: int,
        bootstraps: int,
        effort: Effort,
        pool: Executor,
    ) -> None:
        self._probe, self._pool = probe, pool
        self._streams, self._positions = first.streams, first.positions
        self._rows_expected, self._effort = len(probe), effort
        self._layouts = {
            position: layout(
                probe, position, permutations=permutations, bootstraps=bootstraps, seed=effort.seed
            )
            for position in first.positions
        }
        places = [(position, view) for position in first.positions for view in VIEWS]
        # The largest first: they are what workers wait for.
        self._places = sorted(places, key=lambda place: -len(self._layouts[place[0]].rows))
        self._n1: dict[Place, dict[Key, Float[np.ndarray, stream]]] = {}
        self._n2: dict[Place, dict[Key, float]] = {}
        self._chains: _Chains = {}
        self._rows: list[dict[str, Any]] = []
        self._draws: dict[Place, list[Float[np.ndarray, "stream draw"]]] = {}

    def add_nulls(self, untrained: Sequence[States]) -> None:
        """Measure untrained models (N1) and bags of tokens (N2)."""
        for number, states in enumerate(untrained):
            self._check(states, f"untrained model {number}")
        for place, n1, n2 in zip(
            self._places,
            self._pool.map(lambda place: self._untrained(untrained, place), self._places),
            self._pool.map(self._surface, self._places),
            strict=True,
        ):
            self._n1[place], self._n2[place] = n1, n2

    def add(self, step: int, states: States) -> None:
        self._check(states, f"step {step}")
        scores = self._pool.map(
            lambda place: self._score(states, place, warm=self._chains.get(place)), self._places
        )
        for place, scored in zip(self._places, scores, strict=True):
            self._chains[place] = scored.clusters
            self._rows += rows_of(
                step, self._streams, place, scored, self._n1[place], self._n2[place]
            )
            draws = _report_draws(scored)
            if draws is not None:
                self._draws.setdefault(place, []).append(draws)

    def panel(self) -> Panel:
        draws = {place: np.stack(values) for place, values in self._draws.items()}
        return Panel(to_table(self._rows), draws)

    def _score(self, states: States, place: Place, **options: Any) -> Scored:
        where = self._layouts[place[0]]
        index = states.positions.index(place[0])
        x = states.values[:, index].cpu()[:, where.rows]
        return score(x, where, place[1], self._effort, **options)

    def _untrained(
        self, untrained: Sequence[States], place: Place
    ) -> dict[Key, Float[np.ndarray, "stream"]]:
        """N1: the most among untrained models, by stream."""
        return _most(_plain(self._score(states, place, nulls=False)) for states in untrained)

    def _surface(self, place: Place) -> dict[Key, float]:
        """N2: the better of token counts and TF-IDF."""
        where = self._layouts[place[0]]
        bags = bag_of_tokens(self._probe, place[0], where.rows.numpy())
        scored = (score(bag[None], where, place[1], self._effort, nulls=False) for bag in bags)
        result = {key: float(best[0]) for key, best in _most(map(_plain, scored)).items()}
        result.pop(("", "rankme", "all"), None)
        return result

    def _check(self, states: States, what: str) -> None:
        found = (states.streams, states.positions, states.values.shape[2])
        if found != (self._streams, self._positions, self._rows_expected):
            raise BadInput(
                f"the states of {what} have streams {states.streams}, positions "
                f"{states.positions} and {states.values.shape[2]} rows instead of "
                f"{self._streams}, {self._positions} and {self._rows_expected}; "
                "measure states of one run and its own probe"
            )


def _plain(scored: Scored) -> dict[Key, Float[np.ndarray, "stream"]]:
    """Values alone; constant states score 0, broken ones nothing."""
    flat, broken = np.array(scored.constant), np.array(scored.broken)
    result: dict[Key, Float[np.ndarray, stream]] = {}
    for item in scored.scores:
        zero = np.nan if item.metric == "cdnv" or item.note else 0.0
        result[item.key] = np.where(broken, np.nan, np.where(flat, zero, item.values))
    return result


def _most(
    found: Iterable[dict[Key, Float[np.ndarray, "stream"]]],
) -> dict[Key, Float[np.ndarray, "stream"]]:
    """The largest of each number; of CDNV the least, since small is far apart."""
    result: dict[Key, Float[np.ndarray, stream]] = {}
    for scores in found:
        for key, values in scores.items():
            better = np.fmin if key[1] == "cdnv" else np.fmax
            result[key] = better(result[key], values) if key in result else values
    return result


def _report_draws(scored: Scored) -> Float[np.ndarray, "stream draw"] | None:
    for item in scored.scores:
        if item.key == ("task", "ari", "report") and item.draws is not None:
            draws = np.where(np.array(scored.constant)[:, None], 0.0, item.draws)
            return np.where(np.array(scored.broken)[:, None], np.nan, draws)
    return None
