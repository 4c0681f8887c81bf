"""Scored rows on their way to the process that watches drift."""

import logging
import math
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import Atlas, Scores
from nucleate.monitor.service._metrics import Metrics
from nucleate.monitor.service._watcher import Watching, watch

LOG = logging.getLogger("nucleate.service")
_TOGETHER = 100
"""Rows that are sent at once: each sending costs as much as a few rows."""
_MOST_TOGETHER = 1_000
"""Rows, or one request, that are sent at once at most: they are copied on their way."""
_MOST_WAITING = 20_000
_HOUR = 3600.0
_HOURS_A_MONTH = 720
_SECONDS_TO_FINISH = 10.0


class DriftFeed:
    """Hands scored rows to a process of its own, and knows its newest report.

    Rows wait while it works; more than 20,000 do not fit, and what does not fit is left out and
    counted. No text and no hash of one is handed over.

    Args:
        atlas: that scores.
        file: in which the monitor's state is kept; None keeps none.
        metrics: that show what it says.
        how: looks and rates.

    Raises:
        BadInput: the state cannot be read or written.
    """

    def __init__(
        self, atlas: Atlas, file: Path | None, metrics: Metrics, how: Watching | None = None
    ) -> None:
        self._how, self._metrics = how or Watching(), metrics
        self._waiting: deque[tuple[Scores, np.ndarray]] = deque()
        self._rows = 0
        self._ready = threading.Condition()
        self._closing = False
        self._began = time.monotonic()
        self._minutes: deque[tuple[float, int]] = deque()
        spawn = multiprocessing.get_context("spawn")
        self._channel, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=watch, args=(theirs, atlas, file, self._how), daemon=True, name="drift"
        )
        self._process.start()
        theirs.close()
        first = self._channel.recv()
        if isinstance(first, str):
            self._process.join()
            raise BadInput(first)
        self._report: dict[str, Any] = first
        self.show()
        self._thread = threading.Thread(target=self._hand_over, daemon=True, name="drift feed")
        self._thread.start()

    def put(self, scores: Scores, vectors: Float[np.ndarray, "row width"]) -> None:
        """Take rows; returns at once."""
        with self._ready:
            self._count(len(scores))
            if self._rows + len(scores) > _MOST_WAITING or not self._thread.is_alive():
                self._metrics.drift_lost.inc(len(scores))
                return
            self._waiting.append((scores, vectors))
            self._rows += len(scores)
            if self._rows >= _TOGETHER:
                self._ready.notify()

    def _count(self, rows: int) -> None:
        minute = time.monotonic() // 60
        if self._minutes and self._minutes[-1][0] == minute:
            rows += self._minutes.pop()[1]
        self._minutes.append((minute, rows))
        while self._minutes[0][0] < minute - 60:
            self._minutes.popleft()

    def _hand_over(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._rows >= _TOGETHER or self._closing)
                given, rows = [], 0
                while self._waiting and rows < _MOST_TOGETHER:
                    given.append(self._waiting.popleft())
                    rows += len(given[-1][0])
                self._rows -= rows
            try:
                if given:
                    self._channel.send(_joined(given))
                    self._took(self._channel.recv(), rows)
                elif self._closing:
                    self._channel.send(None)
                    return
            except (EOFError, OSError):
                if self._closing:
                    return
                self._report = {"kind": "drift", "version": 1, "verdict": "failed"}
                self.show()
                LOG.error("the process that watches drift has ended: drift is not watched")
                return

    def _took(self, said: dict[str, Any] | str, rows: int) -> None:
        if isinstance(said, str):
            self._metrics.drift_lost.inc(rows)
            LOG.warning("%d rows are left out of drift: %s", rows, said)
            return
        self._report = said
        self.show()

    def false_alarms_a_month(self) -> float:
        """How many to expect if the traffic of the last hour went on and nothing changed."""
        with self._ready:
            rows = sum(count for _, count in self._minutes)
        hours = min(max(time.monotonic() - self._began, 60.0), _HOUR) / _HOUR
        horizons = rows / hours * _HOURS_A_MONTH / (self._how.look * self._how.horizon)
        return self._how.rate * horizons

    def show(self) -> None:
        """Bring the metrics up to date."""
        report, metrics = self._report, self._metrics
        metrics.show_drift_state(report["verdict"])
        for signal in report.get("signals", ()):
            name, limit = signal["name"], signal.get("limit")
            metrics.drift_statistic.labels(name).set(signal["value"])
            if limit is not None and math.isfinite(limit):
                metrics.drift_threshold.labels(name).set(limit)
        metrics.drift_looks.set((report.get("looks") or {}).get("done", 0))
        metrics.false_alarms.labels("drift").set(self.false_alarms_a_month())

    def report(self) -> Mapping[str, Any]:
        """The newest report, with the false alarms to expect at the traffic of the last hour."""
        return {**self._report, "false_alarms_a_month": self.false_alarms_a_month()}

    def close(self) -> None:
        """Hand over what waits, and end the process, which is not waited for long."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        until = time.monotonic() + _SECONDS_TO_FINISH
        self._thread.join(_SECONDS_TO_FINISH)
        self._process.join(max(until - time.monotonic(), 0))
        if self._process.exitcode is None:
            LOG.warning("drift was being computed: its state is that of the last look saved")
            self._process.kill()
            self._process.join()
        self._channel.close()


def _joined(given: list[tuple[Scores, np.ndarray]]) -> tuple[Scores, np.ndarray]:
    """Rows of several requests as one."""
    if len(given) == 1:
        return given[0]
    all_scores, vectors = zip(*given, strict=True)
    columns = ("cluster", "probability", "p", "p_states", "p_surface", "margin")
    joined = {name: np.concatenate([getattr(one, name) for one in all_scores]) for name in columns}
    # Drift asks for no neighbors.
    nearest = np.zeros((len(joined["p"]), 0), dtype=np.int64)
    return replace(all_scores[0], nearest=nearest, **joined), np.concatenate(vectors)
