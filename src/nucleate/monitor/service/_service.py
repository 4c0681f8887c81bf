"""The service without its transport: scoring, admission, reload, what is said of its state."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import Atlas, text_hash
from nucleate.monitor.service._bodies import Rows, rows_of
from nucleate.monitor.service._held import Feed, Held, Reader, answer, read_gate
from nucleate.monitor.service._limits import Limits, Refused
from nucleate.monitor.service._metrics import Metrics

LOG = logging.getLogger("nucleate.service")
_SMALL = 32 * 2**10
"""Bytes of a body up to which a thread would cost more than the scoring itself."""


FeedMaker = Callable[[Atlas, Path | None, Metrics], Feed]
"""Makes what watches an atlas's scored rows for drift, with the file of its state."""


@dataclass(frozen=True)
class Sources:
    """Where a service reads what it serves, at the start and at every reload.

    Args:
        atlas: folder of `nucleate atlas fit`.
        gate: report of `nucleate gate`.
        drift_state: file in which the drift monitor outlives the process; None keeps it in memory.
        rate: share of known requests that may be called outside.
    """

    atlas: Path
    gate: Path | None = None
    drift_state: Path | None = None
    rate: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise BadInput(f"--rate is {self.rate}; give a share between 0 and 1, such as 0.05")


class Service:
    """Scores rows against an atlas that can be replaced while requests are under way.

    Args:
        sources: what is served.
        limits: what a request may be at most.
        reader: of texts; without one only vectors are scored.
        feed: makes the drift monitor of an atlas; without one drift is not watched.

    Raises:
        BadInput: the atlas or the gate report cannot be read, or does not fit the reader's model.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        limits: Limits | None = None,
        reader: Reader | None = None,
        feed: FeedMaker | None = None,
    ) -> None:
        self.sources, self.limits, self.reader = sources, limits or Limits(), reader
        self.metrics = Metrics()
        self.stopping = False
        self._make_feed = feed
        self._requests = 0
        self._reloading = asyncio.Lock()
        # One: batches wait for each other rather than for the cores, and memory stays bounded.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="score")
        self.held = self._load(None)
        self._show(self.held)
        self.metrics.ready.set(1)

    def _load(self, before: Held | None) -> Held:
        atlas = Atlas.load(self.sources.atlas)
        if before is not None:
            _check_same_model(atlas, before.atlas, self.sources.atlas)
        if self.reader is not None:
            self.reader.check(atlas)
        # What cannot score is refused now, and the first request finds everything warm.
        atlas.score(np.zeros((1, atlas.width), dtype=np.float32))
        gate = None if self.sources.gate is None else read_gate(self.sources.gate)
        if before is not None and before.atlas.version == atlas.version:
            feed = before.feed
        elif self._make_feed is not None:
            feed = self._make_feed(atlas, self.sources.drift_state, self.metrics)
        else:
            feed = None
        return Held(atlas, self.sources.rate, gate, feed)

    def _show(self, held: Held) -> None:
        self.metrics.show_atlas(
            held.names,
            held.about,
            when=time.time(),
            rate=held.rate,
            rate_upper=held.outside_upper(),
        )
        verdict = "none" if held.gate is None else str(held.gate["verdict"])
        self.metrics.show_gate(verdict, held.about["version"], held.gate_of_this_atlas)
        if held.feed is None:
            self.metrics.show_drift_state("off")

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold one of the places for requests.

        Raises:
            Refused: 429 where all are taken.
        """
        if self._requests >= self.limits.at_once:
            raise Refused(
                429,
                f"{self._requests} score requests are being answered, the most that this service "
                "holds; send it again in a second",
                retry_after="1",
            )
        self._requests += 1
        self.metrics.in_flight.set(self._requests)
        try:
            yield
        finally:
            self._requests -= 1
            self.metrics.in_flight.set(self._requests)

    async def score(self, body: bytes, kind: str, width: str | None) -> tuple[bytes, int]:
        """The answer to a body, and how many rows it had.

        Raises:
            Refused: the body cannot be scored.
        """
        held = self.held
        if self.reader is None and len(body) <= _SMALL:
            return self._score(held, body, kind, width)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._score, held, body, kind, width)

    def _score(self, held: Held, body: bytes, kind: str, width: str | None) -> tuple[bytes, int]:
        rows = rows_of(
            body, kind, width, limits=self.limits, expected=held.atlas.width,
            reads=self.reader is not None,
        )  # fmt: skip
        try:
            said = self._scored(held, rows)
        except BadInput as error:
            raise Refused(422, str(error)) from error
        return orjson.dumps(said), len(rows)

    def _scored(self, held: Held, rows: Rows) -> dict[str, Any]:
        vectors, texts = rows.vectors, rows.texts
        if vectors is None:
            assert self.reader is not None  # rows_of has refused texts without vectors
            assert texts is not None
            vectors = self.reader(held.atlas, texts)
        scores = held.atlas.score(vectors, texts)
        self.metrics.count_rows(held.names, scores.cluster, scores.p, scores.outside(held.rate))
        if held.feed is not None:
            held.feed.put(scores, vectors)
        hashes = None if texts is None else [text_hash(text) for text in texts]
        return answer(held, scores, hashes)

    async def reload(self) -> dict[str, Any]:
        """Read atlas and gate report again, and serve them from the next request on.

        Requests under way are answered by the atlas that they began with.

        Returns:
            the versions before and now.

        Raises:
            BadInput: they cannot be read or are of another model; the old ones stay.
        """
        async with self._reloading:
            before = self.held
            try:
                held = await asyncio.to_thread(self._load, before)
            except Exception as error:
                # Whatever is wrong with it: it is told, and the old one stays in service.
                self.metrics.reloads.labels("refused").inc()
                why = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}"
                told = (
                    f"{self.sources.atlas} is not taken into service ({why}); the atlas "
                    f"{before.atlas.version} stays"
                )
                LOG.warning("reload refused: %s", told)
                raise BadInput(told) from error
            self.held = held
            self._show(held)
            same = held.atlas.version == before.atlas.version
            self.metrics.reloads.labels("unchanged" if same else "swapped").inc()
            if before.feed is not None and before.feed is not held.feed:
                await asyncio.to_thread(before.feed.close)
            LOG.info("reload: atlas %s, before %s", held.atlas.version, before.atlas.version)
            return {"atlas": held.atlas.version, "before": before.atlas.version}

    def numbers(self) -> bytes:
        """What Prometheus reads."""
        if self.held.feed is not None:
            self.held.feed.show()
        return self.metrics.text()

    def drift(self) -> Mapping[str, Any]:
        """What the drift monitor says, as `nucleate drift` would."""
        if self.held.feed is None:
            return {"kind": "drift", "version": 1, "verdict": "off"}
        return self.held.feed.report()

    def gate(self) -> Mapping[str, Any]:
        """The gate report, and whether it is about the atlas in service.

        Raises:
            Refused: 404 where no report was given.
        """
        if self.held.gate is None:
            raise Refused(404, "this service was given no gate report; start it with --gate FILE")
        return {
            "report": self.held.gate,
            "atlas": self.held.atlas.version,
            "of_this_atlas": self.held.gate_of_this_atlas,
        }

    def stop(self) -> None:
        """Be unready from now on; requests are still answered."""
        self.stopping = True
        self.metrics.ready.set(0)

    def close(self) -> None:
        """Finish what is under way, and keep the drift monitor's state."""
        self._worker.shutdown(wait=True)
        if self.held.feed is not None:
            self.held.feed.close()


def _check_same_model(new: Atlas, old: Atlas, folder: Path) -> None:
    """Refuse an atlas for whose vectors the clients would have to change."""
    if new.width != old.width:
        raise BadInput(
            f"the atlas {folder} reads vectors of width {new.width}, the one in service "
            f"{old.width}; start a service of its own for another model"
        )
    for part in sorted(new.fingerprints.keys() & old.fingerprints.keys()):
        if new.fingerprints[part] != old.fingerprints[part]:
            raise BadInput(
                f"the atlas {folder} is of another {part} ({new.fingerprints[part][:16]}, in "
                f"service {old.fingerprints[part][:16]}); start a service of its own for it"
            )
