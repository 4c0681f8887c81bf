"""`nucleate watch` as a user runs it."""

import json

import pytest

import any_runs
from in_process import runner
from made_trainings import AT, healthy, run


@pytest.fixture
def cli(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


PLACES = ("--place", "block.0@last", "--place", "block.1 @ last")


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """A folder of series, as `Series.save` wrote them."""
    folder = tmp_path_factory.mktemp("healthy")
    for k, series in enumerate(healthy()):
        series.save(folder / f"{k:02}.json")
    return folder


def test_an_alarm_that_stands_is_told_written_and_exits_with_1(tmp_path, cli, references):
    made = run(tmp_path / "bad", 100, "merged")
    out = tmp_path / "alarms.json"
    done = cli("watch", made.path, "--reference", references, *PLACES, "--out", out)
    assert done.returncode == 1, done.stderr
    assert "t0" in done.stdout
    assert "of 30 healthy runs" in " ".join(done.stdout.split())
    report = json.loads(out.read_text())
    assert (report["kind"], report["verdict"], report["first_alarm"]) == (
        "alarms",
        "alarm",
        AT + 20,
    )
    assert not (made.path / "alarms.json").exists()


def test_a_quiet_run_exits_with_0_and_json_is_the_report(tmp_path, cli, references):
    made = run(tmp_path / "good")
    done = cli("watch", made.path, "--reference", references, *PLACES, "--json", "--follow")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["verdict"], report["alarms"]) == ("quiet", [])


def test_without_references_the_package_has_healthy_runs(tmp_path, cli):
    made = run(tmp_path / "bad", 100, "nan")
    done = cli("watch", made.path, *PLACES)
    assert done.returncode == 1
    assert "not finite: states of block.1 @ last" in " ".join(done.stdout.split())


def test_a_reference_may_be_a_run_folder_and_too_few_are_said(tmp_path, cli):
    made, other = run(tmp_path / "run", 100), run(tmp_path / "other", 101)
    done = cli("watch", made.path, "--reference", other.path, *PLACES)
    assert "too few reference runs: 1" in done.stdout


def test_bad_input_exits_with_2_and_names_the_remedy(tmp_path, cli, references):
    made = run(tmp_path / "run")
    other = any_runs.make(tmp_path / "other", any_runs.prompts_of(positions=["last", "first"]))
    plain = any_runs.make(tmp_path / "plain", any_runs.prompts_of(labels=("instruction", "input")))
    empty = any_runs.make(tmp_path / "empty", steps=())
    (tmp_path / "nothing").mkdir()
    for arguments, said in (
        ((tmp_path / "nowhere",), "nowhere"),
        ((plain.path,), "no label 'task'"),
        ((made.path, "--rate", "1.5"), "rate is 1.5"),
        ((made.path, "--place", "block.1"), "write it as block.1@last"),
        ((made.path, "--place", "block.7@last"), "no stream named 'block.7'"),
        ((other.path, "--reference", references, *PLACES), "other prompts"),
        ((made.path, "--reference", references, "--place", "block.1@last"), "other places"),
        ((made.path, "--reference", tmp_path / "nothing"), "holds no reference run"),
        ((made.path, "--reference", empty.path), "no recorded step"),
        ((made.path, "--webhook", "example.org"), "is no address"),
        ((made.path, "--follow", "--every", "0"), "every is 0"),
        ((made.path, "--trainings-a-month", "-1"), "trainings_a_month is -1"),
    ):
        done = cli("watch", *arguments)
        assert done.returncode == 2, (arguments, done.stdout, done.stderr)
        assert said in " ".join(done.stderr.split()), (arguments, done.stderr)
