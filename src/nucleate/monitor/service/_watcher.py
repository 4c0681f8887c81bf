"""The process that watches drift: its simulations never hold up an answer."""

import contextlib
import json
import logging
import os
import signal
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import Atlas, Scores
from nucleate.runs import write_whole

LOG = logging.getLogger("nucleate.service")
_KINDER = 10
_SECONDS_BETWEEN_SAVES = 10.0


@dataclass(frozen=True)
class Watching:
    """How drift is watched.

    Args:
        look: rows of a look.
        horizon: looks over which the rate of false alarms holds.
        rate: of false alarms in a horizon.
        outside: p from which down a row is in no known cluster.
        seed: of the simulation of thresholds.
    """

    look: int = 500
    horizon: int = 100
    rate: float = 0.05
    outside: float = 0.05
    seed: int = 0


def watch(channel: Connection, atlas: Atlas, file: Path | None, how: Watching) -> None:
    """Take rows from a channel and send back what is known of drift, until the channel ends.

    Args:
        channel: gives pairs of scores and vectors, or None at the end; gets reports, or a sentence.
        atlas: that scored them.
        file: of the state.
        how: looks and rates.
    """
    # Whoever stops the service tells it alone, and it tells this process.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_KINDER)
    try:
        watched = _Watched(atlas, file, how)
    except BadInput as error:
        channel.send(str(error))
        return
    channel.send(watched.monitor.report().to_dict())
    while True:
        try:
            given = channel.recv()
        except EOFError:  # the service is gone
            return
        if given is None:
            watched.save()
            return
        try:
            channel.send(watched.add(*given))
        except BadInput as error:
            channel.send(str(error))


class _Watched:
    """A monitor and the file that its state is kept in."""

    def __init__(self, atlas: Atlas, file: Path | None, how: Watching) -> None:
        # Here, so that the service, which starts this process, does not load all of it too.
        from threadpoolctl import threadpool_limits

        from nucleate.monitor.drift import DriftMonitor, DriftSample

        threadpool_limits(1)  # the other cores answer requests
        self._atlas, self._file, self._saved = atlas, file, time.monotonic()
        # Of states alone, which are always there; texts may come with some rows only.
        reference = DriftSample.of_reference(atlas, "states")
        kept = _read_state(file, reference.digest)
        if kept is None:
            self.monitor = DriftMonitor(
                reference, size=how.look, horizon=how.horizon, rate=how.rate, outside=how.outside,
                training=atlas.texts_hashes, seed=how.seed,
            )  # fmt: skip
            self.save()  # what cannot be written is refused at the start
        else:
            self.monitor = DriftMonitor.restore(kept, reference, training=atlas.texts_hashes)

    def add(self, scores: Scores, vectors: Float[np.ndarray, "row width"]) -> dict[str, Any]:
        from nucleate.monitor.drift import DriftSample

        silent = np.full(len(scores), np.nan)
        by_states = replace(scores, p=scores.p_states, p_surface=silent)
        report = self.monitor.add(DriftSample.of_scores(self._atlas, by_states, vectors))
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self.save()
        return report.to_dict()

    def save(self) -> None:
        if self._file is not None:
            try:
                write_whole(self._file, json.dumps(self.monitor.state()).encode())
            except OSError as error:
                raise BadInput(
                    f"the drift state {self._file} cannot be written ({error.strerror}); name "
                    "another file with --drift-state"
                ) from error
        self._saved = time.monotonic()


def _read_state(file: Path | None, reference: str) -> Any:
    """What a file keeps of the same reference; that of another one is put aside."""
    if file is None or not file.exists():
        return None
    try:
        kept = json.loads(file.read_bytes())
        of = str(kept["reference"])
    except OSError as error:
        raise BadInput(
            f"the drift state {file} cannot be read ({error.strerror}); name another file"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            f"{file} is no drift state, or a damaged one; move it away to begin a new one"
        ) from error
    if of == reference:
        return kept
    aside = file.with_name(f"{file.name}.{''.join(c for c in of if c.isalnum())[:16]}")
    file.replace(aside)
    LOG.warning("the drift state %s is of another atlas: it is kept as %s", file, aside.name)
    return None
