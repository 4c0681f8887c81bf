"""What a run's folder says of its training: settings, seed, curves."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from nucleate.runs import Run

_NOT_NUMBERS = ("kind", "time", "step", "first", "losses")
_SEEDS = ("seed", "training.seed", "args.seed")


def seed_on_record(run: Run) -> int | None:
    """The seed of the training behind a run, where its settings have one."""
    settings = run.hyperparameters
    known = (settings.get(name) for name in _SEEDS)
    return next((seed for seed in known if isinstance(seed, int)), None)


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def training_table(run: Run) -> pd.DataFrame:
    """What the journal has of the training by step.

    Returns:
        `step, name, value`, by step: `loss`, `learning_rate`, `tokens`, `grad_norm` and whatever
        else was logged. Where a step was taken twice the newest number stands.
    """
    newest = {(name, step): value for step, name, value in _numbers(run)}
    rows = [(step, name, value) for (name, step), value in newest.items()]
    table = pd.DataFrame(rows, columns=["step", "name", "value"])
    return table.sort_values(["step", "name"], kind="stable", ignore_index=True)


def _numbers(run: Run) -> Iterator[tuple[int, str, float]]:
    """Losses of every step, where the training journals them, and numbers of single steps."""
    for record in run.journal.live("step"):
        for step, loss in enumerate(record.get("losses", ()), record.get("first", 0)):
            yield step, "loss", float(loss)
        for name, value in record.items():
            if name not in _NOT_NUMBERS and isinstance(value, int | float):
                yield record["step"], name, float(value)
