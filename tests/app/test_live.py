"""Whether the page follows a run that is being written, falls silent, or goes away."""

import json
import shutil
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

import any_runs
import nucleate as nc
from nucleate.training import ModelConfig, build_model
from served import serving

LONG = 30_000
QUIET = 40.0
"""Seconds: after 30 a run is stale, after 60 it counts as stopped."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("live")
    any_runs.make(folder / "other")
    return folder


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    with serving(folder) as address:
        yield address


def _open(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.get_by_role("button", name=name, exact=True).click(timeout=LONG)
    page.get_by_role("slider", name="Step of the training").wait_for()
    # a reload would lose this
    page.evaluate("() => { window.stayed = true; }")


def _has_steps(page: Page, count: int, last: int) -> None:
    page.get_by_text(f"of {count}", exact=False).first.wait_for(timeout=LONG)
    page.locator(f"[aria-label='Step of the training'][aria-valuemax='{last}']").wait_for(
        timeout=LONG
    )


def _line(**record: object) -> bytes:
    text = json.dumps({"time": round(time.time(), 3), **record}, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def test_a_training_grows_on_screen_and_then_is_finished(page, address, folder):
    config = ModelConfig(depth=2, width=8, heads=2)
    model = build_model(config, vocab_size=60, max_length=16, seed=0)
    prompts = any_runs.prompts_of()
    with nc.Recorder(folder / "grows", prompts, nc.Schedule.every(2)) as recorder:
        for step in range(3):
            recorder.step(model, step)
        _open(page, address, "grows")
        page.get_by_text("· running").wait_for(timeout=LONG)
        _has_steps(page, 2, 2)
        for step in range(3, 7):
            recorder.step(model, step)
        _has_steps(page, 4, 6)
        recorder.finish(model, 6)
    page.get_by_text("· finished").wait_for(timeout=LONG)
    assert page.evaluate("() => window.stayed")


def test_a_run_without_a_sign_of_life_is_called_so(page, address, folder):
    run = any_runs.make(folder / "silent", steps=[])
    states = any_runs.states_of(run.prompts, 1.0, 0)
    for step in (0, 2):
        run.save_snapshot(step, states, {})
    journal = run.path / "journal.jsonl"
    lines = [json.loads(line[9:]) for line in journal.read_text().splitlines()]
    journal.write_bytes(b"".join(_line(**(one | {"time": one["time"] - QUIET})) for one in lines))
    _open(page, address, "silent")
    page.get_by_text("no sign of life").first.wait_for(timeout=LONG)


def test_half_a_line_is_never_shown_as_a_number(page, address, folder):
    run = any_runs.make(folder / "torn", steps=[])
    run.save_snapshot(0, any_runs.states_of(run.prompts, 1.0, 0), {})
    page.goto(address)
    row = page.get_by_role("row").filter(has_text="torn")
    row.wait_for(timeout=LONG)
    line = _line(kind="step", step=98765, loss=1.25)
    middle = line.index(b"98765") + 2
    with (run.path / "journal.jsonl").open("ab", buffering=0) as file:
        file.write(line[:middle])
        page.wait_for_timeout(2500)
        assert "98" not in row.inner_text()
        file.write(line[middle:])
    row.get_by_text("98765").wait_for(timeout=LONG)


def test_a_run_that_is_removed_while_it_is_shown_says_so(browser, address, folder):
    any_runs.make(folder / "doomed")
    # asking for what is gone is answered with 404, which the browser notes as an error
    page = browser.new_page()
    _open(page, address, "doomed")
    shutil.rmtree(folder / "doomed")
    page.get_by_role("alert").get_by_text("folder of this run is gone").wait_for(timeout=LONG)
    assert page.get_by_role("slider", name="Step of the training").is_visible()
    page.close()
