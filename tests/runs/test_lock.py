"""One writer a folder: anybody else is refused, and a writer that is gone is replaced."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nucleate import BadInput
from nucleate.runs import Lock, check_unlocked
from nucleate.runs import _lock as module

NAME = "writer.lock"
HOLD = (
    "import sys, time; from pathlib import Path; from nucleate.runs import Lock\n"
    "Lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)\n"
)


def other_process(folder) -> subprocess.Popen:
    child = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE)
    with child.stdout as told:
        assert told.readline() == b"held\n"
    return child


def rewrite(folder, **changes) -> None:
    path = folder / NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def silence(folder, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder / NAME, (then, then))


def test_a_second_writer_of_this_process_is_refused_until_the_first_is_done(tmp_path):
    lock = Lock(tmp_path)
    since = time.strftime("%Y-%m-%d")
    with pytest.raises(BadInput, match=rf"process {os.getpid()} on .* since {since}.* this very"):
        Lock(tmp_path)
    lock.check()
    lock.release()
    check_unlocked(tmp_path)
    Lock(tmp_path).release()
    assert not list(tmp_path.iterdir())


def test_another_process_is_refused_while_it_lives_and_replaced_once_it_was_killed(
    tmp_path, caplog
):
    child = other_process(tmp_path)
    try:
        with pytest.raises(BadInput, match=rf"process {child.pid} on .*wait for it or stop it"):
            Lock(tmp_path)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    lock = Lock(tmp_path)
    assert f"taking over from process {child.pid}" in caplog.text
    assert len(caplog.records) == 1
    lock.check()
    lock.release()


def test_a_process_number_that_was_given_away_again_is_not_the_writer(tmp_path):
    held = Lock(tmp_path)
    rewrite(tmp_path, born=json.loads((tmp_path / NAME).read_text())["born"] - 1000)
    check_unlocked(tmp_path)
    held.release()


def test_a_writer_on_another_machine_is_believed_while_it_shows_life(tmp_path):
    held = Lock(tmp_path)
    rewrite(tmp_path, machine="elsewhere", host="elsewhere", token="other")
    with pytest.raises(BadInput, match="on elsewhere since"):
        check_unlocked(tmp_path)
    silence(tmp_path, 100)
    with pytest.raises(BadInput, match="on elsewhere since"):
        Lock(tmp_path)
    silence(tmp_path, 200)
    lock = Lock(tmp_path)
    with pytest.raises(FileNotFoundError, match="taken over"):
        held.check()
    held.release()  # takes nothing from the new one
    lock.check()
    lock.release()


def test_a_lock_that_tells_nothing_counts_until_it_is_old(tmp_path):
    (tmp_path / NAME).touch()
    with pytest.raises(BadInput, match="a process that left no name"):
        Lock(tmp_path)
    silence(tmp_path, 200)
    Lock(tmp_path).release()


def test_a_writer_shows_life_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BEAT", 0.05)
    lock = Lock(tmp_path)
    silence(tmp_path, 1000)
    time.sleep(0.5)
    assert time.time() - (tmp_path / NAME).stat().st_mtime < 100
    lock.release()


@pytest.mark.parametrize("what", ["renamed", "removed", "replaced"])
def test_a_folder_that_is_another_one_now_is_noticed(tmp_path, what):
    folder = tmp_path / "run"
    folder.mkdir()
    lock = Lock(folder)
    folder.rename(tmp_path / "old")
    if what == "removed":
        (tmp_path / "old" / NAME).unlink()
    if what == "replaced":
        folder.mkdir()
        other = Lock(folder)
    with pytest.raises(FileNotFoundError, match="renamed, removed or taken over"):
        lock.check()
    lock.release()
    if what == "replaced":
        other.check()
        other.release()


def test_a_forked_child_holds_nothing_and_gives_nothing_back(tmp_path):
    lock = Lock(tmp_path)
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0 if lock.foreign else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not lock.foreign
    lock.check()
    lock.release()


def test_of_many_that_want_to_take_over_one_does(tmp_path):
    (tmp_path / NAME).touch()
    silence(tmp_path, 1000)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]  # fmt: skip
    time.sleep(0.1)
    try:
        deadline = time.monotonic() + 60
        while sum(child.poll() is None for child in children) > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert sum(child.poll() is None for child in children) == 1
    finally:
        for child in children:
            child.kill()
        held = [child.communicate()[0] for child in children]
    assert sorted(held) == [b"", b"", b"", b"held\n"]
