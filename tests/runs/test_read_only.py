"""A folder that cannot be written is read as ever, and said before anything is written into it."""

import builtins
import errno
import io
import os
import stat
from pathlib import Path

import pytest
import torch

from nucleate import BadInput, Run, States, measure
from nucleate.runs import check_writable
from small import material


@pytest.fixture
def torn(tmp_path):
    """A run of two snapshots whose last line is cut, and a file of which half is written."""
    prompts = material()[2]
    run = Run.create(tmp_path / "runs" / "torn", prompts, {})
    for step in (0, 5, 9):
        torch.manual_seed(step)
        values = torch.randn(2, 1, len(prompts), 6)
        run.save_snapshot(step, States(values, ("embed", "block.0"), ("last",)), {})
    journal = run.path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    (run.path / "states" / ".12.safetensors.partial").write_bytes(b"half")
    return run.path


@pytest.fixture
def read_only(monkeypatch):
    """The file system refuses every write below some folder, as one mounted read-only does."""

    def close(folder: Path) -> None:
        def refuse(path) -> None:
            if str(path).startswith(str(folder)):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

        def refusing(module, name, writes=lambda *_, **__: True):
            real = getattr(module, name)

            def instead(path, *given, **named):
                if isinstance(path, str | Path) and writes(*given, **named):
                    refuse(path)
                return real(path, *given, **named)

            monkeypatch.setattr(module, name, instead)

        def to_write(mode="r", *_, **__):
            return any(letter in mode for letter in "wax+")

        refusing(builtins, "open", to_write)
        refusing(io, "open", to_write)
        refusing(
            os, "open", lambda flags, *_, **__: bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        )
        for name in ("mkdir", "unlink", "rename", "replace", "truncate", "utime", "rmdir"):
            refusing(os, name)

    return close


def times(folder: Path) -> dict[str, tuple[float, int]]:
    found = [folder, *folder.rglob("*")]
    return {str(path): (path.stat().st_mtime, path.stat().st_size) for path in found}


def test_a_torn_run_on_a_read_only_file_system_is_opened_and_measured(torn, read_only):
    before = times(torn)
    read_only(torn)
    run = Run(str(torn))
    assert run.steps == [0, 5]
    assert "2 recorded steps" in repr(run)
    assert run.hyperparameters == {}
    panel = measure(run.snapshots(), run.prompts, metrics=["agreement", "spectrum"])
    assert set(panel.table["step"]) == {0, 5}
    assert times(torn) == before


def test_what_cannot_be_written_is_said_with_the_remedy(torn, read_only, tmp_path):
    read_only(torn)
    with pytest.raises(
        BadInput, match=r"torn cannot be written \(Read-only.*\); write elsewhere w"
    ):
        check_writable(torn)
    with pytest.raises(BadInput, match="cannot be written"):
        check_writable(torn / "panel" / "deep")
    check_writable(tmp_path / "elsewhere" / "deep")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
@pytest.mark.parametrize("what", ["", "states", "journal.jsonl"])
def test_permissions_of_folder_states_and_journal_are_looked_at(torn, what):
    place = torn / what
    mode = place.stat().st_mode
    place.chmod(mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        with pytest.raises(BadInput, match="cannot be written"):
            check_writable(torn)
    finally:
        place.chmod(mode)


def test_trying_to_write_leaves_nothing_behind(torn):
    before = {str(path): path.read_bytes() for path in torn.rglob("*") if path.is_file()}
    check_writable(torn)
    assert before == {str(path): path.read_bytes() for path in torn.rglob("*") if path.is_file()}
