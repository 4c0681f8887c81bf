"""Pages of studies whose runs take a few seconds each."""

from pathlib import Path

import yaml

BASE = {
    "preset": "smoke",
    "outputs": ["own"],
    "synthetic": {"tasks": 3, "families": 2, "inputs": 3, "strings": 4, "unseen_strings": 2},
    "model": {"depth": 1, "width": 8, "heads": 2},
    "training": {"steps": 16, "batch_size": 16, "checkpoint_every": 4, "device": "cpu"},
    "recording": {"points": 4, "rows": 36},
    "panel": {"n_init": 1, "n_permutations": 19, "n_bootstraps": 20, "untrained": 1,
              "keyframes": 2},
    "causal": {"rows": 18},
}  # fmt: skip
TABLES = ["accuracy.seen", "ari.last", "shift"]


def write_page(folder: Path, *, base: dict | None = None, **page: object) -> Path:
    """A page of these runs, with other keys laid over it."""
    name = str(page.get("name", "tiny"))
    file = folder / f"{name}.yaml"
    whole = {"name": name, "base": {**BASE, **(base or {})}, "tables": TABLES, **page}
    file.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    return file
