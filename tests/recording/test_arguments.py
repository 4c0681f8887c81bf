import subprocess
import sys
from pathlib import Path

import pytest

from nucleate import BadInput, Recorder, Run, Schedule
from small import material


def test_whatever_is_given_instead_of_an_argument_is_refused_in_one_sentence():
    script = Path(__file__).parents[1] / "argument_errors.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout == "done\n", done.stdout + done.stderr


def test_a_folder_of_runs_names_them(tmp_path):
    for name in ("b", "a", "c"):
        Run.create(tmp_path / "runs" / name, material()[2], {})
    with pytest.raises(BadInput, match=r"runs is no run folder but holds 3 runs: a, b, c; name on"):
        Run(str(tmp_path / "runs"))
    with pytest.raises(BadInput, match="holds 3 runs: runs/a, runs/b, runs/c"):
        Run(tmp_path)
    for number in range(20):
        Run.create(tmp_path / "runs" / f"x{number:02}", material()[2], {})
    with pytest.raises(BadInput, match="holds 23 runs: a, b, c, x00, x01, x02, x03, x04 and 15 m"):
        Run(tmp_path / "runs")


def test_paths_may_be_texts(tmp_path):
    where = str(tmp_path / "run")
    Recorder(where, material()[2], Schedule.at([0])).close()
    assert Run(where).steps == []
