import errno
from pathlib import Path

import pytest
import torch

from nucleate import BadInput, Run, States
from small import material


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", material()[2], {"name": "a"})


def states(value: float = 1.0) -> States:
    torch.manual_seed(0)
    return States(torch.randn(2, 1, 5, 3) * value, ("embed", "final_norm"), ("last",))


def test_a_snapshot_comes_back_with_its_names_at_half_precision(run):
    run.save_snapshot(7, states(), {"nll": torch.arange(5.0)})
    again = Run(run.path)
    assert again.steps == [7]
    assert again.states(7).streams == ("embed", "final_norm")
    assert torch.equal(again.states(7).values, states().values.half())
    assert torch.equal(again.rows(7)["nll"], torch.arange(5.0))


def test_values_beyond_float16_are_kept_in_bfloat16_and_said_so(run):
    run.save_snapshot(0, states(1e6), {})
    stored = run.states(0).values
    assert stored.dtype == torch.bfloat16
    assert torch.isfinite(stored).all()
    assert next(run.journal.live("snapshot"))["dtype"] == "bfloat16"


def test_states_that_are_not_finite_stay_so_instead_of_changing_dtype(run):
    broken = states()
    broken.values[0, 0, 0, 0] = torch.nan
    run.save_snapshot(0, broken, {})
    assert run.states(0).values.dtype == torch.float16
    assert run.states(0).values.isnan().sum() == 1


def test_a_full_disk_leaves_no_torn_snapshot_and_no_commit(run, monkeypatch):
    run.save_snapshot(0, states(), {})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nucleate.runs._files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        run.save_snapshot(1, states(), {})
    monkeypatch.undo()
    assert Run(run.path).steps == [0]
    assert not (run.path / "states" / "1.safetensors").exists()


def test_a_file_without_a_journal_line_is_no_snapshot(run):
    run.save_snapshot(0, states(), {})
    folder = run.path / "states"
    (folder / "9.safetensors").write_bytes((folder / "0.safetensors").read_bytes())
    assert Run(run.path).steps == [0]
    with pytest.raises(BadInput, match="no step 9"):
        run.states(9)


def test_a_damaged_snapshot_is_named(run):
    run.save_snapshot(0, states(), {})
    (run.path / "states" / "0.safetensors").write_bytes(b"torn")
    with pytest.raises(BadInput, match=r"0\.safetensors cannot be read"):
        run.states(0)


def test_folders_that_are_no_run_or_newer_are_refused(run, tmp_path):
    with pytest.raises(BadInput, match=r"no manifest\.json"):
        Run(tmp_path / "nothing")
    manifest = run.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('version": 2', 'version": 99'))
    with pytest.raises(BadInput, match="schema version 99"):
        Run(run.path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema_version": "new"}'])
def test_a_damaged_manifest_is_named(run, text):
    (run.path / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match=r"manifest\.json is damaged"):
        Run(run.path)


def test_a_new_run_is_of_schema_2_and_names_its_files_after_the_prompts(run):
    assert run.manifest["schema_version"] == 2
    assert {"prompts.safetensors", "prompts.jsonl"} <= {p.name for p in run.path.iterdir()}


def test_the_prompts_of_a_run_are_the_ones_it_was_made_with(run):
    assert (
        run.prompts.content_hash() == material()[2].content_hash() == run.manifest["prompts_hash"]
    )


def test_states_name_their_places():
    with pytest.raises(BadInput, match=r"no stream named 'block\.9'"):
        states().at("block.9", "last")
    with pytest.raises(BadInput, match="do not fit"):
        States(torch.zeros(2, 1, 5, 3), ("embed",), ("last",))


def test_nothing_outside_the_folder_is_written(run, tmp_path):
    run.save_snapshot(0, states(), {})
    assert {p.name for p in tmp_path.iterdir()} == {Path(run.path).name}


def test_fewer_untrained_states_leave_none_of_the_old_ones_behind(run):
    run.save_untrained([states(1.0), states(2.0), states(3.0)])
    run.save_untrained([states(5.0)])
    [kept] = Run(run.path).untrained()
    assert torch.equal(kept.values, states(5.0).values.half())
    run.save_untrained([])
    assert Run(run.path).untrained() == []


def test_a_run_and_its_states_are_shown_in_one_line(run):
    assert repr(run) == f"Run('{run.path}': no recorded steps, stopped)"
    run.save_snapshot(0, states(), {})
    run.save_snapshot(40, states(), {})
    shown = repr(Run(run.path))
    assert shown == (
        f"Run('{run.path}': 2 recorded steps (0 to 40), 2 streams, positions last, 5 rows, running)"
    )
    assert repr(run.states(0)) == (
        "States(2 streams embed, final_norm; positions last; 5 rows, width 3, float16 on cpu)"
    )
    for shown in (run, run.states(0)):
        html = shown._repr_html_()
        assert "\n" not in html
        assert html.startswith("<code>")
        assert "&#x27;" in html or "'" not in repr(shown)


def test_a_run_whose_newest_snapshot_is_damaged_still_shows_itself(run):
    run.save_snapshot(3, states(), {})
    (run.path / "states" / "3.safetensors").write_bytes(b"torn")
    assert "step 3 cannot be read" in repr(run)


def test_states_are_hashable_and_equal_to_themselves_only():
    one, other = states(), states()
    assert one == one
    assert one != other
    assert len({one, other}) == 2
