"""The same places under nine tasks: natural text where the instruction alone decides."""

from dataclasses import replace
from importlib.resources import files

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.tasks._natural import (
    Wording,
    check_settings,
    hold_out_wordings,
    natural_taskset,
)
from nucleate.tasks._splits import Example
from nucleate.tasks._taskset import TaskSet


def geo(
    *,
    wordings_per_pair: int = 4,
    held_out_wordings: float = 0.15,
    evaluation_rows: int = 100,
    seed: int,
) -> TaskSet:
    """Make the set of places: their continent, country, capital, currency, language and so on.

    Some 900 places in the training split are asked about in nine tasks under 322 wordings; the
    places of the other splits are never trained (`unseen_input`), nor is a share of the wordings
    (`unseen_string`). A wording is its own family. Where a wording has a mark `{input}` the mark
    stays and the place follows the wording, as with all others.

    Args:
        wordings_per_pair: under how many wordings each trained (task, place) pair occurs.
        held_out_wordings: 0..1, the share of each task's wordings that is never trained.
        evaluation_rows: the most rows of a task in each evaluation split.
        seed: decides what is held out, which pairs meet which wordings, and what evaluates.

    Returns:
        The set. It is not wholly crossed, since a country is not asked for its country or a capital
        for its capital; `common_inputs` are the places that all tasks ask about.

    Raises:
        BadInput: a number out of range.

    Source: GeoNames (geonames.org), CC BY 4.0.
    """
    check_settings(held_out_wordings, evaluation_rows, seed)
    if wordings_per_pair < 1:
        raise BadInput(f"wordings_per_pair is {wordings_per_pair}: give at least 1.")
    rng = np.random.default_rng(seed)
    wordings = [(row["task"], row["wording"]) for row in read_table("geo_wordings.tsv")]
    held_out = hold_out_wordings(wordings, held_out_wordings, rng)
    known = _by_task([wording for wording in wordings if wording not in held_out])
    new = _by_task([wording for wording in wordings if wording in held_out])
    train: list[Example] = []
    evaluation: list[Example] = []
    for place in read_places():
        for task in (task for task in known if place[task]):
            asked = _ask(place, task, known[task], wordings_per_pair, rng)
            if place["split"] == "train":
                train += [replace(row, split="train") for row in asked]
                evaluation.append(replace(asked[0], split="seen"))
                reworded = _ask(place, task, new.get(task, []), 1, rng)
                evaluation += [replace(row, split="unseen_string") for row in reworded]
            else:
                evaluation.append(replace(asked[0], split="unseen_input"))
    return natural_taskset("geo", train, evaluation, evaluation_rows, rng)


def read_places() -> list[dict[str, str]]:
    """Return the places, each with its `place` (name), `kind`, `split` and one answer per task.

    Where a name is both a country and a city the country is meant.
    """
    places = read_table("geo_places.tsv")
    countries = {place["place"] for place in places if place["kind"] == "country"}
    return [
        place for place in places if place["kind"] == "country" or place["place"] not in countries
    ]


def read_table(name: str) -> list[dict[str, str]]:
    """Read a table that comes with the package: tabs between cells, comments after `#`."""
    text = files("nucleate.tasks").joinpath("data", name).read_text(encoding="utf-8")
    header, *rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return [dict(zip(header, row, strict=True)) for row in rows]


def _by_task(wordings: list[Wording]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for task, wording in wordings:
        groups.setdefault(task, []).append(wording)
    return groups


def _ask(
    place: dict[str, str], task: str, wordings: list[str], count: int, rng: np.random.Generator
) -> list[Example]:
    """Ask about a place under up to `count` different wordings drawn at random."""
    drawn = rng.permutation(len(wordings))[:count]
    return [
        Example(task, wordings[index], wordings[index], place["place"], place[task], place["split"])
        for index in drawn
    ]
