"""A study done: every run that its folders lack, and what its folders say of it."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput, Interrupted, RunFailed
from nucleate._core.progress import Silent, Tick, Watcher
from nucleate.studies._check import check_settings
from nucleate.studies._command import CommandConfig, check_command
from nucleate.studies._cost import distinct
from nucleate.studies._executors import Executor, Inline
from nucleate.studies._folders import FAILED, STATES, State, read_mark, state_of, write_spec
from nucleate.studies._full_disk import told_when_full, why_full
from nucleate.studies._page import Study, StudyRun

_TRIES = 3
"""So often a run is begun in one sitting whose worker dies."""
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class StudyStatus:
    """What has become of a study's runs.

    Attributes:
        name: of the study.
        states: each run's label, folder and state, and why it failed.
    """

    name: str
    states: tuple[tuple[str, Path, State, str], ...]

    @property
    def counts(self) -> dict[State, int]:
        """How many runs are in each state."""
        found = Counter(state for _, _, state, _ in self.states)
        return {state: found[state] for state in STATES}

    def lines(self) -> list[str]:
        """For a terminal: counts, then every run that is not simply done or to do."""
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        told = [f"study {self.name}: {counts}"]
        for label, folder, state, why in self.states:
            if state not in ("done", "to do"):
                told.append(f"{state}: {label} ({folder}){': ' if why else ''}{why}")
        return told

    def to_dict(self) -> dict[str, Any]:
        """The same for programs."""
        keys = ("run", "folder", "state", "error")
        runs = [dict(zip(keys, map(str, one), strict=True)) for one in self.states]
        return {"name": self.name, "counts": self.counts, "runs": runs}


def study_status(study: Study, out: Path | str) -> StudyStatus:
    """Look at the folders of a study's runs; nothing is changed.

    Args:
        study: from `read_study`.
        out: the folder of the runs; it need not be there.

    Returns:
        The state of every run, those that two settings share once.

    Raises:
        BadInput: a run's folder is damaged or of a newer version.
    """
    out, found = as_path("out", out), []
    for run in distinct(study.runs):
        folder = out / run.key
        state = state_of(folder)
        found.append((run.label, folder, state, _why(folder) if state == "failed" else ""))
    return StudyStatus(study.name, tuple(found))


def check_study(study: Study, out: Path | str) -> None:
    """Refuse, before anything runs, folders that cannot be written or hold something else.

    Args:
        study: from `read_study`.
        out: the folder of the runs.

    Raises:
        BadInput: `out` is a run or cannot be written, or a run's folder is damaged, of other
            settings, or of a newer version.
    """
    out = as_path("out", out)
    if (out / "manifest.json").exists():
        raise BadInput(
            f"{out} is a run itself, and no folder for the runs of a study; name another with --out"
        )
    for run in distinct(study.runs):
        if state_of(out / run.key) not in ("done", "running"):
            if isinstance(run.config, CommandConfig):
                check_command(run.config, out / run.key)
            else:
                check_settings(run.config, out / run.key)


def run_study(
    study: Study,
    out: Path | str,
    *,
    executor: Executor | None = None,
    watcher: Watcher | None = None,
) -> StudyStatus:
    """Do the runs of a study that are not done.

    The same call goes on after any interruption. A run that is done, by whichever study, is never
    done again; one that another process is at is waited for; one whose worker died is taken up
    where it stood.

    Args:
        study: from `read_study`.
        out: the folder of the runs, which several studies may share.
        executor: where runs are done; None: one after the other, here.
        watcher: is told of the progress and may ask to stop; None: nobody watches.

    Returns:
        The state of the runs: all are done.

    Raises:
        BadInput: see `check_study`.
        RunFailed: runs failed, or the disk is full; all others are done, except on a full disk.
        Interrupted: the watcher asked to stop.
    """
    out, watcher = as_path("out", out), watcher or Silent()
    check_study(study, out)
    runs = distinct(study.runs)
    with told_when_full(out):
        for run in runs:
            if state_of(out / run.key) not in ("done", "running"):
                write_spec(out / run.key, run)
    sitting = _Sitting(out, runs, executor or Inline(), watcher)
    failed = sitting.work(watcher.part(f"study {study.name}", len(runs)))
    if failed:
        first = failed[0]
        why = _why(out / first.key) or f"its worker died {_TRIES} times"
        raise RunFailed(
            f"{len(failed)} of {len(runs)} runs of {study.name} failed, the first of them "
            f"{first.label} ({out / first.key}): {why}; run again to try them again"
        )
    return study_status(study, out)


@dataclass
class _Sitting:
    """One call of `run_study`."""

    out: Path
    runs: list[StudyRun]
    executor: Executor
    watcher: Watcher

    def work(self, tick: Tick) -> list[StudyRun]:
        """Do what is left, round by round, until nothing is; the runs that failed."""
        tries: Counter[str] = Counter()
        given_up: dict[str, StudyRun] = {}
        while True:
            states = {run.key: self._state(run) for run in self.runs}
            left = [r for r in self.runs if states[r.key] != "done" and r.key not in given_up]
            if not left:
                tick(len(self.runs) - len(given_up), "")
                return list(given_up.values())
            mine = [run for run in left if states[run.key] != "running"]
            if mine:
                self._round(mine, tick)
            self._check_stop()
            if not mine:  # all are done elsewhere: be there when one is lost
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            for run in mine:
                state = self._state(run)
                # Of one whose worker died on another machine, the lock is believed for a while.
                tries[run.key] += state in ("lost", "to do", "running")
                if state == "failed" or tries[run.key] >= _TRIES:
                    given_up[run.key] = run

    def _round(self, runs: list[StudyRun], tick: Tick) -> None:
        by_folder = {self.out / run.key: run for run in runs}
        done = len(self.runs) - len(runs)
        full = _StopsWhenFull(self.watcher)

        def ended(folder: Path) -> None:
            nonlocal done
            state = state_of(folder)
            done += state == "done"
            tick(done, f"{state}: {by_folder[folder].label}")
            if state == "failed" and read_mark(folder / FAILED).get("full"):
                full.why = _why(folder)
            if state in ("lost", "to do") and not self.watcher.stopping():
                full.why = full.why or why_full(self.out)

        with told_when_full(self.out):
            self.executor(list(by_folder), full, ended)
        if full.why:
            raise RunFailed(full.why)

    def _state(self, run: StudyRun) -> State:
        return state_of(self.out / run.key)

    def _check_stop(self) -> None:
        if self.watcher.stopping():
            done = sum(self._state(run) == "done" for run in self.runs)
            raise Interrupted(
                f"stopped with {done} of {len(self.runs)} runs done; run again to resume"
            )


class _StopsWhenFull:
    """The watcher of the runs, which stops them all once the disk is full."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.why = ""
        self.part, self.say = watcher.part, watcher.say

    def stopping(self) -> bool:
        """Whether the disk is full, or the user asked to stop."""
        return bool(self.why) or self._watcher.stopping()


def _why(folder: Path) -> str:
    """Why a run failed, as its folder says."""
    if not (folder / FAILED).exists():
        return ""
    return str(read_mark(folder / FAILED).get("error", ""))
