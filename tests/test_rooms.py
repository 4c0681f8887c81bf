"""The house: rooms import only from rooms before them, and start-up stays light."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import nucleate

ROOMS = (
    "_core", "tasks", "prompts", "runs", "metrics", "dynamics", "activations", "recording",
    "checkpoints", "panel", "intervene", "training", "findings", "views", "export", "studies",
    "monitor", "app", "cli",
)  # fmt: skip
SOURCE = Path(nucleate.__file__).parent


def modules_named(file: Path) -> set[str]:
    """Every module of nucleate that a file imports, or names in a string."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= {node.value} if re.fullmatch(r"nucleate(\.\w+)+", node.value) else set()
    return {name for name in names if name.startswith("nucleate.")}


def rooms_named(file: Path) -> set[str]:
    return {name.split(".")[1] for name in modules_named(file)} & set(ROOMS)


def private_to_others(file: Path, room: str) -> set[str]:
    """Names with an underscore that belong to another room than the file's."""
    return {
        name
        for name in modules_named(file)
        if name.split(".")[1] != room and any(part.startswith("_") for part in name.split(".")[2:])
    }


def test_every_room_is_known():
    assert {p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_only_itself_and_rooms_before_it(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for file in (SOURCE / room).rglob("*.py"):
        assert rooms_named(file) <= allowed, file


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_leaves_the_private_modules_of_others_alone(room):
    for file in (SOURCE / room).rglob("*.py"):
        assert not private_to_others(file, room), file


def test_modules_of_a_room_import_each_other_in_one_direction():
    """A circle hides in imports within functions; these count too."""
    for room in ROOMS:
        files = {module_of(file): file for file in (SOURCE / room).rglob("_[a-z]*.py")}
        needs = {
            name: {n for n in map(owner(files), modules_named(file)) if n and n != name}
            for name, file in files.items()
        }
        assert not circle(needs), (room, circle(needs))


def module_of(file: Path) -> str:
    return ".".join(("nucleate", *file.relative_to(SOURCE).with_suffix("").parts))


def owner(files: dict[str, Path]) -> Callable[[str], str | None]:
    return lambda name: next((n for n in (name, name.rpartition(".")[0]) if n in files), None)


def circle(needs: dict[str, set[str]]) -> list[str]:
    """What is left once everything that needs nothing of the rest is taken away."""
    left = dict(needs)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


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


def test_the_name_of_version_0_1_warns_and_works():
    with pytest.warns(FutureWarning, match=r"nucleate\.Probe is called nucleate\.PromptSet"):
        assert nucleate.Probe is nucleate.PromptSet
    assert "Probe" not in dir(nucleate)
