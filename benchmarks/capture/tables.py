"""From timings to ratios with intervals, and to Markdown."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from peers import FLOOR, OURS, PEERS, USUAL

# What a reading by `capture` must reach: share of the usual way's time, by prompt set.
TIME_TARGETS = {"mixed": 0.42, "crossed": 0.15}
MEMORY_TARGET = 1.10  # of the plain forward's, once the result's own size is taken off
RECORDING_TARGET, DISK_TARGET = 0.03, 1.05
_MIB = 2**20

Interval = tuple[float, float, float]


def median_of(values: list[float]) -> Interval:
    """Median and its 95 % bootstrap interval over rounds."""
    array = np.array(values)
    draws = np.random.default_rng(0).integers(0, len(array), (10_000, len(array)))
    low, high = np.quantile(np.median(array[draws], axis=1), [0.025, 0.975])
    return float(np.median(array)), float(low), float(high)


def ratio(facts: dict[str, Any], name: str, other: str) -> Interval | None:
    """Time of a peer over another's, round by round; None where either did not run."""
    above, below = (facts.get(key, {}).get("seconds") for key in (name, other))
    if not above or not below:
        return None
    return median_of([a / b for a, b in zip(above, below, strict=True)])


def memory(facts: dict[str, Any], name: str) -> float | None:
    """Extra peak memory over the plain forward's, less the result's own size; None if unknown."""
    floor, mine = facts.get(FLOOR, {}), facts.get(name, {})
    if "peak_extra_bytes" not in mine or not floor.get("peak_extra_bytes"):
        return None
    own: float = mine["peak_extra_bytes"] - mine["result_bytes"]
    return own / float(floor["peak_extra_bytes"])


def machine(threads: int) -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def heading(results: dict[str, Any]) -> str:
    here = results["machine"]
    load = here["load_before"]
    busy = "" if load is None else f", load {load:.1f} before the start"
    return (
        f"{here['processor']}, {here['cores']} cores, threads: {here['threads']}{busy}; "
        f"rounds: {results['rounds']}; float32.\n"
    )


def _ratio_text(value: Interval | None) -> str:
    if value is None:
        return "-"
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


READING_NOTES = """\
Ratios are medians over rounds, taken within each round, with 95 % bootstrap intervals. Memory is
by how much resident memory rose at most during the first whole reading of a process that had read
two rows; *less result* takes off the states that are returned. Error is the largest relative error
of a state vector against its row read alone. `output_hidden_states` has no states of the last
block before the final norm."""

RECORDING_NOTES = """\
Ratios are medians over rounds, taken within each round, with 95 % bootstrap intervals. Every
training is a process of its own; its time includes the opening and closing of the recorder. The
tensors' own size is that of the states in half precision."""


def reading_table(found: dict[str, Any]) -> str:
    """All peers on one model and prompt set, and what the targets say."""
    facts = found["peers"]
    stacks = {f"{f['stack']}, {f['kernels']}" for f in facts.values() if "stack" in f}
    lines = [
        f"### {found['model']}, vocabulary {found['vocabulary']:,}, {found['prompts']} prompt set",
        "",
        f"{found['rows']} rows, {found['tokens']:,} tokens; peers run {found['padded_tokens']:,} "
        f"in padded batches of {found['batch']} rows; {'; '.join(sorted(stacks))}",
        "",
        "| way | version | seconds | / `output_hidden_states` | / plain body "
        "| extra memory, MiB | less result | / plain body | streams | error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_reading_row(found, name) for name in facts]
    return "\n".join([*lines, "", *_reading_targets(found), ""])


def _reading_row(found: dict[str, Any], name: str) -> str:
    facts = found["peers"]
    mine = facts[name]
    label = PEERS[name].label
    if "absent" in mine:
        return f"| {label} | absent: {mine['absent']} |" + " - |" * 8
    extra, result = mine["peak_extra_bytes"] / _MIB, mine["result_bytes"] / _MIB
    share = memory(facts, name)
    missing = mine["missing"]
    kept = "none" if missing is None else f"{found['streams'] - len(missing)}/{found['streams']}"
    cells = [
        label,
        mine["version"],
        f"{np.median(mine['seconds']):.2f}",
        _ratio_text(ratio(facts, name, USUAL)),
        _ratio_text(ratio(facts, name, FLOOR)),
        f"{extra:.0f}",
        f"{extra - result:.0f}",
        "-" if share is None else f"{share:.2f}",
        kept,
        "-" if mine["error"] is None else f"{mine['error']:.0e}",
    ]
    return _row(cells)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _reading_targets(found: dict[str, Any]) -> list[str]:
    facts, prompts = found["peers"], found["prompts"]
    wanted = [
        (f"time / `{USUAL}`", ratio(facts, OURS, USUAL), TIME_TARGETS[prompts]),
        ("time / plain body", ratio(facts, OURS, FLOOR), 1.0),
        ("memory less result / plain body", memory(facts, OURS), MEMORY_TARGET),
    ]
    lines = []
    for name, value, limit in wanted:
        if value is not None:
            number = value[0] if isinstance(value, tuple) else value
            lines.append(_verdict(f"`capture`, {name}", number, limit))
    return lines


def _verdict(name: str, value: float, limit: float, form: str = ".3f") -> str:
    word = "reached" if value <= limit else "MISSED"
    return f"- {name}: {value:{form}}, wanted at most {limit:{form}}: {word}"


def recording_table(found: dict[str, Any]) -> str:
    """One kind of loop with and without a recorder, and what the targets say."""
    setting, loop = found["setting"], found["loop"]
    alone, watched = found["seconds_without"], found["seconds_with"]
    slower = median_of([b / a for a, b in zip(alone, watched, strict=True)])
    inside = median_of([r / w for r, w in zip(found["recorder"], watched, strict=True)])
    states, folder = (found[key] / found["own_bytes"] for key in ("states_bytes", "bytes"))
    cells = [
        f"{np.median(alone):.1f}",
        f"{np.median(watched):.1f}",
        _ratio_text(slower),
        _ratio_text(inside),
        f"{states:.3f}",
        f"{folder:.3f}",
        "bit for bit the same" if found["same_weights"] else "DIFFERENT",
    ]
    lines = [
        f"### Recording, {loop}",
        "",
        f"GPT-2 {setting['depth']} x {setting['width']}, vocabulary {setting['vocabulary']:,}; "
        f"{setting['steps']:,} steps of {setting['train_rows']} x {setting['length']} tokens; "
        f"{found['snapshots']} snapshots of a crossed prompt set of {setting['prompt_rows']} rows.",
        "",
        "| seconds without | with | with / without | in the recorder, share of all "
        "| disk / tensors' own | whole folder / tensors' own | final weights |",
        "|---|---|---|---|---|---|---|",
        _row(cells),
        "",
        _verdict(f"{loop}, time in the recorder", inside[0], RECORDING_TARGET),
        _verdict(f"{loop}, time with / without", slower[0], 1 + RECORDING_TARGET),
        _verdict(f"{loop}, disk", states, DISK_TARGET),
        "",
    ]
    return "\n".join(lines)
