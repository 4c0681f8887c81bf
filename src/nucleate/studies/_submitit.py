"""Runs as jobs of Slurm, or of submitit's local stand-in for it."""

import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput
from nucleate._core.progress import Watcher
from nucleate.studies._side_by_side import Flag, do_watched, needed, side_by_side

_CLUSTERS = ("slurm", "local")
# Minutes after which a job is begun anew, from the run's newest checkpoint.
_MINUTES = {"slurm": 240, "local": 7 * 24 * 60}


class Submitit:
    """A job for each run, so many at a time, queued or running.

    Jobs outlive the process that submitted them, as jobs on a cluster should: a study that is
    begun again finds them running by the signs of life in their folders. They see `out` at the
    same path as the submitting machine.

    Args:
        workers: jobs at a time.
        options: `cluster` (slurm or local; by default slurm where `srun` is), and any parameter of
            submitit's `AutoExecutor`, such as `slurm_partition`, `timeout_min`, `mem_gb`, or
            `cpus_per_task`, which is also the number of threads (1).

    Raises:
        BadInput: submitit is not installed, there is no such cluster, or it has no such option.
    """

    def __init__(self, workers: int, options: Mapping[str, Any] | None = None) -> None:
        self._workers = workers
        self._submitit = needed("submitit", "submitit")
        self._options = {"cpus_per_task": 1, **(options or {})}
        self._cluster = self._options.pop("cluster", None) or self._submitit.AutoExecutor.which()
        if self._cluster not in _CLUSTERS:
            raise BadInput(
                f"executor option cluster is {self._cluster!r}; choose from {', '.join(_CLUSTERS)}"
            )
        with tempfile.TemporaryDirectory() as folder:
            self._executor(Path(folder))

    def __call__(
        self, folders: Sequence[Path], watcher: Watcher, ended: Callable[[Path], None]
    ) -> None:
        """See `Executor`."""
        if not folders:
            return
        # Jobs may begin in another working directory.
        files = folders[0].parent.resolve() / f".submitit-{uuid.uuid4().hex[:12]}"
        files.mkdir(parents=True)
        go = files / "go"
        go.touch()
        executor, lost = self._executor(files), list[Path]()

        def begin(folder: Path) -> _Job:
            with _spared_ctrl_c():
                job = executor.submit(
                    _Work(), str(folder.resolve()), str(go), self._options["cpus_per_task"]
                )
            return _Job(folder, job, go, self._cluster, lost)

        side_by_side(begin, folders, self._workers, watcher, ended)
        if not lost:  # what submitit wrote tells why a job was lost, and else nothing
            shutil.rmtree(files, ignore_errors=True)

    def _executor(self, folder: Path) -> Any:
        try:
            executor = self._submitit.AutoExecutor(folder, cluster=self._cluster)
            executor.update_parameters(
                **{"timeout_min": _MINUTES[self._cluster], "name": "nucleate", **self._options}
            )
        except (NameError, TypeError, ValueError, RuntimeError, AssertionError) as error:
            # Of several lines the first names the culprit, the others list what there is.
            said = str(error).strip().partition("\n")[0]
            raise BadInput(
                f"submitit refuses these options for {self._cluster}: {said}; correct "
                "--executor-option"
            ) from error
        return executor


@dataclass(frozen=True)
class _Job:
    folder: Path
    job: Any
    go: Path
    cluster: str
    lost: list[Path]

    def is_over(self, watcher: Watcher) -> bool:
        if not self.job.done():
            return False
        if not self.job.paths.result_pickle.exists():
            self.lost.append(self.folder)
            why = self.job.paths.stderr
            watcher.say(f"{self.folder}: job {self.job.job_id} was lost; {why} may say why")
        elif error := self.job.exception():
            self.lost.append(self.folder)
            last = str(error).strip().splitlines()[0]
            watcher.say(f"{self.folder}: {last}; see {self.job.paths.stderr}")
        return True

    def stop(self) -> None:
        self.go.unlink(missing_ok=True)
        # One that still queues would keep everybody waiting.
        if self.cluster == "slurm" and self.job.state.upper() == "PENDING":
            self.job.cancel(check=False)

    def close(self) -> None:
        """There is nothing to give back."""

    def break_off(self) -> None:
        with suppress(OSError):
            self.stop()


class _Work:
    """What a job does; submitit calls it by these names."""

    def __call__(self, folder: str, go: str, threads: int) -> None:
        """Do the run."""
        flag = _Flag(Path(go))
        # scancel sends this half a minute before it kills.
        signal.signal(signal.SIGTERM, flag.on_signal)
        do_watched(Path(folder), flag, threads)

    def checkpoint(self, *job: Any) -> Any:
        """The job that takes this one's place when its time is up or its machine is wanted."""
        return needed("submitit", "submitit").helpers.DelayedSubmission(self, *job)


class _Flag(Flag):
    """Also stops on a signal."""

    _signaled = False

    def on_signal(self, *_: object) -> None:
        self._signaled = True

    def stopping(self) -> bool:
        return self._signaled or super().stopping()


@contextmanager
def _spared_ctrl_c() -> Iterator[None]:
    """What is started within does not get the terminal's Ctrl-C: this process tells it to stop.

    The signal is held back and not ignored: one that comes meanwhile reaches this process after.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
