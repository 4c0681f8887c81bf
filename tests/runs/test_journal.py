import json
import zlib

import pytest

from nucleate import BadInput
from nucleate.runs import Journal


def test_records_come_back_as_they_were_written(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("step", step=1, loss=0.5)
    journal.append("event", durable=True, text="ünïcode\nline")
    again = list(Journal(tmp_path / "journal.jsonl").live())
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
    reopened = Journal(path)
    assert [r["step"] for r in reopened.live()] == [1]
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
    assert json.loads(text) == {"kind": "step", "step": 4}


def test_a_rewind_voids_only_what_is_later_and_was_written_before_it(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for step in (0, 5, 10):
        journal.append("snapshot", step=step)
    journal.append("rewind", to=5)
    journal.append("snapshot", step=8)
    assert [r["step"] for r in journal.live("snapshot")] == [0, 5, 8]
