"""What is installed has the front end: built, small, and nothing in it that reaches elsewhere."""

import gzip
import json
import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILT = files("nucleate.views") / "web"


def test_the_front_end_is_built_and_small():
    page = (BUILT / "index.html").read_text(encoding="utf-8")
    assert '"./app.js"' in page
    assert '"./app.css"' in page
    assert len(gzip.compress((BUILT / "app.js").read_bytes(), 9)) < 150_000


def test_the_front_end_names_no_other_host():
    for name in ("app.js", "app.css", "index.html"):
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


@pytest.mark.slow
def test_a_wheel_is_built_without_node_and_carries_the_front_end(tmp_path):
    built = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "-q",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(built, check=True, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 1_500_000
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {f"nucleate/views/web/{n}" for n in ("index.html", "app.js", "app.css")} <= names
    assert not any("node_modules" in name for name in names)
