"""The file of claims, and what is judged by it."""

import json
from pathlib import Path

import pytest
import yaml

from nucleate._core.errors import BadInput
from nucleate.studies import (
    judge_claims,
    read_claims,
    record_thresholds,
    run_study,
    write_claims_page,
)

OWN = Path(__file__).parents[2] / "src/nucleate/studies/claims.yaml"


@pytest.fixture
def page():
    return yaml.safe_load(OWN.read_text(encoding="utf-8"))


def written(page, folder):
    file = folder / "claims.yaml"
    file.write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    return file


def test_the_confirmatory_form_has_six_seeds_or_more_and_none_of_the_pilot(page):
    claims = read_claims("claims")
    seeds = {run.config.seed for runs in claims.arms.values() for run in runs}
    assert len(seeds) >= 6
    assert not seeds & set(range(100, 110))
    assert set(page["never"]) == set(range(100, 110))


def test_seeds_on_which_thresholds_were_chosen_are_refused(page, tmp_path):
    page["forms"]["claims"]["seeds"] = [201, 105]
    with pytest.raises(BadInput, match="seed 105 was used to choose the thresholds"):
        read_claims("claims", written(page, tmp_path))


def test_every_treatment_has_the_seeds_of_its_plain_run_and_all_else_equal():
    claims = read_claims("claims")
    by_seed = {run.config.seed: run.config for run in claims.arms["plain"]}
    for arm, runs in claims.arms.items():
        if not arm.startswith(("contrastive", "scatter")):
            continue
        assert [run.config.seed for run in runs] == list(by_seed), arm
        for run in runs:
            plain = by_seed[run.config.seed]
            training = run.config.training.model_copy(update={"regularizer": None})
            assert training == plain.training
            assert run.config.synthetic == plain.synthetic


def test_the_hash_changes_with_a_threshold_and_not_with_a_comment(page, tmp_path):
    claims = read_claims("claims")
    assert read_claims("claims", written(page, tmp_path)).digest == claims.digest
    page["claims"]["C1"]["at_least"]["ari"] = 0.4
    assert read_claims("claims", written(page, tmp_path)).digest != claims.digest


def test_an_unknown_form_names_the_nearest():
    with pytest.raises(BadInput, match=r"'claims-smok'.*claims-smoke"):
        read_claims("claims-smok")


def test_a_threshold_changed_after_runs_were_begun_is_told_in_table_and_page(page, tmp_path):
    record_thresholds(read_claims("claims-smoke"), tmp_path)
    assert judge_claims(read_claims("claims-smoke"), tmp_path).notes == ()
    page["claims"]["C9"]["at_least"]["shift"] = 0.3
    changed = read_claims("claims-smoke", written(page, tmp_path))
    table = judge_claims(changed, tmp_path)
    assert "C9: shift is 0.3, but was 0.6 when runs were begun" in table.notes[0]
    assert table.notes[0] in "\n".join(table.lines())
    write_claims_page(changed, table, tmp_path / "page.md")
    assert table.notes[0] in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_without_a_record_of_thresholds_the_table_says_that_nothing_is_confirmed(tmp_path):
    notes = judge_claims(read_claims("claims-smoke"), tmp_path).notes
    assert notes == ("no thresholds are on record from before the runs: this confirms nothing",)


def test_a_damaged_record_of_thresholds_is_refused(tmp_path):
    (tmp_path / "claims.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match=r"claims\.jsonl is damaged"):
        judge_claims(read_claims("claims-smoke"), tmp_path)


def test_a_run_gives_the_evidence_of_its_claims_and_the_same_when_it_is_read_again(page, tmp_path):
    """One arm with its null; the whole form is run by the tests of the command line."""
    pages = page["pages"]
    page["pages"] = {"base": pages["base"]}
    claims = read_claims("claims-smoke", written(page, tmp_path))
    out = tmp_path / "runs"
    record_thresholds(claims, out)
    run_study(claims.study, out)
    first = judge_claims(claims, out, workers=1)
    assert (first.done, first.asked) == (2, 2)
    of_c9 = next(result for result in first.results if result.name == "C9")
    assert of_c9.seeds == 1
    assert 0 <= of_c9.conditions[0].value <= 1
    assert of_c9.null is not None
    for file in out.glob("*/shared/evidence.json"):
        found = json.loads(file.read_text(encoding="utf-8"))["numbers"]
        assert 0 <= found["accuracy.unseen_cell"] <= 1
        assert found["knn_erased"] >= 0
    told = json.dumps(first.to_dict())
    assert json.dumps(judge_claims(claims, out, workers=1).to_dict()) == told
    for file in out.glob("*/shared/evidence.json"):
        file.unlink()
    assert json.dumps(judge_claims(claims, out, workers=1).to_dict()) == told
    page_files = write_claims_page(claims, first, tmp_path / "results.md")
    assert [file.name for file in page_files] == ["results.md", "results.png"]
    text = page_files[0].read_text(encoding="utf-8")
    assert "Of 10 claims 0 are not supported, 10 undecided and 0 supported." in text
