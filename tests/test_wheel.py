"""What is installed has the front end: built, small, and nothing in it that reaches elsewhere."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILT = files("nucleate.views") / "web"
FILES = ("index.html", "app.js", "app.css")


def test_the_front_end_is_built_and_small():
    page = (BUILT / "index.html").read_text(encoding="utf-8")
    assert '"./app.js"' in page
    assert '"./app.css"' in page
    assert len(gzip.compress((BUILT / "app.js").read_bytes(), 9)) < 150_000


def test_the_front_end_names_no_other_host():
    for name in FILES:
        text = (BUILT / name).read_text(encoding="utf-8")
        hosts = set(re.findall(r"https?://([\w.-]+)", text))
        # names of XML, which nobody asks for, and where Svelte's error messages are explained
        assert hosts <= {"www.w3.org", "svelte.dev"}, name


def test_the_lock_file_pins_every_package_and_names_no_host():
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))
    for name, package in lock["packages"].items():
        if name:
            assert "integrity" in package, name
            assert "resolved" not in package, name


@pytest.fixture(scope="module")
def without_node(tmp_path_factory) -> dict[str, str]:
    """This process's environment with a PATH on which no program is."""
    return {**os.environ, "PATH": str(tmp_path_factory.mktemp("bin"))}


def run_python(*arguments: object, env: dict[str, str]) -> None:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_small_and_whole(wheel: Path) -> None:
    assert wheel.stat().st_size < 1_500_000
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {f"nucleate/views/web/{name}" for name in FILES} <= names
    assert "nucleate/views/widget.js" in names
    assert not any("node_modules" in name for name in names)


@pytest.mark.slow
def test_a_wheel_of_the_tree_installs_without_node_and_carries_the_front_end(
    tmp_path, without_node
):
    run_python("-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, ROOT, env=dict(os.environ))
    (wheel,) = tmp_path.glob("*.whl")
    assert_small_and_whole(wheel)
    there = tmp_path / "there"
    run_python("-m", "pip", "install", "--no-deps", "-q", "-t", there, wheel, env=without_node)
    for name in FILES:
        installed = there / "nucleate" / "views" / "web" / name
        assert installed.read_bytes() == (BUILT / name).read_bytes()


@pytest.mark.slow
def test_an_sdist_is_built_into_a_wheel_where_there_is_no_node(tmp_path, without_node):
    assert shutil.which("node", path=without_node["PATH"]) is None
    backend = tmp_path / "backend"
    run_python("-m", "pip", "install", "-q", "-t", backend, "hatchling", env=dict(os.environ))
    program = (
        "import os, sys; from hatchling.build import build_sdist; "
        "os.chdir(sys.argv[1]); build_sdist(sys.argv[2])"
    )
    run_python("-c", program, ROOT, tmp_path, env={**os.environ, "PYTHONPATH": str(backend)})
    (sdist,) = tmp_path.glob("*.tar.gz")
    run_python("-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, sdist, env=without_node)
    (wheel,) = tmp_path.glob("*.whl")
    assert_small_and_whole(wheel)
