"""`nucleate study ... claims`, as a user calls it: every arm once, at a tiny size."""

import csv
import json

import pytest

from in_process import runner


@pytest.mark.slow
def test_the_claims_from_plan_to_page(capfd, monkeypatch, tmp_path):
    run = runner(capfd, monkeypatch)
    out = tmp_path / "out"
    plan = json.loads(run("study", "plan", "claims-smoke", "--out", out, "--json").stdout)
    assert plan["runs"] == 34
    did = run("study", "run", "claims-smoke", "--out", out, "--workers", "2", "--quiet", "--json")
    assert did.returncode == 0, did.stderr
    assert did.stderr == ""
    found = json.loads(did.stdout)
    assert (found["done"], found["asked"], found["notes"]) == (34, 34, [])
    assert [claim["name"] for claim in found["claims"]] == [f"C{n}" for n in range(1, 11)]
    # One seed decides nothing, neither for a claim nor for its null.
    for claim in found["claims"]:
        assert claim["verdict"] == claim["null"]["verdict"] == "undecided", claim["name"]
        assert claim["reason"] == "1 of at least 6 seeds"
    file = tmp_path / "claims.csv"
    told = run("study", "table", "claims-smoke", "--out", out, "--csv", file)
    assert "reading runs: 34/34" in told.stderr
    assert told.stdout.startswith(f"claims-smoke ({found['digest']}): 34 of 34 runs done\n")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert {row["claim"] for row in rows} == {f"C{n}" for n in range(1, 11)}
    assert {row["study"] for row in rows} == {"claim", "null"}
    page = tmp_path / "results.md"
    assert run("study", "report", "claims-smoke", "--out", out, "-o", page).returncode == 0
    assert "## C10: undecided" in page.read_text(encoding="utf-8")
    assert page.with_suffix(".png").stat().st_size > 10_000
