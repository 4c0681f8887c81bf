"""Writing in the background: one job after another, few of them waiting."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait


class Writer:
    """Runs jobs in one background thread, in order; the interpreter's exit waits for them.

    Args:
        most: jobs that may be unfinished; one more makes the caller wait, so memory is bounded.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pool: ThreadPoolExecutor | None = None
        self._unfinished: list[Future[None]] = []

    def put(self, job: Callable[[], None]) -> None:
        """Let the thread do a job, which looks after its own errors."""
        self._unfinished = [future for future in self._unfinished if not future.done()]
        if len(self._unfinished) >= self._most:
            wait(self._unfinished, return_when=FIRST_COMPLETED)
        if self._pool is None:
            # Python joins a pool's threads before it exits, which a daemon thread's queue lacks.
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="nucleate-writer")
        self._unfinished.append(self._pool.submit(job))

    def flush(self) -> None:
        """Wait until all jobs are done."""
        wait(self._unfinished)

    def close(self) -> None:
        """Wait until all jobs are done and end the thread; the next job starts another."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
