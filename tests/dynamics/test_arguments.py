"""Series of every kind are taken, and what is none ends in a sentence."""

import subprocess
import sys

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.dynamics import abruptness

STEPS = [0, 1, 2, 4, 8, 16, 32, 64]
VALUES = [0.0, 0.1, 0.05, 0.1, 0.6, 0.8, 0.9, 0.9]


# In a process of its own, in which nothing checks types before the functions do.
KINDS = """
import numpy as np, pandas as pd, torch
from nucleate import BadInput
from nucleate.dynamics import Trajectory, null_band, onset, onset_over_seeds

for kind in (list, tuple, np.array, pd.Series, torch.tensor):
    found = Trajectory(kind([0, 1, 2, 4]), kind([0.0, 0.1, 0.6, 0.8]), kind([0.3] * 4))
    print(repr(onset(found).step))
for call in (lambda: onset(None), lambda: onset(found, 3), lambda: onset_over_seeds(found),
             lambda: onset_over_seeds([found], draws=1), lambda: Trajectory("x", [1.0], [1.0]),
             lambda: Trajectory([1, 2], [1.0], [1.0]), lambda: null_band([1], [1, 2], [1, 2])):
    try:
        call()
    except BadInput as error:
        print(error)
"""


def test_a_trajectory_is_made_of_series_of_any_kind_and_what_is_none_is_refused():
    done = subprocess.run([sys.executable, "-c", KINDS], capture_output=True, text=True, check=True)
    *steps, nothing, shape, one, draws, text, misfit, nulls = done.stdout.splitlines()
    assert steps == ["2"] * 5
    assert nothing == "NoneType has no onset; give a nc.dynamics.Trajectory"
    assert "draws of shape [] do not fit" in shape
    assert "Trajectory is no list of trajectories" in one
    assert "int is no list of draws" in draws
    assert "steps are no array of numbers" in text
    assert "do not fit; give one of each per step" in misfit
    assert "nulls of shapes [[1], [2], [2]] do not fit" in nulls


def test_texts_are_no_values():
    with pytest.raises(BadInput, match="values are no array of numbers"):
        abruptness(np.array(STEPS), np.array(list("abcdefgh")))
