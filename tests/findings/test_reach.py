import math

import pandas as pd
import pytest

from nucleate import BadInput
from nucleate.findings import Reached, reached
from nucleate.runs import Journal


def folder(tmp_path, accuracy: dict[int, float], tokens: dict[int, int | None]):
    """A run folder's accuracy on unseen cells, and what its journal counted."""
    rows = [
        {"step": s, "split": "unseen_cell", "accuracy": a, "n": 10} for s, a in accuracy.items()
    ]
    rows += [{"step": s, "split": "seen", "accuracy": 1.0, "n": 40} for s in accuracy]
    pd.DataFrame(rows).to_csv(tmp_path / "accuracy.csv", index=False)
    journal = Journal(tmp_path / "journal.jsonl")
    for step, count in tokens.items():
        known = {} if count is None else {"tokens": count}
        journal.append("step", step=step, first=step, losses=[1.0], **known)
    return tmp_path


TOKENS = {2: 20, 4: 41, 8: 80, 9: 90, 16: 165}


@pytest.mark.parametrize(("accuracy", "steps", "tokens", "after", "tokens_after"), [
    ((0.0, 0.3, 0.9, 1.0, 0.9), 4, 41, 2, 20),
    ((0.0, 1.0, 0.8, 0.9, 1.0), 8, 80, 4, 41),  # what was lost again does not count
    ((0.0, 1.0, 1.0, 1.0, 0.8), math.inf, math.inf, 16, 165),
    ((0.0, 0.0, 0.0, 0.0, 0.9), 16, 165, 8, 80),
    ((0.9, 0.9, 0.9, 0.9, 0.9), 0, 0, -math.inf, -math.inf),
])  # fmt: skip
def test_the_date_is_the_first_step_from_which_accuracy_stays(
    tmp_path, accuracy, steps, tokens, after, tokens_after
):
    where = folder(tmp_path, dict(zip((0, 2, 4, 8, 16), accuracy, strict=True)), TOKENS)
    dates = map(float, (steps, tokens, after, tokens_after))
    assert reached(where, "unseen_cell") == Reached(*dates, rows=10)


def test_a_share_that_is_nine_in_ten_up_to_its_last_bit_counts(tmp_path):
    where = folder(tmp_path, {0: 0.0, 8: 0.9 - 1e-16, 16: 1 - 0.1}, TOKENS)
    assert reached(where, "unseen_cell").steps == 8


def test_tokens_that_were_not_counted_are_not_known_and_steps_are(tmp_path):
    where = folder(tmp_path, {0: 0.0, 8: 1.0}, {8: None})
    found = reached(where, "unseen_cell")
    assert found.steps == 8
    assert math.isnan(found.tokens)


def test_a_split_without_rows_has_no_date_and_a_run_without_its_table_is_refused(tmp_path):
    assert reached(folder(tmp_path, {0: 0.0, 8: 1.0}, TOKENS), "unseen_family") is None
    with pytest.raises(BadInput, match=r"accuracy\.csv cannot be read"):
        reached(tmp_path / "nowhere", "unseen_cell")
