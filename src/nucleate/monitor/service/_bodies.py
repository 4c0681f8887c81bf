"""Bodies of score requests: rows as JSON or as packed numbers, checked one by one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from jaxtyping import Float32

from nucleate.monitor.service._limits import Limits, Refused

JSON = "application/json"
PACKED = "application/octet-stream"
WIDTH_HEADER = "x-nucleate-width"
BLANK = "".join(each for each in map(chr, range(0x3001)) if each.isspace())
"""A text of nothing else is empty: what Python calls white space, for a schema has its own."""
LARGEST = 1e9
"""Size of a number up to which distances can be computed in float32."""
_NUMBERS = {int, float}
_FORM = 'send {"rows": [{"vector": [...]}, ...]}'


@dataclass(frozen=True)
class Rows:
    """What a request asks about: vectors, texts, or both of each row."""

    vectors: Float32[np.ndarray, "row width"] | None
    texts: list[str] | None

    def __len__(self) -> int:
        known = self.texts if self.vectors is None else self.vectors
        return 0 if known is None else len(known)


def rows_of(
    body: bytes, kind: str, width: str | None, *, limits: Limits, expected: int, reads: bool
) -> Rows:
    """The rows of a body.

    Args:
        body: as it came.
        kind: its content type.
        width: the header `x-nucleate-width`, which packed bodies need; held against the atlas's.
        limits: of rows and texts.
        expected: width of the atlas.
        reads: whether a model is there that reads texts.

    Raises:
        Refused: 400 for what is no JSON, 415 for another content type, 422 for anything in it that
            cannot be scored; the sentence names the row.
    """
    kind = kind.partition(";")[0].strip().lower()
    if kind == PACKED:
        _check_width(width, expected)
        return _packed(body, limits, expected)
    if kind == JSON:
        if width is not None:
            _check_width(width, expected)
        return _listed(body, limits, expected, reads)
    raise Refused(415, f"the content type is {_short(kind)}; send {JSON} or {PACKED}")


def _check_width(width: str | None, expected: int) -> None:
    if width != str(expected):
        raise Refused(
            422,
            f"the header {WIDTH_HEADER} is {_short(width)}, but this atlas reads vectors of width "
            f"{expected}; send {WIDTH_HEADER}: {expected} and float32 numbers, little-endian",
        )


def _packed(body: bytes, limits: Limits, expected: int) -> Rows:
    if not body or len(body) % (4 * expected):
        raise Refused(
            422,
            f"the body has {len(body)} bytes, which is no whole number of rows of {expected} "
            f"float32 numbers ({4 * expected} bytes each); send at least one row",
        )
    _check_rows(len(body) // (4 * expected), limits)
    vectors = np.frombuffer(body, dtype="<f4").reshape(-1, expected)
    return Rows(_sane(vectors), None)


def _listed(body: bytes, limits: Limits, expected: int, reads: bool) -> Rows:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The message of the parser says what is wrong and where; it quotes nothing of the body.
        raise Refused(400, f"the body is no JSON ({error.msg}); {_FORM}") from error
    if not isinstance(given, dict) or set(given) != {"rows"} or not isinstance(given["rows"], list):
        raise Refused(422, f"the body must be an object with the one field rows, a list; {_FORM}")
    rows = given["rows"]
    _check_rows(len(rows), limits)
    fields = {frozenset(row) if isinstance(row, dict) else None for row in rows}
    allowed = {frozenset({"vector"}), frozenset({"vector", "text"})}
    allowed |= {frozenset({"text"})} if reads else set()
    if len(fields) > 1 or not fields <= allowed:
        forms = ["vector", "vector and text", *(["text"] if reads else [])]
        hint = "" if reads else "; texts alone need a service with a model (nucleate serve --model)"
        raise Refused(422, f"every row must have the same fields, one of: {', '.join(forms)}{hint}")
    has = fields.pop() or frozenset()
    return Rows(
        _vectors([row["vector"] for row in rows], expected) if "vector" in has else None,
        _texts([row["text"] for row in rows], limits) if "text" in has else None,
    )


def _check_rows(count: int, limits: Limits) -> None:
    if not 1 <= count <= limits.rows:
        raise Refused(422, f"the request has {count} rows; send 1 to {limits.rows}")


def _vectors(given: list[Any], expected: int) -> Float32[np.ndarray, "row width"]:
    for number, vector in enumerate(given):
        if not isinstance(vector, list) or not _NUMBERS.issuperset(map(type, vector)):
            raise Refused(422, f"rows[{number}].vector is no list of numbers")
        if len(vector) != expected:
            raise Refused(
                422,
                f"rows[{number}].vector has width {len(vector)}, but this atlas reads vectors of "
                f"width {expected}",
            )
    with np.errstate(over="ignore"):  # becomes infinite, which is refused below
        return _sane(np.array(given, dtype=np.float64).astype(np.float32))


def _sane(vectors: Float32[np.ndarray, "row width"]) -> Float32[np.ndarray, "row width"]:
    fine = (np.abs(vectors) <= LARGEST).all(axis=1)  # not so of NaN
    if not fine.all():
        raise Refused(
            422,
            f"rows[{int(np.argmin(fine))}].vector has a number that is not finite, or beyond "
            f"{LARGEST:g}, and is no hidden state",
        )
    return vectors


def _texts(given: list[Any], limits: Limits) -> list[str]:
    for number, text in enumerate(given):
        if not isinstance(text, str) or not text.strip():
            raise Refused(422, f"rows[{number}].text is no text, or an empty one")
        if len(text) > limits.text:
            raise Refused(
                422,
                f"rows[{number}].text has {len(text)} characters; send at most {limits.text}",
            )
    return given


def _short(value: str | None) -> str:
    return "missing" if not value else repr(value[:60])
