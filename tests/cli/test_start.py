"""The start of every verb: what is refused, and what is said, before torch is imported.

No seconds are measured here: a command that imports one of the heavy libraries ends on the spot.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exportable import make_run
from nucleate.panel import METRIC_NAMES, panel_metrics
from small import material, model

HEAVY = 9
# Runs every command line that it is given in one process, as long as nothing heavy is imported.
CODE = f"""
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "sklearn", "matplotlib", "scipy.stats"):
            raise SystemExit({HEAVY})

sys.meta_path.insert(0, Watch())
from nucleate.cli import main
found = []
for arguments in json.loads(sys.stdin.read()):
    sys.argv = ["nucleate", *arguments]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as ended:
            found.append((ended.code, out.getvalue(), err.getvalue()))
print(json.dumps(found))
"""


def nucleate(lines: list[str], folder: Path) -> dict[str, tuple[int, str, str]]:
    """Exit code, standard output and standard error of every command line."""
    split = [[part.replace("{}", str(folder)) for part in line.split()] for line in lines]
    done = subprocess.run(
        [sys.executable, "-c", CODE], input=json.dumps(split), capture_output=True, text=True,
        check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    return dict(zip(lines, map(tuple, json.loads(done.stdout)), strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run with a panel, two checkpoints and files that are wrong."""
    folder = tmp_path_factory.mktemp("made")
    run = make_run(folder / "run")
    for step in (1, 5):
        model(seed=step).save_pretrained(run.path / "checkpoints" / f"step{step}")
    shutil.copytree(run.path, folder / "twin")
    bare = folder / "bare"
    bare.mkdir()
    (bare / "manifest.json").write_text((run.path / "manifest.json").read_text())
    (folder / "broken").mkdir()
    (folder / "broken" / "manifest.json").write_text("{")
    (folder / "newer").mkdir()
    (folder / "newer" / "manifest.json").write_text(json.dumps({"schema_version": 99}))
    (folder / "bad.yaml").write_text("a: [")
    (folder / "list.yaml").write_text("- a")
    (folder / "study.yaml").write_text("base: {preset: smoke}")
    (folder / "typo.yaml").write_text("sedes: [1]")
    (folder / "rows.jsonl").write_text("not json")
    material()[2].save(folder / "prompts")
    return folder


REFUSED = [
    ("reproduce --set model.widht=3", "did you mean 'model.width'"),
    ("reproduce --set widht=3", "did you mean 'model.width'"),
    ("reproduce --set model.width", "not of the form key=value"),
    ("reproduce --set model.width=10", "not a multiple of model.heads"),
    ("reproduce --set training.steps=0", "'training.steps' is 0"),
    ("reproduce --set recording.points=999", "999 recorded points"),
    ("reproduce --set panel.metrics=[agrement]", "did you mean 'agreement'"),
    ("reproduce --config {}/none.yaml", "none.yaml"),
    ("reproduce --config {}/bad.yaml", "bad.yaml"),
    ("reproduce --config {}/list.yaml", "no mapping"),
    ("reproduce --tasks {}/none.jsonl", "none.jsonl"),
    ("reproduce --quiet --tasks {}/rows.jsonl", "rows.jsonl"),
    ("reproduce --quiet --set synthetic.patterns={a:['x('],b:['u']}", "x("),
    ("reproduce --preset smok", "'smok' is not one of"),
    ("reproduce --seed -1", "'--seed'"),
    ("reproduce --set model.arch=lama", "did you mean 'llama'"),
    ("reproduce --set training.device=cdua", "did you mean 'cuda'"),
    ("config show --set model.widht=3", "did you mean 'model.width'"),
    ("measure", "name the folder of a run"),
    ("measure {}", "no run folder"),
    ("measure {}/broken", "is damaged"),
    ("measure {}/newer", "schema version 99"),
    ("measure {}/run --metrics agreement,agrement", "did you mean 'agreement'"),
    ("measure {}/run --scrambled {}/bare", "no panel.csv"),
    ("measure {}/run --permutations x", "'--permutations'"),
    ("intervene nowhere", "no run folder"),
    ("intervene {}/run --prompts {}/prompts", "leave --prompts out"),
    ("intervene {}/bare", "holds no checkpoint"),
    ("intervene {}/run/checkpoints/step5 --prompts {}/none --out o", "do not exist"),
    ("intervene {}/run --positions last", "--positions last is for rows of a file"),
    ("record --prompts {}/prompts --out o", "name one model"),
    ("record m --series s --prompts p --out o", "name one model"),
    ("record --series s --step 3 --prompts p --out o", "--step 3"),
    ("record {}/nowhere/at/all --prompts p --out o", "nowhere"),
    ("record {}/run/checkpoints/step5 --prompts {}/none.csv --out o", "do not exist"),
    ("record {}/run/checkpoints/step5 --prompts {}/rows.jsonl --positions lst --out o",
     "did you mean 'last'"),
    ("record {}/run/checkpoints/step5 --prompts {}/rows.jsonl --template {x} --out o",
     "other fields"),
    ("series check {}/nowhere", "nowhere"),
    ("series check {}/prompts", "holds no checkpoints"),
    ("report {}/nowhere", "no such folder"),
    ("report {}", "no run folder"),
    ("overlap {}", "no run folder"),
    ("compare {}/run", "at least two runs"),
    ("compare {}/run {}/run", "named twice"),
    ("compare {}/run {}/broken", "is damaged"),
    ("measure {}/run {}/run", "named twice"),
    ("intervene {}/run --device cdua", "did you mean 'cuda'"),
    ("record {}/run/checkpoints/step5 --prompts {}/run --out o --device x:y", "'x:y'"),
    ("export {} --to wandb", "no run folder"),
    ("export {}/bare --to wandb", "no panel.csv"),
    ("export {}/run --to wandb --uri http://x", "for MLflow alone"),
    ("export {}/run --to comet", "comet"),
    ("study plan {}/none.yaml", "none.yaml"),
    ("study run {}/list.yaml", "no mapping"),
    ("study run {}/study.yaml --executor slurm", "'slurm' is not one of"),
    ("study run {}/study.yaml --executor inline --workers 2", "--workers 2"),
    ("study run {}/study.yaml --out {}/run", "is a run itself"),
    ("study table {}/typo.yaml", "did you mean 'seeds'"),
    ("nosuch", "nosuch"),
]  # fmt: skip


STARTED = [
    ("reproduce --preset smoke --out {}/new", "nucleate reproduce --preset smoke"),
    ("measure {}/run", "nucleate measure"),
    ("intervene {}/run", "nucleate intervene"),
    ("record {}/run/checkpoints/step5 --prompts {}/run --out {}/new", "nucleate record"),
    ("series check {}/run/checkpoints", "nucleate series check: 2 checkpoints"),
    ("export {}/run --to tensorboard", "nucleate export"),
    ("report {}/run", "nucleate report"),
    ("compare {}/run {}/twin", "nucleate compare 2 runs"),
    ("study run {}/study.yaml --out {}/new", "study study: 2 runs, 0 done, 2 to do"),
]
LIGHT = [
    "study plan {}/study.yaml",
    "study status {}/study.yaml",
    "--help",
    "config schema",
    "config show",
    "--version",
    "record --help",
]


@pytest.fixture(scope="module")
def done(made) -> dict[str, tuple[int, str, str]]:
    lines = [line for line, _ in (*REFUSED, *STARTED)]
    return nucleate([*lines, *LIGHT], made)


@pytest.mark.parametrize(("line", "said"), REFUSED, ids=[line for line, _ in REFUSED])
def test_bad_arguments_are_refused_in_one_sentence_before_torch_is_imported(done, line, said):
    code, out, err = done[line]
    assert (code, out) == (2, ""), err
    assert said in err
    assert err.startswith("nucleate: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("line", "said"), STARTED, ids=[line.split()[0] for line, _ in STARTED])
def test_the_first_line_is_there_before_torch_is_imported(done, line, said):
    code, _, err = done[line]
    assert code == HEAVY, err
    assert err.startswith(said)


@pytest.mark.parametrize("line", LIGHT)
def test_what_needs_no_model_never_imports_torch(done, line):
    code, out, _ = done[line]
    assert code == 0
    assert out


def test_the_metric_names_are_those_of_the_catalog():
    assert tuple(panel_metrics()) == METRIC_NAMES
