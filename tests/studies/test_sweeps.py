"""Optimizers and data policies over many runs, and which gets there in the fewest tokens."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from in_process import runner
from nucleate import BadInput, Run
from nucleate.findings import reached
from nucleate.studies import Inline, Study, rank_study, read_study, run_study, study_table
from nucleate.studies._material import prepare
from nucleate.training import Batches
from study_pages import write_page

TABLES = ["accuracy.seen", "steps_to_90.seen", "tokens_to_90.seen"]
# Long enough, and with few enough tasks, that some runs get there.
BASE = {
    "preset": "smoke",
    "outputs": ["own"],
    "synthetic": {"tasks": 2, "families": 2, "inputs": 2, "strings": 4, "unseen_strings": 1,
                  "label_noise": 0.0},
    "model": {"depth": 1, "width": 16, "heads": 2},
    "training": {"steps": 40, "batch_size": 32, "checkpoint_every": 40, "device": "cpu",
                 "learning_rate": 1e-2, "warmup_steps": 2},
    "recording": {"points": 8, "rows": 24},
    "panel": {"metrics": ["agreement"], "n_init": 1, "n_permutations": 19, "n_bootstraps": 20,
              "untrained": 1, "keyframes": 2},
    "causal": {"rows": 8},
}  # fmt: skip
POLICIES = [
    {"training.optimizer": "adamw"},
    {"training.optimizer": "muon", "training.hard_negatives": 0.5, "training.curriculum": "short"},
    {"training.learning_rate": 1e-8},
]


def page(folder: Path, **more: object) -> Path:
    return write_page(folder, base=BASE, **{"list": POLICIES, "tables": TABLES, **more})


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Study, Path]:
    folder = tmp_path_factory.mktemp("sweep")
    study = read_study(page(folder, seeds=[0, 1]))
    run_study(study, folder / "out", executor=Inline())
    return study, folder / "out"


def of_setting(study: Study, out: Path, setting: str) -> list[Path]:
    return [out / run.key / run.folder_name for run in study.runs if run.setting == setting]


def test_every_setting_of_a_sweep_trains_in_its_own_way(done):
    study, out = done
    names = list(dict.fromkeys(run.setting for run in study.runs))
    assert names == [
        "optimizer=adamw", "optimizer=muon, hard_negatives=0.5, curriculum=short",
        "learning_rate=1e-08",
    ]  # fmt: skip
    losses = [Run(of_setting(study, out, name)[0]).journal.last("step")["losses"] for name in names]
    assert len({tuple(each) for each in losses}) == len(names)


def test_tokens_to_90_are_those_of_all_batches_up_to_the_step_without_padding(done):
    study, out = done
    run = study.runs[0]
    found = reached(out / run.key / run.folder_name, "seen")
    assert math.isfinite(found.steps)
    material, training = prepare(run.config, "own"), run.config.training
    batches = Batches(
        material.taskset, material.encoder, batch_size=training.batch_size,
        seed=run.config.seed_of("batches"),
    )  # fmt: skip
    assert found.tokens == sum(int(batches.at(k).lengths.sum()) for k in range(int(found.steps)))
    table = pd.read_csv(out / run.key / run.folder_name / "accuracy.csv")
    later = table[(table["split"] == "seen") & (table["step"] >= found.steps)]
    assert (later["accuracy"] >= 0.9).all()


def test_the_table_shows_the_median_date_and_says_never(done):
    study, out = done
    rows = {row.setting: row for row in study_table(study, out).rows}
    own = [reached(folder, "seen").tokens for folder in of_setting(study, out, "optimizer=adamw")]
    cell = rows["optimizer=adamw"].cells["tokens_to_90.seen"]
    assert cell.value == sorted(own)[0] / 2 + sorted(own)[1] / 2
    assert math.isnan(cell.low)  # two seeds give no interval of a median
    never = rows["learning_rate=1e-08"].cells["tokens_to_90.seen"]
    assert never.value == math.inf
    assert str(never) == "∞"


def test_the_ranking_compares_with_the_first_setting_and_claims_nothing_from_two_seeds(done):
    study, out = done
    found = rank_study(study, out, "tokens_to_90.seen")
    assert found.reference == "optimizer=adamw"
    assert [row.value for row in found.rows] == sorted(row.value for row in found.rows)
    last = found.rows[-1]
    assert (last.setting, last.rank, last.reached) == ("learning_rate=1e-08", 0, 0)
    assert (last.later, last.sooner) == (2, 0)
    assert {row.standing for row in found.rows} == {"reference", "not told apart"}
    assert any("2 seeds are too few to tell 2 settings apart" in line for line in found.lines())
    assert any("rows of seen, so that one answer is" in line for line in found.lines())
    assert json.loads(json.dumps(found.to_dict()))["rows"][-1]["value"] is None


def test_a_ranking_shows_the_twin_of_each_setting(done, tmp_path):
    _, out = done
    study = read_study(page(tmp_path, seeds=[0], list=POLICIES[:1],
                            twins={"frozen": {"training.learning_rate": 1e-8}}))  # fmt: skip
    found = rank_study(study, out, "tokens_to_90.seen")  # both runs are those of the sweep
    assert found.twins == {"frozen": {"optimizer=adamw": math.inf}}
    assert found.lines()[1].rstrip().endswith("∞")


def test_a_ranking_says_how_many_runs_are_missing(done, tmp_path):
    study, out = done
    more = read_study(page(tmp_path, seeds=[0, 1, 2]))
    said = "3 of 9 runs are not in it: they are not done, or have no tokens_to_90.seen."
    assert said in rank_study(more, out, "tokens_to_90.seen").words
    assert not any(
        "not in it" in word for word in rank_study(study, out, "tokens_to_90.seen").words
    )


def test_a_number_that_is_no_date_and_a_study_without_its_first_setting_are_refused(done, tmp_path):
    study, out = done
    with pytest.raises(BadInput, match=r"'tokens_to_9.seen' \(did you mean 'tokens_to_90.seen'"):
        rank_study(study, out, "tokens_to_9.seen")
    with pytest.raises(BadInput, match="no run of its first setting, optimizer=adamw, is done"):
        rank_study(study, tmp_path, "tokens_to_90.seen")


def test_a_sweep_over_an_optimizer_that_does_not_exist_names_those_that_do(tmp_path):
    file = page(tmp_path, list=[{"training.optimizer": "lino"}])
    with pytest.raises(BadInput, match=r"'training.optimizer' is 'lino'.*'lion'"):
        read_study(file)


def test_a_sweep_with_lion_without_its_package_is_refused_before_anything_runs(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("nucleate.training._config.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"nucleate\[optimizers\]"):
        read_study(page(tmp_path, list=[{"training.optimizer": "lion"}]))


def test_the_page_in_the_docs_is_a_study(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    section = text.partition("## Sweeps")[2]
    file = tmp_path / "policies.yaml"
    file.write_text(section.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    study = read_study(file)
    assert len(study.runs) == 5 * 8
    assert study.runs[0].setting == "optimizer=adamw"


def test_the_ranking_is_told_by_the_command_line_as_text_csv_and_json(
    done, tmp_path, capfd, monkeypatch
):
    _, out = done
    run, file = runner(capfd, monkeypatch), page(tmp_path, seeds=[0, 1])
    words = ("study", "table", file, "--out", out, "--rank", "tokens_to_90.seen")
    told = run(*words)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("rank  setting")
    rows = json.loads(run(*words, "--csv", tmp_path / "r.csv", "--json").stdout)["rows"]
    assert list(pd.read_csv(tmp_path / "r.csv")["setting"]) == [row["setting"] for row in rows]
    refused = run(*words[:-1], "shift")
    assert refused.returncode == 2
    assert "cannot rank by 'shift'" in refused.stderr
