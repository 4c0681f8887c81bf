"""What callers get who have no annotations enforced: one sentence each."""

import subprocess
import sys

CODE = """
import numpy as np
from nucleate import BadInput
from nucleate.monitor.audit import AuditTable, Rules, append_entry

two = np.array(["a", "b"])
for call in (
    lambda: Rules(level=True),
    lambda: Rules(level="high"),
    lambda: Rules(least=30.5),
    lambda: Rules(matters=None),
    lambda: AuditTable(two, task=np.array(["x"])),
    lambda: AuditTable(two, outcomes={"wrong": np.array([True])}),
    lambda: append_entry("journal", "audit", verdict=1, hashes={}),
    lambda: append_entry("journal", "audit", verdict="gap", hashes={"report": 7}),
    lambda: append_entry("journal", "audit", verdict="gap", hashes={}, counts={"rows": "my text"}),
    lambda: append_entry("journal", "audit", verdict="gap", hashes={}, counts={"rows": 1.5}),
):
    try:
        call()
    except BadInput as error:
        print(error)
"""
SENTENCES = (
    "level is True", "level is 'high'", "least is 30.5", "matters is None",
    "task has 1 entries and cluster 2", "wrong has 1 entries and cluster 2",
    "the journal's verdict is no short word", "the journal's report is no hash",
    "the journal's count of rows is no whole number", "the journal's count of rows is no whole",
)  # fmt: skip


def test_arguments_of_another_kind_are_refused_in_a_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    said = done.stdout.splitlines()
    assert len(said) == len(SENTENCES)
    for line, sentence in zip(said, SENTENCES, strict=True):
        assert line.startswith(sentence)
    assert not (tmp_path / "journal").exists()
