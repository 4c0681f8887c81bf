"""Telling somebody of an alarm: a webhook, in a thread of its own."""

import atexit
import json
import logging
import queue
import threading
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from nucleate._core.arguments import check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate.monitor.alarms._alarm import Alarm

_log = logging.getLogger("nucleate")

_WAITING = 100
"""Alarms that may wait to be sent; further ones are counted and dropped."""


class Webhook:
    """Sends each alarm as JSON by POST; the training never waits for it.

    What is sent are the alarm's own fields (`Alarm.json`) and the name of the run: names of tasks
    and numbers, never the text of a prompt. An answer other than 2xx, and an address that does not
    answer, is tried again; after the last attempt the alarm is logged as not sent and left.

    Args:
        url: http or https.
        run: name that is sent along.
        timeout: seconds to wait for an answer.
        attempts: how often each alarm is tried, at least once.
        pause: seconds before the second attempt, twice as long before each further one.

    Attributes:
        sent: alarms that were taken.
        lost: alarms that were given up.

    Raises:
        BadInput: the address is no http or https one, or a number is out of range.
    """

    def __init__(
        self,
        url: str,
        *,
        run: str = "",
        timeout: float = 5.0,
        attempts: int = 3,
        pause: float = 1.0,
    ) -> None:
        check_whole("attempts", attempts, least=1)
        for name, value in (("timeout", timeout), ("pause", pause)):
            check_number(name, value)
            if value < 0 or (name == "timeout" and value == 0):
                raise BadInput(f"{name} is {value}; give seconds above 0")
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"the webhook {url!r} is no address; give one that begins with https://")
        self._url, self._run = url, run
        self._timeout, self._attempts, self._pause = timeout, attempts, pause
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self.sent = self.lost = 0

    def __call__(self, alarm: Alarm) -> None:
        """Have an alarm sent; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="nucleate-webhook", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        try:
            self._queue.put_nowait({"run": self._run, **alarm.json()})
        except queue.Full:
            self.lost += 1

    def close(self, seconds: float = 10.0) -> None:
        """Wait until what was given is sent or given up, for so many seconds at most."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        atexit.unregister(self.close)
        ends = time.monotonic() + seconds
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            self._closing.set()
        thread.join(max(0.0, ends - time.monotonic()))
        self._closing.set()

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            self._deliver(json.dumps(message).encode())

    def _deliver(self, data: bytes) -> None:
        pause, why = self._pause, ""
        for attempt in range(self._attempts):
            if attempt and self._closing.wait(pause):
                break
            pause *= 2 if attempt else 1
            try:
                request = urllib.request.Request(
                    self._url, data, {"content-type": "application/json"}, method="POST"
                )
                with urllib.request.urlopen(request, timeout=self._timeout):
                    self.sent += 1
                    return
            except (OSError, ValueError) as error:
                why = str(error)
        self.lost += 1
        host = urlsplit(self._url).hostname
        _log.warning("an alarm could not be sent to %s (%s); it stands in the journal", host, why)
