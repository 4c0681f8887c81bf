"""A study whose settings are proposed trial by trial, each from what earlier trials found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput, RunFailed
from nucleate._core.names import nearest
from nucleate._core.progress import Watcher
from nucleate.studies._config import read_yaml
from nucleate.studies._executors import Executor
from nucleate.studies._folders import FAILED, read_mark, state_of
from nucleate.studies._page import LIMIT, NUMBERS, Direction, Sampler, Study, read_study
from nucleate.studies._study import run_study

_KEYS = ("over", "trials", "number", "direction", "sampler", "seed")
_RANGE = ("low", "high", "log", "step")
Value = float | None
"""What a trial found: NaN where a run of it failed, None where it is not over."""


@dataclass(frozen=True)
class _Search:
    over: Mapping[str, Any]
    trials: int
    number: str
    direction: Direction
    sampler: Sampler
    seed: int


def open_study(file: Path | str, out: Path | str) -> Study:
    """Read a study's page; of one with a search, the trials that are known by now.

    A search remembers nothing: its trials are asked for anew, each answered with what its runs'
    folders say, up to the first that is not over. The same page and folders give the same trials.

    Args:
        file: the page.
        out: the folder of the runs.

    Returns:
        The study; `further` says how many trials follow from what the last ones find.

    Raises:
        BadInput: as `read_study`, or the search does not fit, or Optuna is not installed.
    """
    file, out = as_path("file", file), as_path("out", out)
    page = read_yaml(file)
    if "search" not in page:
        return read_study(file)
    search = _read_search(file, page)
    changes = _replay(search, lambda change: _found(_trial(file, change), out, search.number))
    study = read_study(file, trials=changes)
    limit = page.get("limit", LIMIT)
    each = len(_trial(file, changes[0]).runs)
    if search.trials * each > limit:
        raise BadInput(
            f"{file}: the search asks for {search.trials * each} runs ({search.trials} trials, "
            f"{each} runs each), and its limit is {limit}; ask for fewer, or raise `limit`"
        )
    return replace(study, trials=search.trials, further=search.trials - len(changes))


def search_study(
    file: Path | str,
    out: Path | str,
    *,
    executor: Executor | None = None,
    watcher: Watcher | None = None,
) -> Study:
    """Do all trials of a page with a search, one after the other, each trial's runs together.

    The same call goes on after any interruption. A trial of which a run failed counts as failed,
    is told to the search as such, and is not tried again.

    Args:
        file: the page.
        out: the folder of the runs.
        executor: where the runs of a trial are done; None: one after the other, here.
        watcher: is told of the progress and may ask to stop; None: nobody watches.

    Returns:
        The study with all trials.

    Raises:
        BadInput: as `open_study` and `run_study`.
        RunFailed: all trials are over and some failed, or the disk is full.
        Interrupted: the watcher asked to stop.
    """
    file, out = as_path("file", file), as_path("out", out)
    if not open_study(file, out).trials:
        raise BadInput(f"{file} has no search; give its study to run_study")
    search = _read_search(file, read_yaml(file))
    failed: list[str] = []

    def do(change: Mapping[str, Any]) -> Value:
        trial = _trial(file, change)
        value = _found(trial, out, search.number)
        if value is None:
            try:
                run_study(trial, out, executor=executor, watcher=watcher)
            except RunFailed:
                if _found(trial, out, search.number) is None:
                    raise
            value = _found(trial, out, search.number)
        if value is not None and np.isnan(value):
            failed.append(trial.runs[0].setting)
        return value

    changes = _replay(search, do)
    if failed:
        raise RunFailed(
            f"{len(failed)} of {search.trials} trials failed or have no {search.number}, the first "
            f"of them {failed[0]}; the others are done: see `nucleate study status`"
        )
    return replace(read_study(file, trials=changes), trials=search.trials)


def _replay(search: _Search, value_of: Callable[[dict[str, Any]], Value]) -> list[dict[str, Any]]:
    """Ask for trial after trial and tell what each found, up to the first that is not over."""
    try:
        import optuna
    except ImportError as error:
        raise BadInput(
            "a study with `search` needs Optuna, which is not installed; "
            "pip install 'nucleate[optuna]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    study = optuna.create_study(
        sampler=samplers[search.sampler](seed=search.seed), direction=search.direction
    )
    changes = []
    for _ in range(search.trials):
        trial = study.ask()
        changes.append({key: _proposed(trial, key, given) for key, given in search.over.items()})
        value = value_of(changes[-1])
        if value is None:
            break
        if np.isnan(value):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, value)
    return changes


def _proposed(trial: Any, key: str, given: Any) -> Any:
    if isinstance(given, list):
        return trial.suggest_categorical(key, given)
    whole = all(isinstance(given[end], int) for end in ("low", "high"))
    suggest = trial.suggest_int if whole else trial.suggest_float
    more = {name: given[name] for name in ("log", "step") if name in given}
    return suggest(key, given["low"], given["high"], **more)


def _trial(file: Path, change: dict[str, Any] | Mapping[str, Any]) -> Study:
    return read_study(file, trials=[change])


def _found(trial: Study, out: Path, number: str) -> Value:
    """The mean of the number over a trial's own runs; of dates the median (see `study_table`)."""
    states = {run.key: state_of(out / run.key) for run in trial.runs}
    for key, state in states.items():
        full = state == "failed" and read_mark(out / key / FAILED).get("full")
        if state not in ("done", "failed") or full:
            return None
    if "failed" in states.values():
        return float("nan")
    from nucleate.studies._table import study_table

    rows = study_table(replace(trial, tables=(number,)), out).rows
    cells = [row.cells.get(number) for row in rows if not row.of]
    return float(np.mean([float("nan") if cell is None else cell.value for cell in cells]))


def _read_search(file: Path, page: Mapping[str, Any]) -> _Search:
    given = page["search"]
    if not isinstance(given, Mapping):
        raise BadInput(f"{file}: search is {given!r}; give {', '.join(_KEYS)}")
    for key in given:
        if key not in _KEYS:
            raise BadInput(
                f"{file}: search has no use for {key!r}{nearest(str(key), _KEYS)}; it has "
                f"{', '.join(_KEYS)}"
            )
    for key in ("grid", "list"):
        if key in page:
            raise BadInput(f"{file} has both search and {key}; leave one of them out")
    over = given.get("over")
    if not isinstance(over, Mapping) or not over:
        raise BadInput(f"{file}: search.over is {over!r}; give settings with ranges or lists")
    trials, seed = given.get("trials", 20), given.get("seed", 0)
    for name, value, least in (("trials", trials, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadInput(f"{file}: search.{name} is {value!r}; give a whole number from {least}")
    choices = {"number": NUMBERS, "direction": get_args(Direction), "sampler": get_args(Sampler)}
    for name, known in choices.items():
        value = given.get(name, "tpe" if name == "sampler" else None)
        if value not in known:
            raise BadInput(
                f"{file}: search.{name} is {value!r}{nearest(str(value), known)}; choose from "
                f"{', '.join(known)}"
            )
    return _Search(
        {str(key): _space(file, str(key), value) for key, value in over.items()}, trials,
        given["number"], given["direction"], given.get("sampler", "tpe"), seed,
    )  # fmt: skip


def _space(file: Path, key: str, given: Any) -> list[Any] | dict[str, Any]:
    """A list of values, or a range whose ends are numbers however YAML reads them (1e-4)."""
    if isinstance(given, list) and given:
        return given
    told = f"{file}: search.over.{key} is {given!r}; give a list, or {{low: 1e-4, high: 1e-2}}"
    if not isinstance(given, Mapping) or not {"low", "high"} <= given.keys() <= set(_RANGE):
        raise BadInput(told)
    space = dict(given)
    try:
        for end in {"low", "high", "step"} & given.keys():
            space[end] = given[end] if isinstance(given[end], int) else float(given[end])
    except (TypeError, ValueError) as error:
        raise BadInput(told) from error
    if not space["low"] <= space["high"] or (space.get("log") and space["low"] <= 0):
        raise BadInput(f"{told}, low below high, and above 0 with log")
    if space.get("log") and "step" in space:
        raise BadInput(f"{told}, and either log or step")
    return space
