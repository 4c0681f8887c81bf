"""A sound series of checkpoints, and a copy of it to spoil."""

import shutil
from pathlib import Path

import pytest

from trained import LINEAR, LOG, adam, trained


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("sound"), {*LOG, *LINEAR}, adam)


@pytest.fixture
def copied(sound, tmp_path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "series"))
