"""Numbers and tables as JSON that any browser reads: six digits, no NaN, nothing for a script."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def plain_json(value: Any) -> bytes:
    """UTF-8 JSON; the same value gives the same bytes."""
    return json.dumps(plain_value(value), ensure_ascii=False, separators=(",", ":")).encode()


def plain_value(value: Any) -> Any:
    """A value made of what JSON has; NaN and infinities become null, numbers have six digits."""
    if isinstance(value, Mapping):
        return {str(key): plain_value(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain_value(value.tolist())
    if isinstance(value, list | tuple):
        return [plain_value(each) for each in value]
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return six_digits(float(value))
    return None if value is pd.NA or value is pd.NaT else str(value)


def six_digits(value: float) -> float | int | None:
    """As the tables have it; a whole number without a point, none where it is not finite."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def table_json(table: pd.DataFrame) -> dict[str, Any]:
    """A table as `columns` and `rows`."""
    return {"columns": [str(name) for name in table.columns], "rows": table.to_numpy().tolist()}


def records_json(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as one mapping a row."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
