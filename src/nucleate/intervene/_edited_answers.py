"""The answers of every tested row under every edit at every place, to be shown without a model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Integer
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.intervene._cast import NOBODY, Cast
from nucleate.intervene._causal_table import PlaceScores
from nucleate.intervene._controls import EDITS
from nucleate.runs import index_of, write_whole

FILE = "causal_answers.safetensors"
KINDS = ("own", "target", "third", "other")
"""Whose answer it is: the row's own task's, task B's, a third task's, or another one."""
_ARRAYS = ("rows", "target", "wanted", "clean", "clean_token", "answer", "token")


@dataclass(frozen=True)
class EditedAnswers:
    """The answers of all tested rows, without edits and under each.

    Attributes:
        streams, positions, edits: names, in the order of the arrays.
        rows: which rows of the prompt set were tested.
        target: task B of each, an index into the sorted names of the prompt set's tasks; -1: none.
        wanted: the tokens of the own, task B's and the third task's answer, padded with -1; the
            own one stands where there is no other.
        clean: whose answer it is without an edit, an index into `KINDS`.
        clean_token: the likeliest next token without an edit.
        answer: whose answer it is under the edit, an index into `KINDS`.
        token: the likeliest next token under the edit.
    """

    streams: tuple[str, ...]
    positions: tuple[str, ...]
    edits: tuple[str, ...]
    rows: Integer[np.ndarray, "row"]
    target: Integer[np.ndarray, "row"]
    wanted: Integer[np.ndarray, "3 row token"]
    clean: Integer[np.ndarray, "row"]
    clean_token: Integer[np.ndarray, "row"]
    answer: Integer[np.ndarray, "stream position row edit"]
    token: Integer[np.ndarray, "stream position row edit"]

    @classmethod
    def of(cls, places: Sequence[PlaceScores], roles: Cast) -> "EditedAnswers":
        """Collect them from the scores of all places, given position by position."""
        streams = tuple(dict.fromkeys(place.stream for place in places))
        positions = tuple(dict.fromkeys(place.position for place in places))

        def stacked(arrays: list[np.ndarray]) -> np.ndarray:
            whole = np.stack(arrays)
            return whole.reshape(len(positions), len(streams), *whole.shape[1:]).swapaxes(0, 1)

        token = stacked([place.scores["token"] for place in places])
        clean_token = places[0].clean["token"]
        largest = max(token.max(), clean_token.max())
        ids = np.uint16 if largest < 2**16 else np.int32
        return cls(
            streams=streams,
            positions=positions,
            edits=tuple(EDITS),
            rows=roles.tested.astype(np.int32),
            target=np.where(roles.donor == NOBODY, -1, roles.target).astype(np.int32),
            wanted=_padded([roles.wanted[kind] for kind in KINDS[:3]]),
            clean=_kinds(places[0].clean),
            clean_token=clean_token.astype(ids),
            answer=stacked([_kinds(place.scores) for place in places]),
            token=token.astype(ids),
        )

    def at(self, stream: str, position: str, edit: str) -> pd.DataFrame:
        """The rows under one edit at one place.

        Args:
            stream, position: the place, by name.
            edit: one of `EDITS`.

        Returns:
            one row a tested row: `row` (of the prompt set), `clean` and `answer` (of `KINDS`),
            `clean_token` and `token`.

        Raises:
            BadInput: no such stream, position or edit.
        """
        place = (
            index_of(stream, self.streams, "stream"),
            index_of(position, self.positions, "position"),
            slice(None),
            index_of(edit, self.edits, "edit"),
        )
        names = np.array(KINDS)
        return pd.DataFrame(
            {
                "row": self.rows,
                "clean": names[self.clean],
                "answer": names[self.answer[place]],
                "clean_token": self.clean_token,
                "token": self.token[place],
            }
        )

    def save(self, folder: Path | str) -> None:
        """Write `causal_answers.safetensors`, renamed whole."""
        folder = as_path("folder", folder)
        names = {"streams": self.streams, "positions": self.positions, "edits": self.edits}
        metadata = {name: json.dumps(value) for name, value in names.items()}
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        write_whole(folder / FILE, save(arrays, metadata))

    @classmethod
    def load(cls, file: Path | str) -> "EditedAnswers":
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing or damaged.
        """
        file = as_path("file", file)
        try:
            with safe_open(file, framework="np") as opened:
                arrays = {name: opened.get_tensor(name) for name in _ARRAYS}
                metadata = opened.metadata() or {}
            names: dict[str, Any] = {
                name: tuple(json.loads(metadata[name]))
                for name in ("streams", "positions", "edits")
            }
            return cls(**names, **arrays)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise BadInput(
                f"the answers in {file} cannot be read ({error}): make the causal map again"
            ) from error


def _kinds(scores: dict[str, np.ndarray]) -> np.ndarray:
    """Whose answer it is; the row's own goes first where tasks answer alike."""
    hits = [scores[f"hit.{kind}"] > 0 for kind in KINDS[:3]]
    return np.select(hits, range(3), default=3).astype(np.uint8)


def _padded(answers: Sequence[Sequence[Sequence[int]]]) -> np.ndarray:
    longest = max(len(tokens) for each in answers for tokens in each)
    padded = [[[*tokens, *[-1] * (longest - len(tokens))] for tokens in each] for each in answers]
    return np.array(padded, dtype=np.int32)
