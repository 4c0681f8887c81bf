"""Clouds kept on disk: the same bytes, made anew when the run changes, never in the run."""

import os
import shutil

import numpy as np
import pytest

import any_runs
from nucleate._core.errors import BadInput
from nucleate.runs import Run
from nucleate.views import RunView, _run_view
from nucleate.views._stored_cloud import StoredCloud

ABOUT = "cloud/block.1/last/tasks.json"
FRAME = "frames/block.1/last/tasks/4.i16"


@pytest.fixture
def run(tmp_path) -> Run:
    return any_runs.make(tmp_path / "mine", steps=(0, 4))


@pytest.fixture
def made(monkeypatch) -> list[tuple]:
    """The places whose clouds were made from states."""
    calls: list[tuple] = []
    real = _run_view.place_cloud

    def counted(*args):
        calls.append(args[2:])
        return real(*args)

    monkeypatch.setattr(_run_view, "place_cloud", counted)
    return calls


def test_a_kept_cloud_gives_the_same_bytes_without_being_made(run, made, tmp_path):
    fresh = RunView(run.path)
    first = RunView(run.path, cache=tmp_path / "kept")
    again = RunView(run.path, cache=tmp_path / "kept")
    for path in (ABOUT, FRAME, "frames/block.1/last/tasks/erased.i16"):
        assert fresh.get(path) == first.get(path) == again.get(path)
    assert len(made) == 2


def test_a_run_that_grew_is_pictured_anew_and_the_older_file_goes(run, made, tmp_path):
    RunView(run.path, cache=tmp_path / "kept").get(ABOUT)
    run.save_snapshot(6, any_runs.states_of(run.prompts, 3.0, 4), {})
    assert b'"step":6' in RunView(run.path, cache=tmp_path / "kept").get(ABOUT)
    assert len(made) == 2
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_new_panel_makes_a_new_cloud(run, made, tmp_path):
    RunView(run.path, cache=tmp_path / "kept").get(ABOUT)
    any_runs.quick(run)
    RunView(run.path, cache=tmp_path / "kept").get(ABOUT)
    assert len(made) == 2


def test_other_rows_and_other_runs_are_kept_apart(run, made, tmp_path):
    other = shutil.copytree(run.path, tmp_path / "other")
    for folder, most in ((run.path, 5000), (run.path, 7), (other, 7)):
        RunView(folder, cache=tmp_path / "kept", most_rows=most).get(ABOUT)
    assert len(made) == len(list((tmp_path / "kept").iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04"])
def test_a_damaged_file_is_made_again(run, tmp_path, damage):
    wanted = RunView(run.path, cache=tmp_path / "kept").get(ABOUT)
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(damage)
    assert RunView(run.path, cache=tmp_path / "kept").get(ABOUT) == wanted
    assert StoredCloud.unpacked(file.read_bytes()).about == wanted


def test_pickled_objects_in_a_file_are_not_opened(run, tmp_path):
    wanted = RunView(run.path, cache=tmp_path / "kept").get(ABOUT)
    (file,) = (tmp_path / "kept").iterdir()

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "hit"),)

    np.savez(file, about=np.array([Hostile()], dtype=object), erased=np.zeros(0, np.uint8))
    assert RunView(run.path, cache=tmp_path / "kept").get(ABOUT) == wanted
    assert not (tmp_path / "hit").exists()


def test_a_cache_that_cannot_be_written_is_done_without(run, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert RunView(run.path, cache=tmp_path / "file").get(ABOUT) == RunView(run.path).get(ABOUT)


def test_a_run_that_keeps_its_own_clouds_needs_no_states_for_them_and_may_be_moved(run, tmp_path):
    first = Run(shutil.copytree(run.path, tmp_path / "first"))
    wanted = RunView(first, cache=first.path / "view").get(ABOUT)
    assert list((first.path / "view").glob("*.npz"))
    moved = Run(first.path.rename(tmp_path / "moved"))
    view = RunView(moved)
    place = ("block.1", "last", "tasks", view.most_rows)
    assert any(folder.read(*place) for folder in view._folders)
    assert view.get(ABOUT) == wanted


@pytest.mark.parametrize("inside", ["", "views", "states/../kept"])
def test_a_cache_within_the_run_is_refused(run, inside):
    with pytest.raises(BadInput, match="within the run"):
        RunView(run.path, cache=run.path / inside)
