"""Run folders for the gate: a journal, prompts and a summary with the numbers that a test wants."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from any_runs import make, prompts_of
from nucleate.findings import Summary, place_verdict

ACCURACY = {"seen": 0.95, "unseen_string": 0.9, "unseen_cell": 0.8}


def interval_of(value: float, half: float = 0.05) -> tuple[float, float]:
    return max(0.0, value - half), min(1.0, value + half)


def accuracy(value: float, *, strings: int = 60, chance: float | None = 0.05) -> dict[str, Any]:
    low, high = interval_of(value)
    return {
        "value": value, "low": low, "high": high, "loss": 0.3, "n": 5 * strings,
        "strings": strings, "chance": chance,
    }  # fmt: skip


def clusters(ari: float, verdict: str, reason: str = "") -> dict[str, Any]:
    step = {"step": 10, "low": 5, "high": 20, "found": 1.0, "first_step": 0}
    return {
        "stream": "block.1", "view": "raw", "first": 0.0, "last": ari, "low": ari - 0.1,
        "high": min(1.0, ari + 0.1), "null": {"n0": 0.1, "n1": 0.12, "n2": 0.15},
        "verdict": verdict, "reason": reason, "onset": step,
    }  # fmt: skip


def place(stream: str, found: str, use: str) -> dict[str, Any]:
    return {
        "stream": stream, "position": "last", "view": "raw", "ari": 0.5, "low": 0.4, "high": 0.6,
        "null": {"n0": 0.1, "n1": 0.1, "n2": 0.1}, "clusters": found,
        "effects": {
            "shift": 0.5, "shift_low": 0.4, "shift_high": 0.6, "chance": 0.05,
            "controls": {"random_direction": 0.0, "wrong_task": 0.0}, "erase": 0.4,
            "erase_low": 0.3, "erase_high": 0.5, "random_erase": 0.0, "use": use,
        },
        "verdict": place_verdict(found, use),
    }  # fmt: skip


def summary(
    *, ari: float = 0.9, found: str = "clusters", uses: tuple[str, ...] = ("used", "not used"),
    seed: int = 0, null: str | None = None, strings: int = 60, chance: float | None = 0.05,
    **shares: float,
) -> dict[str, Any]:  # fmt: skip
    """A summary that is judged by the shipped pages as its numbers say."""
    reason = "a null is missing" if found == "undecided" else ""
    places = [place(f"block.{k + 1}", found, use) for k, use in enumerate(uses)]
    used = "not tested"
    if uses:
        used = next((u for u in ("used", "undecided") if u in uses), "not used")
    given: dict[str, Any] = {
        "name": "made", "tasks": "made", "outputs": None, "model": "made", "seed": seed,
        "null": null, "steps": 8, "config_hash": "", "accuracy_onset": None,
        "accuracy": {
            split: accuracy(shares.get(split, value), strings=strings, chance=chance)
            for split, value in ACCURACY.items()
        },
        "clusters": {"last": clusters(ari, found, reason)}, "places": places,
        "embedding_change": {}, "seconds": {}, "peak_memory_bytes": None, "recording_share": None,
        "verdict": {"clusters": found, "used": used, "words": []},
    }  # fmt: skip
    return Summary.model_validate(given).model_dump(mode="json")


def gated_run(
    folder: Path, content: Mapping[str, Any] | None = None, *, tokenizer: str = "", **numbers: Any
) -> Path:
    """A finished run with a summary; the agreement rests on thirty instruction strings."""
    run = make(folder, replace(prompts_of(), tokenizer_hash=tokenizer))
    found = summary(**numbers) if content is None else content
    (folder / "summary.json").write_text(json.dumps(found), encoding="utf-8")
    (folder / "panel.csv").write_text(
        "position,stream,label,metric,half,strings\nlast,block.1,task,ari,report,30\n",
        encoding="utf-8",
    )
    return run.path
