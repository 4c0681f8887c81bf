"""Prompt sets in a folder: numbers in one file, labels in another."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

POSITION = "position."
"""What stands before a position's name among the tensors."""
_TENSORS, _TEXTS = "prompts.safetensors", "prompts.jsonl"
_FORMERLY = ("probe.safetensors", "probe.jsonl")  # in version 0.1


def write(
    folder: Path,
    tensors: dict[str, np.ndarray],
    labels: Mapping[str, tuple[str, ...]],
    metadata: dict[str, str],
) -> None:
    """Write both files; labels are one line a row."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / _TENSORS, metadata=metadata)
    lines = [
        json.dumps({name: labels[name][row] for name in labels}, ensure_ascii=False)
        for row in range(len(tensors["ids"]))
    ]
    (folder / _TEXTS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(folder: Path) -> tuple[dict[str, Any], str]:
    """What a prompt set is made of, and the hash of what was saved.

    Files of version 0.1 have other names and no order of positions.
    """
    old = not (folder / _TENSORS).exists() and (folder / _FORMERLY[0]).exists()
    tensors_name, texts_name = _FORMERLY if old else (_TENSORS, _TEXTS)
    with safe_open(folder / tensors_name, framework="np") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    lines = (folder / texts_name).read_text(encoding="utf-8").split("\n")
    records = [json.loads(line) for line in lines if line]
    names = sorted(name.removeprefix(POSITION) for name in tensors if name.startswith(POSITION))
    if "positions" in metadata:
        names = json.loads(metadata["positions"])
    parts = {
        "ids": tensors["ids"],
        "prompt_lengths": tensors["prompt_lengths"],
        "lengths": tensors["lengths"],
        "positions": {name: tensors[POSITION + name] for name in names},
        "labels": {name: tuple(record[name] for record in records) for name in records[0]},
        "chance": tensors["chance"],
        "tokenizer_hash": metadata["tokenizer_hash"],
    }
    return parts, metadata["content_hash"]
