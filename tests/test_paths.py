"""Wherever a public function takes a path, it takes a text as well."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "nucleate"
ROOMS = sorted(path.parent for path in SRC.glob("*/__init__.pyi"))
# Plain records of what was found: nobody but their own room makes them.
_RECORDS = ("Checkpoint", "RunReport")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(room: Path) -> Iterator[tuple[str, Function]]:
    """The functions that a room's stub names, and the methods of its classes."""
    for line in ast.parse((room / "__init__.pyi").read_text(encoding="utf-8")).body:
        if not isinstance(line, ast.ImportFrom) or not line.module:
            continue
        source = room / f"{line.module}.py"
        if not source.exists():
            continue
        names = {alias.name for alias in line.names} - set(_RECORDS)
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, Function) and node.name in names:
                yield node.name, node
            elif isinstance(node, ast.ClassDef) and node.name in names:
                for method in node.body:
                    private = isinstance(method, Function) and method.name[0] == "_"
                    if isinstance(method, Function) and (not private or method.name == "__init__"):
                        yield f"{node.name}.{method.name}", method


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_no_public_function_wants_a_path_that_may_not_be_a_text(room):
    found = []
    for name, function in public_functions(room):
        arguments = function.args
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            said = "" if each.annotation is None else ast.unparse(each.annotation)
            kinds = {kind.strip() for kind in re.sub(r"\[.*\]", "", said).split("|")}
            if "Path" in kinds and "str" not in kinds:
                found.append(f"{name}({each.arg}: {said})")
    assert found == []
