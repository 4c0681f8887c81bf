"""What kills cost: a study killed at random, workers and parent, against an undisturbed one.

Killed with SIGKILL, at times and among processes drawn from a seed. What is compared is every file
of every run, byte for byte but for times: tables as they are, JSON without its seconds and dates,
tensors by value. A finished run that is done again counts as a fault.
"""

import json
import os
import random
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

from pages import begin_study, write_page

# Times of day and durations; processes and memory follow from who did the run, and when.
_TIMES = ("second", "time", "memory", "created", "since", "share", "bytes", "provenance", "rss")


def kills(*, quick: bool, runs: int, count: int, seed: int) -> None:
    """Print every kill and what came of it; ends with exit code 1 if anything differs."""
    with tempfile.TemporaryDirectory() as folder:
        page = write_page(Path(folder), runs=runs, quick=quick)
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        began = time.perf_counter()
        _finish(begin_study(page, whole, "process", "--workers", "2"))
        seconds = time.perf_counter() - began
        print(f"kills: {runs} runs on two workers, undisturbed in {seconds:.0f} s", flush=True)
        began = time.perf_counter()
        faults = _disturbed(page, broken, count, 2 * seconds / runs, random.Random(seed))
        print(f"with {count} kills: {time.perf_counter() - began:.0f} s")
        faults += _differences(whole, broken)
    print(*(faults or ["no finished run was done again, and all files are the same but for times"]),
          sep="\n")  # fmt: skip
    if faults:
        raise SystemExit(1)


def _disturbed(
    page: Path, out: Path, count: int, longest: float, chance: random.Random
) -> list[str]:
    faults: list[str] = []
    study = begin_study(page, out, "process", "--workers", "2")
    for number in range(count):
        # Once work is under way again, at any time of a run.
        while study.poll() is None and not _workers(out):
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, longest))
        if study.poll() is not None:
            print(f"kill {number + 1}: none, the study had ended with {study.returncode}")
            break
        done = _done(out)
        workers = _workers(out)
        pid = chance.choice([study.pid, *workers])
        what = "the parent" if pid == study.pid else "a worker"
        os.kill(pid, signal.SIGKILL)
        print(f"kill {number + 1}: {what}, {len(done)} of the runs done", flush=True)
        if pid == study.pid:
            study.wait()
            study = begin_study(page, out, "process", "--workers", "2")
        after = _done(out)
        faults += [f"{name} was done again" for name in done if after.get(name) != done[name]]
    before = _done(out)
    _finish(study)
    after = _done(out)
    return faults + [f"{name} was done again" for name in before if after[name] != before[name]]


def _finish(study: Popen[bytes]) -> None:
    _, said = study.communicate()
    if study.returncode:
        raise SystemExit(said.decode())


def _done(out: Path) -> dict[str, int]:
    """Folder -> when its run was marked as done."""
    return {mark.parent.name: mark.stat().st_mtime_ns for mark in out.glob("*/done.json")}


def _workers(out: Path) -> list[int]:
    found = []
    for lock in out.glob("*/writer.lock"):
        try:
            pid = int(json.loads(lock.read_text())["pid"])
            os.kill(pid, 0)
        except (OSError, ValueError):  # it ended between two looks
            continue
        found.append(pid)
    return found


def _differences(whole: Path, broken: Path) -> list[str]:
    names = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file()}
    others = {path.relative_to(broken) for path in broken.rglob("*") if path.is_file()}
    # The journal tells the story of the sittings, and the log says things once in each.
    told = ("journal.jsonl", "log.txt", "writer.lock")
    # The newest two checkpoints are kept: of a run that was stopped, one is of where it was.
    missing = [
        f"{name} is in one only"
        for name in sorted(names ^ others)
        if name.name not in told and "checkpoints" not in name.parts
    ]
    differing = [
        f"{name} differs"
        for name in sorted(names & others)
        if name.name not in told and _content(whole / name) != _content(broken / name)
    ]
    return missing + differing


def _content(path: Path) -> object:
    if path.suffix == ".json":
        value = json.loads(path.read_text(encoding="utf-8"))
        # `whole` says whether a run was done in one sitting.
        value.pop("whole", None)
        return json.dumps(_timeless(value), sort_keys=True)
    if path.suffix == ".safetensors":
        named, tensors = _tensors(path)
        # The key says of which file a panel was made, and those differ in the order of names.
        return json.dumps({**_timeless(named), "key": ""}, sort_keys=True), tensors
    return path.read_bytes()


def _tensors(path: Path) -> tuple[dict[str, str], dict[str, tuple[object, bytes]]]:
    """What a header names, and each tensor's type, shape and bytes; the order varies."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header, body = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    return header.pop("__metadata__", {}), {
        name: ((one["dtype"], one["shape"]), body[slice(*one["data_offsets"])])
        for name, one in header.items()
    }


def _timeless(value: Any) -> Any:
    if isinstance(value, str):
        if value[:1] in "{[":
            with suppress(ValueError):
                return _timeless(json.loads(value))
        return "" if value.startswith("Recording took ") else value
    if isinstance(value, dict):
        return {
            key: _timeless(inner)
            for key, inner in value.items()
            if not any(part in key.lower() for part in _TIMES)
        }
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value
