"""The journal: whatever is done to a line is found, and no text gets in."""

import hashlib
import json
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.monitor.audit import append_entry, verify_journal

HASH = {"report": "ab" * 32}


def written(path, count=5):
    for number in range(count):
        chain = append_entry(path, "audit", verdict="gap", hashes=HASH, counts={"rows": number})
    return chain


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def sealed(entry):
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def test_a_journal_as_written_holds_together(tmp_path):
    path = tmp_path / "folder" / "audit.journal"
    chain = written(path)
    found = verify_journal(path)
    assert found.ok
    assert found.head == chain.head == hashlib.sha256(lines(path)[-1].rstrip()).hexdigest()
    assert [entry["number"] for entry in found.entries] == [1, 2, 3, 4, 5]
    assert found.entries[0]["previous"] == "0" * 64
    assert found.entries[2]["hashes"] == HASH
    assert verify_journal(path, chain.head).grown == 0


def test_a_head_kept_earlier_tells_how_many_lines_came_since(tmp_path):
    head = written(tmp_path / "j", 2).head
    written(tmp_path / "j", 3)
    assert verify_journal(tmp_path / "j", head).grown == 3


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_altered_byte_is_found(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "j"
    head = written(path, 3).head
    content = bytearray(path.read_bytes())
    at = int(data.draw(st.floats(0, 1, exclude_max=True)) * len(content))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert not verify_journal(path, head).ok


@pytest.mark.parametrize("at", [0, 2, 3])
def test_an_altered_line_with_its_checksum_made_good_is_found(tmp_path, at):
    path = tmp_path / "j"
    written(path)
    all_lines = lines(path)
    entry = json.loads(all_lines[at].partition(b" ")[2])
    all_lines[at] = sealed(entry | {"verdict": "no gap found"})
    path.write_bytes(b"".join(all_lines))
    found = verify_journal(path)
    assert not found.ok
    assert found.faults[0].startswith(f"line {at + 1} or {at + 2} was altered")
    assert len(found.entries) == at + 1


def test_an_altered_last_line_is_found_by_a_head_kept_elsewhere(tmp_path):
    path = tmp_path / "j"
    head = written(path).head
    *before, last = lines(path)
    altered = sealed(json.loads(last.partition(b" ")[2]) | {"verdict": "no gap found"})
    path.write_bytes(b"".join([*before, altered]))
    assert verify_journal(path).ok
    assert "the given head is of no line" in verify_journal(path, head).faults[0]


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_removed_line_is_found(tmp_path, at):
    path = tmp_path / "j"
    written(path)
    left = lines(path)
    del left[at]
    path.write_bytes(b"".join(left))
    assert (
        verify_journal(path).faults[0].startswith(f"line {at + 1} says that it is number {at + 2}")
    )


def test_lines_in_another_order_are_found(tmp_path):
    path = tmp_path / "j"
    written(path)
    first, second, third, *rest = lines(path)
    path.write_bytes(b"".join([first, third, second, *rest]))
    assert not verify_journal(path).ok


def test_an_added_line_is_found(tmp_path):
    path = tmp_path / "j"
    written(path)
    first, second, *rest = lines(path)
    path.write_bytes(b"".join([first, second, second, *rest]))
    assert not verify_journal(path).ok


def test_lines_cut_off_at_the_end_are_found_by_a_head_alone(tmp_path):
    path = tmp_path / "j"
    head = written(path).head
    path.write_bytes(b"".join(lines(path)[:-2]))
    assert verify_journal(path).ok
    assert not verify_journal(path, head).ok
    path.write_bytes(b"")
    assert not verify_journal(path, head).ok


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_an_incomplete_last_line_is_found_and_the_next_writer_says_so(tmp_path, cut):
    path = tmp_path / "j"
    head = written(path, 3).head
    path.write_bytes(path.read_bytes()[:-cut])
    found = verify_journal(path)
    assert found.faults[0].startswith("line 3 is not whole")
    assert len(found.entries) == 2
    chain = append_entry(path, "audit", verdict="gap", hashes=HASH)
    assert chain.ok
    assert len(chain.entries) == 3
    assert chain.entries[-1]["cut"] == found.torn > 0
    assert not verify_journal(path, head).ok


def test_nothing_is_added_to_a_damaged_journal(tmp_path):
    """A damaged last line is no torn one: cutting it off would remove what it said."""
    path = tmp_path / "j"
    written(path, 2)
    content = path.read_bytes().replace(b'"rows":1', b'"rows":7')
    path.write_bytes(content)
    with pytest.raises(BadInput, match="line 2 was altered"):
        append_entry(path, "audit", verdict="gap", hashes=HASH)
    assert path.read_bytes() == content


def test_writers_of_several_threads_take_turns(tmp_path):
    path = tmp_path / "j"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: append_entry(path, "audit", verdict="gap", hashes=HASH), range(24)))
    assert verify_journal(path).ok
    assert len(verify_journal(path).entries) == 24


def test_writers_of_several_processes_take_turns(tmp_path):
    path = tmp_path / "j"
    code = (
        "from nucleate.monitor.audit import append_entry\n"
        f"for _ in range(15): append_entry({str(path)!r}, 'audit', verdict='gap', hashes={{}})"
    )
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert verify_journal(path).ok
    assert len(verify_journal(path).entries) == 30


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "j"
    written(path, 2)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append_entry(path, "audit", verdict="gap", hashes=HASH)
    assert path.read_bytes() == before
    assert verify_journal(path).ok


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "x" * 61}, {"verdict": "the user wrote: \"my secret\""}, {"verdict": ""},
        {"hashes": {"report": "my secret"}}, {"hashes": {"my \n secret": "ab" * 32}},
        {"counts": {"my \n secret": 1}}, {"kind": "a\nb"},
    ],
)  # fmt: skip
def test_no_text_gets_into_the_journal(tmp_path, line):
    given_ = {"kind": "audit", "verdict": "gap", "hashes": HASH} | line
    with pytest.raises(BadInput, match="journal's"):
        append_entry(tmp_path / "j", **given_)
    assert not (tmp_path / "j").exists()


def test_what_is_no_head_or_no_journal_is_refused(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        verify_journal(tmp_path / "j")
    written(tmp_path / "j", 1)
    with pytest.raises(BadInput, match="64 hexadecimal digits"):
        verify_journal(tmp_path / "j", "abc")
