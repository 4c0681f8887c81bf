"""The dashboard and the alert rules: valid, tested, and about numbers that exist."""

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import yaml

from nucleate._core.errors import BadInput
from nucleate.monitor.service import write_monitoring
from served_atlas import packed, vectors_of

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


@pytest.fixture
def folder(tmp_path) -> Path:
    write_monitoring(tmp_path / "monitoring")
    return tmp_path / "monitoring"


def promtool(*words: str, cwd: Path) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rules(folder: Path) -> list[dict]:
    return yaml.safe_load((folder / "alerts.yml").read_text())["groups"][0]["rules"]


def rules_as_shipped() -> list[dict]:
    return rules(Path(str(files("nucleate.monitor.service") / "monitoring")))


def queries(folder: Path) -> list[str]:
    board = json.loads((folder / "dashboard.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@needs_promtool
def test_the_rules_are_valid_and_pass_their_own_tests(folder):
    promtool("check", "rules", "alerts.yml", cwd=folder)
    promtool("test", "rules", "alerts_test.yml", cwd=folder)


@needs_promtool
def test_the_tests_of_the_rules_can_fail(folder):
    text = (folder / "alerts.yml").read_text()
    (folder / "alerts.yml").write_text(
        text.replace("nucleate_gate_of_this_atlas == 0", "vector(1) == 0")
    )
    with pytest.raises(AssertionError, match="NucleateGateOfAnotherAtlas"):
        promtool("test", "rules", "alerts_test.yml", cwd=folder)


def test_every_rule_is_tested_and_says_its_false_alarms(folder):
    tested = (folder / "alerts_test.yml").read_text()
    assert len(rules(folder)) == 13
    for rule in rules(folder):
        said = " ".join(rule["annotations"]["description"].split()).lower()
        assert rule["alert"] in tested
        assert "false alarms" in said or "gate errs" in said, rule["alert"]


@needs_promtool
def test_the_queries_of_the_dashboard_are_valid(folder):
    made = [
        {"record": f"query:{number}", "expr": query.replace("$instance", "a")}
        for number, query in enumerate(queries(folder))
    ]
    page = {"groups": [{"name": "dashboard", "rules": made}]}
    (folder / "queries.yml").write_text(yaml.safe_dump(page))
    promtool("check", "rules", "queries.yml", cwd=folder)


def test_rules_and_dashboard_read_numbers_that_the_service_has(folder, client):
    client.post("/v1/score", **packed(vectors_of(3, seed=0)))
    text = client.get("/metrics").text
    there = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) | {"up"}
    there |= {f"{name}_{part}" for name in there for part in ("bucket", "count", "sum")}
    asked = " ".join([*(rule["expr"] for rule in rules(folder)), *queries(folder)])
    named = set(re.findall(r"\b(?:nucleate|process)_\w+", asked))
    assert len(named) > 15
    assert named <= there


def test_the_dashboard_has_what_grafana_asks_for(folder):
    board = json.loads((folder / "dashboard.json").read_text())
    assert {"title", "uid", "panels", "schemaVersion", "templating"} <= board.keys()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 10
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert all({"expr", "refId", "datasource"} <= target.keys() for target in panel["targets"])


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="file"):
        write_monitoring(tmp_path / "file")


def test_the_outside_rule_is_quiet_at_the_largest_plausible_rate():
    """Two years of minutes, at traffic where the rule just applies and at more."""
    rule = next(rule for rule in rules_as_shipped() if rule["alert"] == "NucleateOutsideShare")
    errors = float(re.search(r"\+ (\d+) \* sqrt", rule["expr"])[1])
    rng, rate = np.random.default_rng(0), 0.07
    for rows_a_minute in (2, 20):
        rows = rng.poisson(rows_a_minute, 60 * 24 * 730)
        outside = rng.binomial(rows, rate)
        hour = [np.convolve(each, np.ones(60), "valid") for each in (rows, outside)]
        high = hour[1] / hour[0] > rate + errors * np.sqrt(rate * (1 - rate) / hour[0])
        alarms = np.sum(high[1:] & ~high[:-1])
        assert alarms <= 1, rows_a_minute
