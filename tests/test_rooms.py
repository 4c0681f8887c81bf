"""The house: rooms import only from rooms before them, and start-up stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nucleate

ROOMS = (
    "tasks", "runs", "recording", "metrics", "dynamics", "intervene", "training", "views",
    "studies", "cli",
)  # fmt: skip
SOURCE = Path(nucleate.__file__).parent


def imported_rooms(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "nucleate" and len(parts) > 1 and not parts[1].startswith("_"):
                names.add(parts[1])
    return names


def test_every_room_is_known():
    assert {p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_itself_and_rooms_before_it(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for file in (SOURCE / room).rglob("*.py"):
        assert imported_rooms(file) <= allowed, file


@pytest.mark.parametrize(
    "statement", ["import nucleate", "from nucleate.cli._main import app", "import nucleate.tasks"]
)
def test_start_up_imports_nothing_heavy(statement):
    heavy = {"torch", "transformers", "sklearn", "matplotlib", "pandas", "scipy.stats"}
    code = f"import sys; {statement}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_can_be_had():
    for name in nucleate.__all__:
        assert getattr(nucleate, name) is not None
