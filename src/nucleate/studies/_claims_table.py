"""The claims judged over the runs that are done, each beside its null."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from nucleate._core.arguments import as_path
from nucleate.findings import (
    Arms,
    ClaimResult,
    Condition,
    RunNumbers,
    interval,
    json_value,
    judge_claim,
    number,
)
from nucleate.studies._claims import SCRAMBLED, Claims, threshold_notes
from nucleate.studies._evidence import evidence_of
from nucleate.studies._execute import usable_threads
from nucleate.studies._folders import state_of
from nucleate.studies._page import StudyRun


@dataclass(frozen=True)
class ClaimsTable:
    """What became of the claims.

    Attributes:
        form: which form of them was run.
        digest: hash of the file of claims.
        results: each claim, with its null study.
        notes: what a reader must know, such as thresholds that were changed.
        done, asked: how many runs.
    """

    form: str
    digest: str
    results: tuple[ClaimResult, ...]
    notes: tuple[str, ...]
    done: int
    asked: int

    def lines(self) -> list[str]:
        """For a terminal: one line a claim, with what decided below it."""
        told = [f"{self.form} ({self.digest}): {self.done} of {self.asked} runs done"]
        told += [f"note: {note}" for note in self.notes]
        for result in self.results:
            told.append(
                f"{result.name:<4}{result.verdict:<14}{result.says} {_main(result)}, "
                f"{result.seeds} seeds; without task information: {_null(result)}"
            )
            told.append(f"    {result.reason}")
        return told

    def records(self) -> list[dict[str, Any]]:
        """One mapping a condition, for CSV: the claim with its verdict, and the condition."""
        found = []
        for result in self.results:
            for study, one in (("claim", result), ("null", result.null)):
                if one is not None:
                    head = {"claim": result.name, "study": study, "verdict": one.verdict}
                    found += [head | _record(condition) for condition in one.conditions]
        return found

    def to_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "form": self.form,
            "digest": self.digest,
            "done": self.done,
            "asked": self.asked,
            "notes": list(self.notes),
            "claims": [json_value(asdict(result)) for result in self.results],
        }


def judge_claims(
    claims: Claims,
    out: Path | str,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ClaimsTable:
    """Judge the claims on what is done.

    Args:
        claims: of `read_claims`.
        out: the folder of the runs.
        workers: processes that read runs side by side; None: one a core. What was read is kept in
            the run's folder, so that it is read once.
        progress: is called with the runs read and all.

    Returns:
        Each claim beside the same rule on runs without task information. What is not done yet
        leaves claims undecided.

    Raises:
        BadInput: a run is damaged.
    """
    out = as_path("out", out)
    runs = {run.key: run for of_arm in claims.arms.values() for run in of_arm}
    done = [run for run in runs.values() if state_of(out / run.key) == "done"]
    found: dict[str, RunNumbers] = {}
    at_once = min(usable_threads(workers), max(1, len(done)))
    read = Parallel(n_jobs=at_once, return_as="generator")(delayed(_read)(out, r) for r in done)
    for run, numbers in zip(done, read, strict=True):
        found[run.key] = numbers
        if progress is not None:
            progress(len(found), len(done))
    arms: dict[str, dict[int, RunNumbers]] = {
        arm: {run.config.seed: found[run.key] for run in of_arm if run.key in found}
        for arm, of_arm in claims.arms.items()
    }
    without = _without_task(arms)
    arms = {arm: runs for arm, runs in arms.items() if not arm.endswith(SCRAMBLED)}
    results = []
    for name, says in claims.says.items():
        null = judge_claim(name, says, claims.thresholds[name], without)
        judged = judge_claim(name, says, claims.thresholds[name], arms)
        results.append(replace(judged, null=null if null.seeds else None))
    notes = tuple(threshold_notes(claims, out))
    return ClaimsTable(claims.form, claims.digest, tuple(results), notes, len(done), len(runs))


def _read(out: Path, run: StudyRun) -> RunNumbers:
    found = evidence_of(out / run.key / run.folder_name, run.outputs)
    return RunNumbers(found["numbers"], found["tasks"])


def _record(condition: Condition) -> dict[str, Any]:
    """A condition as a line of a table, which has no room for its values by seed."""
    record: dict[str, Any] = json_value(asdict(condition))
    del record["values"]
    return record


def _without_task(arms: Arms) -> dict[str, Mapping[int, RunNumbers]]:
    """The arms of the null study, each under the name of what it stands for.

    The control of a run without task information is another such run: that of the next seed.
    """
    found: dict[str, Mapping[int, RunNumbers]] = {
        arm.removesuffix(SCRAMBLED): runs for arm, runs in arms.items() if arm.endswith(SCRAMBLED)
    }
    alone = arms.get("scrambled", {})
    seeds = sorted(alone)
    found["base"] = alone
    found["scrambled"] = {
        seed: alone[seeds[(index + 1) % len(seeds)]] for index, seed in enumerate(seeds)
    }
    return found


def _main(result: ClaimResult) -> str:
    if not result.conditions:
        return ""
    first = result.conditions[0]
    return f"{number(first.value)} {interval(first.low, first.high)}".strip()


def _null(result: ClaimResult) -> str:
    return "not run" if result.null is None else f"{_main(result.null)} {result.null.verdict}"
