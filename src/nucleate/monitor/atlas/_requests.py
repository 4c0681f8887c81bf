"""Requests: their texts, and what is kept of them beside their scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput
from nucleate._core.tables import read_table
from nucleate.monitor.atlas._hashes import text_hash
from nucleate.monitor.atlas._surface import MOST_CHARACTERS, check_texts

if TYPE_CHECKING:
    import pandas as pd

    from nucleate.monitor.atlas._scores import Scores
    from nucleate.prompts import PromptSet

TEXT_COLUMNS = (
    "text", "prompt", "instruction", "input", "output", "completion", "chosen", "rejected",
    "messages", "conversations", "documents", "tools", "chat_template_kwargs", "ids",
)  # fmt: skip
"""Columns that hold what was said; they are kept only where texts are."""
_WHOLE = ("text", "prompt")


def request_texts(prompts: "PromptSet") -> list[str]:
    """The text of each request: the whole one, or instruction and input; else its token ids."""
    found = texts_in(prompts.labels, len(prompts))
    if found is not None:
        return found
    lengths = prompts.prompt_lengths.tolist()
    return [
        " ".join(map(str, ids[:length]))
        for ids, length in zip(prompts.ids.tolist(), lengths, strict=True)
    ]


def texts_in(columns: Mapping[str, Sequence[str]], rows: int) -> list[str] | None:
    """The text of each row; None where no column holds one."""
    for name in _WHOLE:
        if name in columns:
            return [str(text) for text in columns[name]]
    if "instruction" not in columns:
        return None
    inputs = columns.get("input", ("",) * rows)
    return [
        "\n".join(part for part in (said, given) if part)
        for said, given in zip(columns["instruction"], inputs, strict=True)
    ]


def read_requests(path: Path) -> tuple[list[str] | None, dict[str, tuple[str, ...]]]:
    """The rows of a file, checked before anything makes tokens of them.

    Args:
        path: JSON Lines, CSV, or another form that prompts are read from.

    Returns:
        The text of each row, None where there is none in a column; and all columns as texts.

    Raises:
        BadInput: the file cannot be read or has no rows; a text is empty, or longer than 100,000
            characters.
    """
    rows = read_table(path, TEXT_COLUMNS)
    if not rows:
        raise BadInput(f"{path} has no rows; give at least one request")
    for where, row in rows:
        for name, value in row.items():
            if name in TEXT_COLUMNS and len(str(value)) > MOST_CHARACTERS:
                raise BadInput(
                    f"{where} has {len(str(value)):,} characters in {name}, and "
                    f"{MOST_CHARACTERS:,} are the most; shorten it or leave it out"
                )
    names = dict.fromkeys(name for _, row in rows for name in row)
    columns = {
        name: tuple("" if row.get(name) is None else str(row[name]) for _, row in rows)
        for name in names
    }
    texts = texts_in(columns, len(rows))
    if texts is not None:
        check_texts(texts)
    return texts, columns


def vector_hashes(vectors: Float[np.ndarray, "row width"]) -> list[str]:
    """What stands for requests without a text: hashes of their states, in float32."""
    return [text_hash(row.tobytes().hex()) for row in vectors.astype(np.float32)]


def scored_table(
    scores: "Scores",
    texts: Sequence[str] | None,
    labels: Mapping[str, Sequence[str]],
    *,
    vectors: Float[np.ndarray, "row width"] | None = None,
    keep_text: bool = False,
) -> "pd.DataFrame":
    """A row a request: hash of its text, scores, and the columns that it came with.

    Args:
        scores: of the requests.
        texts: of the requests; without them the hash is that of the vector.
        labels: their columns, such as time, group or error.
        vectors: of the requests, where there are no texts.
        keep_text: whether the text is a column as well; else what was said is left out.

    Returns:
        The columns `request`, those of `Scores.table`, and the others; a column that is called as
        one of these is called `given_` and its name.
    """
    table = scores.table()
    if texts is not None:
        hashes = [text_hash(text) for text in texts]
    elif vectors is not None:
        hashes = vector_hashes(vectors)
    else:
        raise BadInput("there are neither texts nor vectors; give one of them")
    table.insert(0, "request", hashes)
    for name, values in labels.items():
        if name not in TEXT_COLUMNS:
            table[f"given_{name}" if name in table else name] = list(values)
    if keep_text and texts is not None:
        table["text"] = list(texts)
    return table
