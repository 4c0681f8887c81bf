"""Made-up runs, shaped as real ones are: 8 streams, 36 steps, 2 positions, 20 tasks."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from nucleate.findings import (
    Accuracy,
    Clusters,
    OnsetSummary,
    Strongest,
    Summary,
    Verdict,
    judge_places,
    overall,
    place_finding,
    words,
)
from nucleate.intervene import CausalMap
from nucleate.panel import Panel
from nucleate.views import RunReport, picture_table

STREAMS = ["embed", *(f"block.{k}" for k in range(6)), "final_norm"]
POSITIONS = {"instruction_end": ("raw",), "last": ("raw", "conditioned")}
STEPS = sorted({0, *(int(s) for s in np.geomspace(1, 120, 20)), *range(120, 401, 17), 400})
TASKS = [f"t{k:02d}" for k in range(20)]
SPLITS = {
    "train": 1.0,
    "seen": 0.99,
    "unseen_string": 0.95,
    "unseen_cell": 0.93,
    "unseen_family": 0.4,
}
PEAK = {
    ("own", "instruction_end"): [0.0, 0.23, 0.77, 0.83, 0.90, 0.97, 0.97, 0.95],
    ("own", "last"): [0.0, 0.19, 0.69, 0.88, 0.98, 0.92, 0.81, 0.70],
    ("shared", "instruction_end"): [0.0, 0.20, 0.88, 0.95, 0.88, 0.74, 0.61, 0.55],
    ("shared", "last"): [0.0, 0.21, 0.85, 0.74, 0.28, 0.16, 0.17, 0.15],
}
N0, N1, N2 = 0.06, 0.19, 0.12
USE = {"own": 0.94, "shared": 0.15}


def _rise(step: float, middle: float) -> float:
    return 1 / (1 + (middle / max(step, 0.5)) ** 3)


def _peak(outputs: str, position: str, learned: bool) -> list[float]:
    return PEAK[("shared" if outputs == "shared" else "own", position)] if learned else [0.0] * 8


def _panel(outputs: str, learned: bool, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for step in STEPS:
        for position, views in POSITIONS.items():
            for view in views:
                for depth, stream in enumerate(STREAMS):
                    peak = _peak(outputs, position, learned)[depth]
                    if view != ("conditioned" if position == "last" else "raw"):
                        peak *= 0.2
                    start = 0.0 if stream == "embed" else 0.14 if learned else 0.04
                    task = start + (peak - start) * _rise(step, 60) * (peak > start)
                    levels = {
                        "task": task,
                        "family": 0.3 * start,
                        "input": 0.02,
                        "output": 0.4 * task,
                    }
                    for label, level in levels.items():
                        moves = stream != "embed" and step != STEPS[-1]
                        value = level + 0.01 * rng.standard_normal() * moves
                        gap = step == STEPS[10] and stream == "block.2"
                        rows += [
                            {"step": step, "stream": stream, "position": position, "view": view,
                             "label": label, "metric": "ari", "half": half,
                             "value": np.nan if gap else value,
                             "low": value - 0.04, "high": value + 0.03, "k": 20, "n": 600,
                             "n0_mean": 0.0, "n0_q99": N0, "n1_max": N1, "n2": N2, "p": 0.005,
                             "note": "nan" if gap else ""}
                            for half in (("all", "report") if label == "task" else ("all",))
                        ]  # fmt: skip
    return pd.DataFrame(rows)


def _accuracy(learned: bool) -> pd.DataFrame:
    rows = []
    for step in STEPS:
        for split, end in SPLITS.items():
            value = 0.05 + ((end - 0.05) * _rise(step, 70) if learned else 0.0)
            rows.append(
                {"step": step, "split": split, "accuracy": value, "loss": 3 * (1 - value), "n": 500,
                 "strings": 100,
                 "low": max(value - 0.03, 0), "high": min(value + 0.02, 1), "chance": 0.05}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _onsets(learned: bool) -> pd.DataFrame:
    curves = [("ari", "instruction_end", "raw", s, "") for s in STREAMS]
    curves += [("ari", "last", "conditioned", s, "") for s in STREAMS]
    curves += [("accuracy", "", "", "", "seen")]
    return pd.DataFrame(
        [
            {"curve": name, "position": position, "view": view, "stream": stream, "split": split,
             "step": 41.0 if learned else np.nan, "low": 33.0 if learned else np.nan,
             "high": 55.0 if learned else np.nan, "found": float(learned)}
            for name, position, view, stream, split in curves
        ]
    )  # fmt: skip


def _causal(outputs: str, learned: bool) -> CausalMap:
    rows = []
    for position in POSITIONS:
        for depth, stream in enumerate(STREAMS):
            at_last = position == "last" and learned and 2 <= depth <= 6
            shift = USE[outputs if outputs == "shared" else "own"] if at_last else 0.05
            erase = 0.56 if at_last else 0.0
            beyond = {
                f"{name}_excess_{end}": by + (0.4 if at_last else 0.0)
                for name in ("shift", "erase", "ablate", "patch")
                for end, by in (("low", -0.02), ("high", 0.02))
            }
            rows.append(
                {"stream": stream, "position": position, "shift": shift, "shift_low": shift - 0.03,
                 "shift_high": shift + 0.02, "chance": 0.05, "random_direction": 0.0,
                 "wrong_task": 0.004, "mean_shift": 0.04, "shuffled": 0.01, "other_input": 0.02,
                 "displaced": 0.03, "accuracy": 0.97 if learned else 0.05, "erase": erase,
                 "erase_low": erase - 0.02, "erase_high": erase + 0.02, "random_erase": 0.01,
                 "shift_strings": 100, "erase_strings": 100, **beyond}
            )  # fmt: skip
    return CausalMap(pd.DataFrame(rows), pd.DataFrame())


def _doses(learned: bool) -> pd.DataFrame:
    rows = []
    for edit in ("shift", "random_direction", "shuffled"):
        for dose in (0.0, 0.5, 1.0, 2.0, 3.0):
            share = min(dose, 0.9) if learned and edit == "shift" else 0.02
            rows.append(
                {"stream": "block.3", "position": "last", "edit": edit, "dose": dose,
                 "redirected": share, "redirected_low": share - 0.02,
                 "redirected_high": share + 0.02, "accuracy": 1 - share,
                 "accuracy_low": 0.9 - share, "accuracy_high": 1.0, "beyond": float(dose > 1),
                 "chance": 0.05}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _redirections(learned: bool) -> pd.DataFrame:
    return pd.DataFrame(
        [{"stream": "block.3", "position": "last", "task": a, "target": b,
          "redirected": 0.8 if learned else 0.04, "low": 0.0, "high": 1.0, "rows": 12}
         for a in TASKS for b in TASKS if a != b]
    )  # fmt: skip


def _picture(learned: bool, rng: np.random.Generator) -> pd.DataFrame:
    tasks = [task for task in TASKS for _ in range(30)]
    inputs = [f"i{k % 5}" for k in range(600)]
    center = np.repeat(rng.standard_normal((20, 16)), 30, axis=0)
    tables = []
    for position, stream in (("instruction_end", "block.5"), ("last", "block.3")):
        states = {
            step: (rng.standard_normal((600, 16)) * 0.6
                   + (2 * _rise(step, 60) * center if learned else 0)).astype(np.float32)
            for step in [*STEPS[:-1:5], STEPS[-1]]
        }  # fmt: skip
        correct = {step: rng.random(600) < _rise(step, 70) for step in states}
        tables.append(
            picture_table(
                states,
                stream=stream,
                position=position,
                tasks=tasks,
                inputs=inputs,
                correct=correct,
                conditioned=position == "last",
            )
        )
    return pd.concat(tables, ignore_index=True)


def _summary(name: str, outputs: str, learned: bool, places: pd.DataFrame) -> Summary:
    onset = OnsetSummary(step=41, low=33, high=55, found=1.0, first_step=0)
    never = OnsetSummary(step=None, low=None, high=None, found=0.0, first_step=0)
    judged = [place_finding(row) for row in places.to_dict("records")]
    clusters = {}
    for position in POSITIONS:
        here = [place for place in judged if place.position == position]
        best = max(here[1:], key=lambda place: place.ari)
        clusters[position] = Clusters(
            stream=best.stream, view=best.view, first=0.14, last=best.ari, low=best.low,
            high=best.high, null=best.null, verdict=best.clusters,
            onset=onset if learned else never,
        )  # fmt: skip
    there, used = overall(clusters.values(), judged)
    strongest = Strongest(stream="block.3", position="last", value=USE["own"], low=0.8, high=0.97)
    summary = Summary(
        name=name, tasks="synthetic: 20 tasks x 3 families x 5 inputs", outputs=outputs,
        model="gpt2, 6 x 96", seed=0, null=None, steps=400, config_hash="0" * 64,
        accuracy={
            split: Accuracy(
                value=value if learned else 0.05, low=(value if learned else 0.05) - 0.02,
                high=min((value if learned else 0.05) + 0.01, 1), loss=0.1, n=500, strings=100,
                chance=0.05,
            )
            for split, value in SPLITS.items() if split != "train"
        },
        accuracy_onset=onset if learned else never, clusters=clusters,
        embedding_change={"instruction_end": 0.0, "last": -0.0}, places=judged,
        strongest_shift=strongest if learned else None,
        seconds={"train": 31.0, "record": 1.2, "panel": 9.1, "interventions": 6.0},
        peak_memory_bytes=900_000_000, recording_share=0.038,
        verdict=Verdict(clusters=there, used=used, words=[]),
    )  # fmt: skip
    verdict = summary.verdict.model_copy(update={"words": words(summary)})
    return summary.model_copy(update={"verdict": verdict})


MakeView = Callable[..., RunReport]


@pytest.fixture(scope="session")
def make_view() -> MakeView:
    """A function that makes a run: name, outputs, and whether the model has learned anything."""

    def make(name: str = "own", outputs: str = "own", learned: bool = True) -> RunReport:
        rng = np.random.default_rng(len(name))
        panel = _panel(outputs, learned, rng)
        places = judge_places(_causal(outputs, learned), Panel(panel, {}))
        return RunReport(
            summary=_summary(name, outputs, learned, places),
            panel=panel,
            accuracy=_accuracy(learned),
            onsets=_onsets(learned),
            places=places,
            picture=_picture(learned, rng),
            doses=_doses(learned),
            redirections=_redirections(learned),
            config={"model": {"kind": "gpt2", "width": 96, "layers": 6}, "seed": 0, "steps": 400},
            provenance={
                "nucleate": "0.1.0",
                "torch": "2.9.0",
                "hardware": "2 cores",
                "dtype": "float32",
            },
            wordings={"t00": ("abbd", "efa"), "t01": ("klln",)},
        )

    return make
