import errno
import json
import os
import time
import zlib

import pytest

from children import append_steps, start
from nucleate import BadInput
from nucleate.runs import Journal


def test_records_come_back_as_they_were_written_with_their_times(tmp_path):
    began = time.time()
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("step", step=1, loss=0.5)
    journal.append("event", durable=True, text="ünïcode\nline")
    again = list(Journal(tmp_path / "journal.jsonl").live())
    times = [record.pop("time") for record in again]
    assert began - 0.001 <= times[0] <= times[1] <= time.time() + 0.001
    assert again == [
        {"kind": "step", "step": 1, "loss": 0.5},
        {"kind": "event", "text": "ünïcode\nline"},
    ]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_dropped_and_writing_goes_on_after_it(tmp_path, cut):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("step", step=1)
    journal.append("step", step=2)
    path.write_bytes(path.read_bytes()[:-cut])
    torn = path.read_bytes()
    reopened = Journal(path)
    assert [r["step"] for r in reopened.live()] == [1]
    assert path.read_bytes() == torn, "opening changed the file"
    reopened.append("step", step=3)
    assert [r["step"] for r in Journal(path).live()] == [1, 3]


def test_a_line_damaged_in_the_middle_is_refused_by_number(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for step in range(3):
        journal.append("step", step=step)
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace('"step":1', '"step":7')
    path.write_text("".join(lines))
    with pytest.raises(BadInput, match="line 2"):
        Journal(path)


def test_the_checksum_is_crc32_of_the_json_text(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path).append("step", step=4)
    checksum, text = path.read_text().rstrip("\n").split(" ", 1)
    assert checksum == f"{zlib.crc32(text.encode()):08x}"
    record = json.loads(text)
    assert record == {"kind": "step", "time": record["time"], "step": 4}


def test_a_rewind_voids_only_what_is_later_and_was_written_before_it(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for step in (0, 5, 10):
        journal.append("snapshot", step=step)
    journal.append("rewind", to=5)
    journal.append("snapshot", step=8)
    assert [r["step"] for r in journal.live("snapshot")] == [0, 5, 8]


def test_a_reader_in_a_tight_loop_takes_nothing_from_the_writer(tmp_path):
    path, steps = tmp_path / "journal.jsonl", 3000
    writer = start(append_steps, path, steps)
    opened = 0
    while writer.is_alive():
        Journal(path)
        opened += 1
    writer.join()
    assert writer.exitcode == 0
    assert opened > 20
    assert [r["step"] for r in Journal(path).live("step")] == list(range(steps))


def test_two_that_write_in_turn_lose_nothing_of_each_other(tmp_path):
    path = tmp_path / "journal.jsonl"
    one, two = Journal(path), Journal(path)
    for step in range(0, 6, 2):
        one.append("step", step=step)
        two.append("step", step=step + 1)
    assert [r["step"] for r in Journal(path).live()] == list(range(6))
    assert [r["step"] for r in two.live()] == list(range(6))


@pytest.mark.parametrize("durable", [False, True])
def test_an_append_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch, durable):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("step", step=1)
    before = path.read_bytes()
    sync = os.fsync

    def full(handle):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    if durable:
        with pytest.raises(OSError, match="no space"):
            journal.append("step", durable=True, step=2)
        assert path.read_bytes() == before
        assert [r["step"] for r in journal.live()] == [1]
    monkeypatch.setattr(os, "fsync", sync)
    journal.append("step", durable=durable, step=3)
    assert [r["step"] for r in Journal(path).live()] == [1, 3]


def test_a_full_disk_tears_no_line(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("step", step=1)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(OSError, match=r"(?i)file too large|no space"):
            journal.append("step", step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    journal.append("step", step=3)
    assert [r["step"] for r in Journal(path).live()] == [1, 3]


def test_a_journal_that_somebody_cut_is_not_padded_with_zeros(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for step in range(3):
        journal.append("step", step=step)
    os.truncate(path, 10)
    with pytest.raises(BadInput, match="shorter"):
        journal.append("step", step=3)


def test_a_journal_knows_how_long_it_has_written_nothing(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.idle == float("inf")
    journal.append("step", step=1)
    assert 0 <= journal.idle < 60
    assert Journal(tmp_path / "journal.jsonl").idle == float("inf")


def test_the_newest_records_are_those_at_the_end_of_the_file(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.newest(3) == []
    for step in range(4):
        journal.append("step", step=step)
    journal.append("rewind", to=1)
    assert [r.get("step") for r in journal.newest(3)] == [2, 3, None]
