"""The command line as a user meets it: real processes, exit codes, one sentence for each error."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from nucleate.studies import ReproduceConfig

TINY = [
    "synthetic.tasks=3", "synthetic.families=2", "synthetic.inputs=3", "synthetic.strings=4",
    "synthetic.unseen_strings=2", "model.depth=1", "model.width=16", "model.heads=2",
    "training.steps=30", "training.batch_size=16", "training.device=cpu", "recording.points=4",
    "recording.rows=36", "panel.n_init=2", "panel.n_permutations=19", "panel.n_bootstraps=20",
    "panel.untrained=1", "causal.rows=18",
]  # fmt: skip
SETTINGS = [part for setting in TINY for part in ("--set", setting)]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from nucleate.cli import main; main()", *arguments]


def nucleate(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment, check=False, **options
    )


def test_help_names_the_verbs():
    done = nucleate("--help")
    assert done.returncode == 0
    assert "reproduce" in done.stdout
    assert "config" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "model.width=abc"], "'model.width' is 'abc'"),
        (["--set", "model.arch=lama"], "model.arch 'lama'"),
        (["--set", "synthetic.patterns={a: ['x(', 'z'], b: ['u', 'v']}"], "x("),
        (["--set", "synthetic.patterns={a: ['xy*', 'z'], b: ['u', 'v']}"], "xy*"),
        (["--set", "synthetic.patterns={a: ['xy', 'u'], b: ['xy', 'v']}"], "xy"),
        (["--tasks", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--set", "recording.points=99"], "99 recorded points"),
    ],
)
def test_bad_input_gets_exit_code_2_and_one_sentence_that_names_it(tmp_path, arguments, sentence):
    done = nucleate("reproduce", "--quiet", "--out", str(tmp_path / "out"), *SETTINGS, *arguments)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert done.stderr.startswith("nucleate: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_key_in_a_file_is_named_with_its_line(tmp_path):
    rows = [{"task": "a", "instruction": "i", "input": "x", "output": "y", "split": "train"}] * 2
    del rows[1]["output"]
    file = tmp_path / "rows.jsonl"
    rows = [dict(rows[0], output="y"), {k: v for k, v in rows[0].items() if k != "output"}]
    file.write_text("\n".join(map(json.dumps, rows)))
    done = nucleate("reproduce", "--quiet", "--tasks", str(file), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "line 2" in done.stderr
    assert "output" in done.stderr


def test_a_whole_study_prints_json_on_stdout_and_plain_lines_on_stderr(tmp_path):
    done = nucleate("reproduce", "--json", "--out", str(tmp_path / "out"), *SETTINGS)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [run["name"] for run in result["runs"]] == ["own", "shared"]
    assert "own: training: 30/30" in done.stderr
    assert "\x1b" not in done.stderr
    other = nucleate("reproduce", "--quiet", "--out", str(tmp_path / "out"), *SETTINGS,
                     "--set", "model.width=32")  # fmt: skip
    assert other.returncode == 2
    assert "model.width is 16 there and 32 now" in other.stderr


@pytest.mark.parametrize("outputs", ["own", "both"])
def test_ctrl_c_leaves_runs_with_a_checkpoint_each(tmp_path, outputs):
    arguments = command(
        *("reproduce", "--outputs", outputs, "--threads", "2", "--out", str(tmp_path), *SETTINGS),
        *("--set", "training.steps=20000"),
    )
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    names = ["own"] if outputs == "own" else ["own", "shared"]
    journals = [tmp_path / name / "journal.jsonl" for name in names]
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not all(
        j.exists() and '"step"' in j.read_text() for j in journals
    ):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "run again to resume" in said
    assert all('"kind":"checkpoint"' in j.read_text() for j in journals)


def test_a_diverged_loss_gets_exit_code_4_and_keeps_the_run(tmp_path):
    done = nucleate("reproduce", "--quiet", "--outputs", "own", "--out", str(tmp_path / "out"),
                    *SETTINGS, "--set", "training.learning_rate=1e30", "--set",
                    "training.clip_norm=1e30", "--set", "training.warmup_steps=0")  # fmt: skip
    assert done.returncode == 4
    assert "at step" in done.stderr
    assert (tmp_path / "out" / "own" / "states" / "0.safetensors").exists()


def test_config_show_prints_what_config_takes(tmp_path):
    done = nucleate("config", "show", "--preset", "smoke", "--set", "model.width=32")
    shown = yaml.safe_load(done.stdout)
    assert shown["model"]["width"] == 32
    file = tmp_path / "c.yaml"
    file.write_text(done.stdout)
    again = nucleate("config", "show", "--config", str(file))
    assert yaml.safe_load(again.stdout) == shown


def test_config_schema_is_the_schema_of_the_configuration():
    done = nucleate("config", "schema")
    assert json.loads(done.stdout) == ReproduceConfig.model_json_schema()
