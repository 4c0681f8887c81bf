"""Searches: trials that follow from what earlier ones found, and from nothing but the folders."""

import math
import shutil
import sys
from pathlib import Path

import pytest

from in_process import runner
from nucleate import BadInput, RunFailed
from nucleate.studies import Inline, open_study, read_study, search_study, study_table
from nucleate.studies._search import _read_search, _replay
from study_pages import BASE, write_page

optuna = pytest.importorskip("optuna")

# Three values, so that many trials share three runs; one of them diverges.
WILD = 1e30
OVER = {"training.learning_rate": [1e-3, 3e-2, WILD]}
SEARCH = {"over": OVER, "trials": 13, "number": "loss.seen", "direction": "minimize"}
TRAINING = {**BASE["training"], "clip_norm": WILD, "warmup_steps": 0}
RANGE = {"training.learning_rate": {"low": "1e-5", "high": 1e-1, "log": True},
         "model.depth": {"low": 1, "high": 8}, "training.optimizer": ["adamw", "sgd"]}  # fmt: skip


def page(folder: Path, **search: object) -> Path:
    return write_page(folder, base={"training": TRAINING}, tables=["accuracy.seen", "loss.seen"],
                      search={**SEARCH, **search})  # fmt: skip


class Counting(Inline):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, folders, watcher, ended) -> None:
        self.asked += [folder.name for folder in folders]
        super().__call__(folders, watcher, ended)


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> tuple[Path, Path, list[str]]:
    """A search that is over: its page, the folder of its runs, and what was run in turn."""
    folder, executor = tmp_path_factory.mktemp("search"), Counting()
    file = page(folder)
    with pytest.raises(
        RunFailed, match=r"trials failed or have no loss.seen.*learning_rate=1e\+30"
    ):
        search_study(file, folder / "out", executor=executor)
    return file, folder / "out", executor.asked


def test_every_run_of_a_search_is_done_once_and_a_failed_one_is_not_tried_again(searched):
    file, out, asked = searched
    assert len(asked) == len(set(asked)) == 3
    again = Counting()
    with pytest.raises(RunFailed, match="trials failed"):
        search_study(file, out, executor=again)
    assert again.asked == []
    study = open_study(file, out)
    assert (study.trials, study.further, len(study.runs)) == (13, 0, 3)


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_to_the_same_table(searched, tmp_path):
    file, out, asked = searched
    there = Path(shutil.copytree(out, tmp_path / "out"))
    for name in asked[1:]:
        shutil.rmtree(there / name)
    half = open_study(file, there)
    assert [run.key for run in half.runs] == asked[:2]
    assert half.further > 0
    executor = Counting()
    with pytest.raises(RunFailed):
        search_study(file, there, executor=executor)
    assert executor.asked == asked[1:]
    assert study_table(open_study(file, there), there) == study_table(open_study(file, out), out)


def far_from_best(change: dict) -> float:
    return abs(math.log10(change["training.learning_rate"]) + 3)


def with_failures(change: dict) -> float:
    if change["model.depth"] == 8:
        return math.nan
    far = far_from_best(change)
    return math.inf if far > 1.8 else far


def replayed(count: int, objective=with_failures, **search: object) -> list[dict]:
    """The trials of a search whose objective is known, stopped after some of them are over."""
    given = {**SEARCH, "over": RANGE, "trials": 40, **search}
    answered = iter(range(count))

    def found(change: dict) -> float | None:
        return None if next(answered, None) is None else objective(change)

    return _replay(_read_search(Path("a.yaml"), {"search": given}), found)


def test_trials_follow_from_the_results_of_those_before_and_from_nothing_else():
    whole = replayed(40)
    for count in (0, 1, 9, 17, 39):
        assert replayed(count) == whole[: count + 1]
    assert replayed(40, seed=4) != whole
    assert replayed(40, far_from_best) != whole


def test_trials_stay_within_their_ranges():
    trials = replayed(40)
    assert all(1e-5 <= t["training.learning_rate"] <= 1e-1 for t in trials)
    assert {type(t["model.depth"]) for t in trials} == {int}
    assert {t["training.optimizer"] for t in trials} == {"adamw", "sgd"}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_search_draws_nearer_to_what_is_best_than_trials_at_random(direction):
    sign = 1 if direction == "minimize" else -1
    late = {
        sampler: sum(
            far_from_best(change)
            for seed in range(4)
            for change in replayed(40, lambda change: sign * far_from_best(change), seed=seed,
                                   sampler=sampler, direction=direction)[20:]
        )
        for sampler in ("tpe", "random")
    }  # fmt: skip
    assert late["tpe"] < 0.8 * late["random"]


@pytest.mark.parametrize(("search", "said"), [
    ({"trails": 3}, "search has no use for 'trails' (did you mean 'trials'?)"),
    ({"trials": 0}, "search.trials is 0"),
    ({"number": "los.seen"}, "search.number is 'los.seen' (did you mean 'loss.seen'?)"),
    ({"direction": "up"}, "search.direction is 'up'"),
    ({"over": {}}, "search.over is {}"),
    ({"over": {"model.width": {"low": 8}}}, "search.over.model.width is {'low': 8}"),
    ({"over": {"model.width": {"low": "x", "high": 9}}}, "search.over.model.width is"),
    ({"over": {"training.learning_rate": {"low": 0.0, "high": 1.0, "log": True}}}, "above 0"),
    ({"over": {"model.widht": [8]}}, "did you mean 'model.width'"),
    ({"trials": 201}, "the search asks for 201 runs (201 trials, 1 runs each), and its limit"),
])  # fmt: skip
def test_a_search_that_does_not_fit_is_refused_in_one_sentence(tmp_path, search, said):
    file = page(tmp_path, **search)
    with pytest.raises(BadInput) as refused:
        open_study(file, tmp_path / "out")
    assert said in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_page_with_a_search_needs_its_folder_and_has_no_grid_besides(tmp_path):
    with pytest.raises(BadInput, match="read it with open_study"):
        read_study(page(tmp_path))
    both = write_page(tmp_path, search=SEARCH, grid={"model.width": [8]})
    with pytest.raises(BadInput, match="has both search and grid"):
        open_study(both, tmp_path / "out")
    with pytest.raises(BadInput, match="has no search"):
        search_study(write_page(tmp_path), tmp_path / "out")


def test_the_search_in_the_docs_is_one(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    file = tmp_path / "rates.yaml"
    block = text.partition("### Searches")[2].partition("```yaml\n")[2].partition("```")[0]
    file.write_text(block, encoding="utf-8")
    study = open_study(file, tmp_path / "out")
    assert (len(study.runs), study.trials, study.further) == (2, 20, 19)


def test_a_search_without_optuna_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BadInput, match=r"pip install 'nucleate\[optuna\]'"):
        open_study(page(tmp_path), tmp_path / "out")


def test_the_command_line_says_how_many_trials_are_still_to_come(
    searched, tmp_path, capfd, monkeypatch
):
    file, out, _ = searched
    run = runner(capfd, monkeypatch)
    told = run("study", "status", file, "--out", tmp_path / "new")
    assert "12 of 13 trials follow from what these runs find" in told.stdout
    done = run("study", "run", file, "--out", out, "--executor", "inline", "--quiet")
    assert done.returncode == 4
    assert run("study", "table", file, "--out", out).stdout.count("learning_rate=") == 3
