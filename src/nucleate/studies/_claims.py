"""The file of claims: which runs decide them, and from which numbers on they hold."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.runs import write_whole
from nucleate.studies._check import check_config, runs_of
from nucleate.studies._config import merged, read_yaml, resolve
from nucleate.studies._page import Study, StudyRun, key_of, nested
from nucleate.tasks import canonical_hash

CLAIM_FORMS = ("claims", "claims-smoke", "claims-default")
SCRAMBLED = ", scrambled"
"""Arms of this ending are what an arm is without task information."""
_RECORD = "claims.jsonl"


@dataclass(frozen=True)
class Claims:
    """The claims with the runs that decide them.

    Attributes:
        form: which form is run, such as `claims-smoke`.
        digest: hash of the whole file.
        says: the claims in a sentence each, by name.
        thresholds: of each claim, by name.
        arms: the runs of each arm, one a seed.
        study: all runs, as `run_study` takes them.
    """

    form: str
    digest: str
    says: Mapping[str, str]
    thresholds: Mapping[str, Mapping[str, float]]
    arms: Mapping[str, tuple[StudyRun, ...]]
    study: Study


def read_claims(form: str = "claims", file: Path | str | None = None) -> Claims:
    """Read the claims and lay out their runs.

    Args:
        form: `claims`, the confirmatory one; `claims-smoke`, one seed of tiny models, to see that
            everything works; `claims-default`, at the size of `reproduce`.
        file: YAML in the form of the project's own, to judge by other thresholds; None: its own.

    Raises:
        BadInput: no such form, or the file is none of claims, or a form uses seeds on which
            thresholds were chosen.
    """
    whole = _own() if file is None else read_yaml(as_path("file", file))
    for key in ("never", "forms", "pages", "claims"):
        if key not in whole:
            raise BadInput(f"the file of claims has no {key!r}; take the project's own as a model")
    if form not in whole["forms"]:
        known = tuple(whole["forms"])
        raise BadInput(
            f"no form of the claims is named {form!r}{nearest(form, known)}; choose "
            f"{', '.join(known)}"
        )
    chosen = whole["forms"][form]
    used = sorted(set(chosen["seeds"]) & set(whole["never"]))
    if used:
        raise BadInput(
            f"seed {used[0]} was used to choose the thresholds and decides nothing; give others"
        )
    more = chosen.get("set", {})
    arms = {
        str(name): tuple(_runs(str(name), chosen["seeds"], page["set"], own, more.get(title, {})))
        for title, page in whole["pages"].items()
        for name, own in page["arms"].items()
    }
    runs = tuple(run for of_arm in arms.values() for run in of_arm)
    claims = whole["claims"]
    return Claims(
        form,
        canonical_hash(whole)[:12],
        {name: str(claim["says"]) for name, claim in claims.items()},
        {
            name: {k: float(v) for k, v in claim["at_least"].items()}
            for name, claim in claims.items()
        },
        arms,
        Study(form, runs, ("accuracy.seen", "accuracy.unseen_cell", "ari.last", "shift"), ()),
    )


def _own() -> dict[str, Any]:
    text = resources.files("nucleate.studies").joinpath("claims.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def _runs(arm: str, seeds: Sequence[int], *layers: Mapping[str, Any]) -> Iterator[StudyRun]:
    """The runs of an arm, one a seed; of settings that several layers have the last one counts."""
    for seed in seeds:
        given: dict[str, Any] = {"seed": seed}
        for settings in layers:
            given = merged(given, nested(settings))
        config = resolve("default", **given)
        check_config(config)
        outputs = runs_of(config)[0][1]
        yield StudyRun(arm, "", config, outputs, key_of(config, outputs))


def record_thresholds(claims: Claims, out: Path | str) -> None:
    """Keep the thresholds that stand when runs are begun beside them, with the time.

    Args:
        claims: of `read_claims`.
        out: the folder of the runs.
    """
    out = as_path("out", out)
    out.mkdir(parents=True, exist_ok=True)
    known = _recorded(out)
    if known and known[-1]["digest"] == claims.digest:
        return
    line = {
        "digest": claims.digest,
        "time": time.time(),
        "thresholds": claims.thresholds,
    }
    lines = [json.dumps(each) for each in (*known, line)]
    write_whole(out / _RECORD, ("\n".join(lines) + "\n").encode())


def threshold_notes(claims: Claims, out: Path | str) -> list[str]:
    """What a reader must know of the thresholds: whether they are those that stood before the runs.

    Args:
        claims: by which is judged.
        out: the folder of the runs.

    Returns:
        A sentence for each threshold that was another when runs were begun; none where all stand.
    """
    known = _recorded(as_path("out", out))
    if not known:
        return ["no thresholds are on record from before the runs: this confirms nothing"]
    notes = []
    for then in known:
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(then["time"]))
        for name, now in claims.thresholds.items():
            before = then["thresholds"].get(name, {})
            notes += [
                f"{name}: {key} is {value:g}, but was "
                f"{before.get(key, 'not set')} when runs were begun on {when}: "
                "changed after the fact"
                for key, value in now.items()
                if before.get(key) != value
            ]
    if not notes and any(then["digest"] != claims.digest for then in known):
        notes.append("the file of claims changed after runs were begun, the thresholds did not")
    return list(dict.fromkeys(notes))


def _recorded(out: Path) -> list[dict[str, Any]]:
    file = out / _RECORD
    if not file.exists():
        return []
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
    except ValueError as error:
        raise BadInput(
            f"{file} is damaged ({error}); it says which thresholds stood before the runs: restore "
            "it, or remove it and the result confirms nothing"
        ) from error
