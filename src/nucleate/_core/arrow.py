"""Tables of Arrow: parquet and Arrow files, and the folders that `datasets` saves."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput

_PARQUET, _IPC = (".parquet", ".pq"), (".arrow", ".feather")
FORMS = (*_PARQUET, *_IPC)
_BATCH = 1024
_FEW = 4
Row = tuple[str, dict[str, Any]]


def file_rows(path: Path) -> Iterator[Row]:
    """Rows of a parquet or an Arrow file.

    Raises:
        BadInput: pyarrow is missing, or the file is, or it is damaged.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import ipc, parquet
    except ImportError as error:
        raise BadInput(f"{path} needs pyarrow: install it with pip install pyarrow.") from error
    try:
        if path.suffix.lower() in _PARQUET:
            table = parquet.read_table(path)
        else:
            with pa.memory_map(str(path)) as source:
                try:
                    table = ipc.open_stream(source).read_all()
                except pa.ArrowInvalid:
                    table = ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise BadInput(f"{path} cannot be read ({reason}): give a whole file.") from error
    yield from table_rows(table, f" of {path}")


def table_rows(table: Any, where: str = "") -> Iterator[Row]:
    """Rows of a `pyarrow.Table`; class labels that `datasets` has written are named."""
    features = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    labels = class_names(features.get("info", {}).get("features", {}))
    index = 0
    for batch in table.to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            yield f"row {index}{where}", named_row(row, labels)
            index += 1


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Column -> names of its classes, of features of `datasets` or their JSON form."""
    found = {}
    for name, feature in features.items():
        if isinstance(feature, Mapping):
            names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
        else:
            names = getattr(feature, "names", None)
        if names:
            found[name] = list(names)
    return found


def named_row(row: Mapping[str, Any], labels: Mapping[str, list[str]]) -> dict[str, Any]:
    """A row of Arrow with the names of its classes instead of their numbers.

    Nested nulls are left out: Arrow gives every entry of a list the keys of all others.
    """
    found = {str(name): _dense(value) for name, value in row.items()}
    for name, names in labels.items():
        number = found.get(name)
        if isinstance(number, int):
            found[name] = names[number] if 0 <= number < len(names) else None
    return found


def saved_rows(folder: Path) -> Iterator[Row]:
    """Rows of a folder that `Dataset.save_to_disk` has written.

    Raises:
        BadInput: it is no such folder, or one of several splits; datasets is missing.
    """
    if (folder / "dataset_dict.json").exists():
        splits = sorted(path.name for path in folder.iterdir() if (path / "state.json").exists())
        raise BadInput(
            f"{folder} holds the splits {', '.join(splits)}: name one of them, as in "
            f"{folder / (splits or ['train'])[0]}."
        )
    if not (folder / "state.json").exists():
        files = sorted(path.name for path in folder.iterdir() if path.is_file())
        more = f" and {len(files) - _FEW} more" if len(files) > _FEW else ""
        inside = f" It holds {', '.join(files[:_FEW])}{more}." if files else ""
        raise BadInput(f"{folder} is a folder: name a file of rows in it.{inside}")
    try:
        from datasets import load_from_disk  # type: ignore[import-untyped]
    except ImportError as error:
        raise BadInput(f"{folder} needs datasets: install it with pip install datasets.") from error
    try:
        source = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise BadInput(f"{folder} cannot be read ({reason}): save the data set again.") from error
    labels = class_names(source.features)
    for index, row in enumerate(source.with_format(None)):
        yield f"row {index} of {folder}", named_row(row, labels)


def _dense(value: Any) -> Any:
    """A nested value without entries that are null."""
    if isinstance(value, dict):
        return {name: _dense(entry) for name, entry in value.items() if entry is not None}
    return [_dense(entry) for entry in value] if isinstance(value, list) else value
