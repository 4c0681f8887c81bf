"""What one token reads from: known answers, other ways to the same numbers, controls, bad input."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from in_process import runner
from intervene.handmade import TASKS, handmade, rows
from nucleate import (
    BadInput,
    PromptSet,
    Recorder,
    Run,
    Schedule,
    attention_sources,
    capture,
    knock_out,
)
from nucleate.activations import evaluating
from nucleate.findings import source_verdict
from nucleate.intervene import logits_under
from nucleate.intervene._answers import askings
from nucleate.intervene._cast import cast
from nucleate.intervene._engine import WAYS, tails
from nucleate.intervene._sources import _Cut, _under, _way
from nucleate.intervene._spans import instructions, spans_before
from nucleate.training import Batches, TrainingConfig, train
from small import ARCHITECTURES, material, model

CODE = {"stream": "block.1", "position": "last"}
DECOY = {"stream": "block.1", "position": "instruction_end"}
WORD, END, BEFORE = "instruction", "end of the instruction", "before the instruction"
EVERY = "block.0 to block.2"
# Without a code nothing is answered, and all task means are the same.
LOST, LOST_SEPARATION = 1, (TASKS - 1) / TASKS


@pytest.fixture(scope="module")
def by_hand() -> pd.DataFrame:
    return attention_sources(handmade(), rows(), **CODE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    taskset, encoder, prompts = material()
    run = Run.create(tmp_path_factory.mktemp("run") / "run", prompts, {})
    config = TrainingConfig(steps=250, batch_size=64, learning_rate=1e-2, device="cpu")
    net = model("gpt2", width=32)
    with Recorder(run, None, Schedule.at([])) as recorder:
        train(net, Batches(taskset, encoder, batch_size=64, seed=0), config, run, recorder, seed=0)
    return net.eval()


def at(table: pd.DataFrame, blocks: str, span: str) -> pd.Series:
    (found,) = (
        row for _, row in table.iterrows() if (row["blocks"], row["span"]) == (blocks, span)
    )
    return found


def verdicts(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    keys = zip(table["blocks"], table["span"], strict=True)
    found = [source_verdict(row) for _, row in table.iterrows()]
    return dict(zip(keys, found, strict=True))


# A model of which everything is known: block 0 copies the word's task to the last token.


@pytest.mark.parametrize("blocks", ["block.0", "block.0 to block.1", EVERY])
def test_all_that_the_code_rests_on_is_lost_where_the_word_is_cut(by_hand, blocks):
    for span in (WORD, "first third", "all"):  # the word is all there is of the instruction
        row = at(by_hand, blocks, span)
        assert (row["accuracy"], row["separation"]) == (1, 1)
        assert (row["lost"], row["separation_lost"]) == (LOST, LOST_SEPARATION)
        assert row["lost_low"] <= row["lost"] <= row["lost_high"]
    word = at(by_hand, blocks, WORD)
    assert (word["lost_control"], word["separation_lost_control"]) == (0, 0)
    assert word["lost_excess"] == LOST
    assert at(by_hand, blocks, "all")["task_blind"] == 1 / TASKS


def test_tokens_that_are_not_read_and_blocks_that_do_not_attend_lose_nothing(by_hand):
    silent = by_hand["blocks"].eq("block.1") | by_hand["span"].isin([END, BEFORE])
    assert silent.sum() > 8
    assert (by_hand.loc[silent, ["lost", "separation_lost"]] == 0).all(axis=None)
    assert "block.2" not in set(by_hand["blocks"])  # above the place


def test_the_word_alone_gives_everything_back_and_the_end_alone_nothing(by_hand):
    word, end = at(by_hand, EVERY, WORD), at(by_hand, EVERY, END)
    assert (word["regained"], word["separation_regained"]) == (LOST, LOST_SEPARATION)
    assert word["regained_control"] == end["regained"] == end["separation_regained"] == 0
    assert np.isnan(at(by_hand, "block.0", WORD)["regained"])  # others could back it up


def test_the_words_follow_from_the_numbers(by_hand):
    found = verdicts(by_hand)
    assert found[EVERY, WORD] == found["block.0", WORD] == found[EVERY, "all"] == "read"
    assert found[EVERY, END] == found[EVERY, BEFORE] == "not read"
    assert found["block.1", WORD] == found["block.0", END] == "undecided"
    few = at(by_hand, EVERY, WORD).copy()
    few["strings"] = 19
    assert source_verdict(few) == "undecided"


def test_a_state_that_nothing_reads_loses_its_separation_and_costs_no_answer():
    table = attention_sources(handmade(), rows(), **DECOY)
    row = at(table, EVERY, WORD)
    assert (row["lost"], row["separation"]) == (0, 1)
    assert row["separation_lost"] == LOST_SEPARATION
    assert END not in set(table["span"])  # the token itself is never cut
    assert "read" not in verdicts(table).values()


def test_in_a_model_without_a_code_nothing_is_read():
    table = attention_sources(handmade(copies=False), rows(), **CODE)
    assert (table["lost"] == 0).all()
    several = {name for (blocks, _), name in verdicts(table).items() if " to " in blocks}
    assert several == {"not read"}


# Models that were trained, or have other blocks.


def test_the_numbers_are_those_of_knock_out_and_whole_passes(trained):
    prompts = material()[2]
    table = attention_sources(trained, prompts, stream="block.1", position="last")
    tested = cast(prompts, None, np.random.default_rng(0)).tested
    right = prompts.ids[np.arange(len(prompts)), prompts.prompt_lengths]
    ends = prompts.positions["instruction_end"]
    cuts = {
        ("block.0", "all"): {"stream": "block.0", "key": "all"},
        ("block.0 to block.1", "all"): {"stream": ["block.0", "block.1"], "key": "all"},
        ("block.0 to block.1", END): {"stream": ["block.0", "block.1"], "key": ends},
    }
    edits = [[], *(knock_out(trained, query="last", **cut) for cut in cuts.values())]
    clean, *under = logits_under(trained, prompts, edits).argmax(-1).numpy() == right
    assert clean[tested].mean() > 0.9
    for (blocks, span), hits in zip(cuts, under, strict=True):
        lost = clean[tested].mean() - hits[tested].mean()
        assert at(table, blocks, span)["lost"] == pytest.approx(lost), (blocks, span)
    everything = at(table, "block.0 to block.1", "all")
    assert everything["accuracy"] - everything["lost"] <= everything["task_blind"] + 0.1
    assert everything["lost"] > 0.5


def test_answers_of_several_tokens_are_those_that_generation_gives(trained):
    prompts = material()[2]
    lengths = prompts.prompt_lengths
    cut = {"stream": ["block.0", "block.1"], "query": "last", "key": "all"}

    def said(row: int) -> list[int]:
        ids = torch.from_numpy(prompts.ids[row, : lengths[row]]).long()[None]
        return trained.generate(ids, max_new_tokens=2, do_sample=False)[0, -2:].tolist()

    ids = np.zeros((len(prompts), lengths.max() + 2), dtype=np.int32)
    for row in range(len(prompts)):
        ids[row, : lengths[row] + 2] = [*prompts.ids[row, : lengths[row]], *said(row)]
    own = replace(prompts, ids=ids, lengths=lengths + 2)
    with knock_out(trained, **cut):
        kept = [said(row) == ids[row, lengths[row] :][:2].tolist() for row in range(len(prompts))]
    tested = cast(own, None, np.random.default_rng(0)).tested
    table = attention_sources(trained, own, stream="block.1", position="last", draws=1)
    found = at(table, "block.0 to block.1", "all")
    assert found["accuracy"] == 1
    assert 0 < found["lost"] == pytest.approx(1 - np.mean(np.array(kept)[tested]))


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_running_on_from_cached_tokens_gives_what_whole_passes_give(arch, attention):
    net, prompts = model(arch, attention=attention).eval(), material()[2]
    roles = cast(prompts, 12, np.random.default_rng(0))
    token = prompts.positions["last"][roles.tested]
    (asking,) = askings(prompts, roles.tested, {"own": roles.wanted["own"]})
    before = np.arange(int(token.max())) < token[:, None]
    cuts = [_Cut(before, range(1)), _Cut(before & False, range(2))]
    states = {}
    with evaluating(net):
        assert _way(net, asking.text, token) == WAYS["tail"]
        for way in ("tail", "plain"):
            read = torch.empty(len(token), len(cuts), 16)
            for tail in tails(net, asking.text, token, way=WAYS[way], variants=len(cuts)):
                read[tail.rows] = _under(net, tail, token, cuts, place=2)[1]
            states[way] = read
    torch.testing.assert_close(states["tail"], states["plain"])
    assert not torch.allclose(states["tail"][:, 0], states["tail"][:, 1])


def test_a_seed_decides_what_is_drawn_and_progress_is_told(trained):
    place = {"stream": "block.0", "position": "last", "rows": 16}
    told = []
    first = attention_sources(
        trained, material()[2], **place, progress=lambda *both: told.append(both)
    )
    assert told[-1][0] == told[-1][1] > 0
    assert first.equals(attention_sources(trained, material()[2], **place))
    assert not first.equals(attention_sources(trained, material()[2], **place, seed=1))


# Spans.


@pytest.mark.parametrize("order", ["before", "after"])
def test_an_instruction_is_found_by_comparing_rows_as_the_tokenizer_tells_it(order):
    taskset, encoder, _ = material(order)
    names = ("mean:instruction", "instruction_end", "last")
    told = PromptSet.from_taskset(taskset, encoder, rows=48, seed=0, positions=names)
    compared = replace(told, positions={name: told.positions[name] for name in names[1:]})
    for one, other in zip(instructions(told), instructions(compared), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("parts", ["thirds", "tokens"])
@pytest.mark.parametrize("position", ["instruction_end", "last"])
def test_parts_are_the_whole_and_controls_are_as_many_others(parts, position):
    prompts = material("after")[2]
    token, every = prompts.positions[position], np.arange(len(prompts))
    spans = spans_before(prompts, every, token, parts, 4, np.random.default_rng(0))
    named = {span.name: span for span in spans}
    outer = [BEFORE, END, "after the instruction"]
    pieces = [s for s in spans if s.name not in (*outer, WORD, "all")]
    assert len(pieces) >= 3
    np.testing.assert_array_equal(sum(s.keys.astype(int) for s in pieces), named[WORD].keys)
    parted = [*pieces, *(named[name] for name in outer if name in named)]
    np.testing.assert_array_equal(sum(s.keys.astype(int) for s in parted), named["all"].keys)
    np.testing.assert_array_equal(named["all"].keys.sum(1), token)
    for span in spans:
        controls = span.controls[:, span.controlled]
        own = span.keys[span.controlled]
        assert (controls.sum(-1) == own.sum(-1)).all()
        assert not (controls & own).any()
        assert not (controls & ~span.seen[span.controlled]).any()
        assert not span.controls[:, ~span.controlled].any()
    assert not named["all"].controlled.any()
    assert (named[pieces[0].name].controls[0] != named[pieces[0].name].controls[1]).any()


# What cannot be asked.


def test_places_that_have_read_nothing_are_refused_in_a_sentence():
    net = handmade()
    with pytest.raises(BadInput, match="'embed' is what goes into the first block"):
        attention_sources(net, rows(), stream="embed", position="last")
    with pytest.raises(BadInput, match=r"no stream named 'block\.9'"):
        attention_sources(net, rows(), stream="block.9", position="last")
    with pytest.raises(BadInput, match="no position named 'middle'"):
        attention_sources(net, rows(), stream="block.1", position="middle")
    first = rows()
    first = replace(first, positions={**first.positions, "first": np.zeros(len(first), dtype=int)})
    with pytest.raises(BadInput, match="'first' is the first token in row 0"):
        attention_sources(net, first, stream="block.1", position="first")
    untold = replace(first, positions={"last": first.positions["last"]})
    with pytest.raises(BadInput, match="do not say which tokens are the instruction's"):
        attention_sources(net, untold, **CODE)
    with pytest.raises(BadInput, match="is in training mode"):
        attention_sources(handmade().train(), rows(), **CODE)
    with pytest.raises(BadInput, match="draws"):
        attention_sources(net, rows(), **CODE, draws=0)


def test_a_model_without_attention_is_refused_as_by_knock_out():
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(
        vocab_size=material()[1].vocab_size, hidden_size=16, num_hidden_layers=2, state_size=4
    )
    net = MambaForCausalLM(config).eval()
    with pytest.raises(BadInput, match=r"block\.0 of MambaForCausalLM has no attention"):
        attention_sources(net, material()[2], stream="block.1", position="last")


# The command.


def test_a_run_is_asked_for_the_sources_of_its_strongest_place(tmp_path, capfd, monkeypatch):
    net = handmade()
    run = Run.create(tmp_path / "mine", rows(), {"name": "mine"})
    run.save_snapshot(1, capture(net, rows()), {})
    net.save_pretrained(run.path / "checkpoints" / "1")
    nucleate = runner(capfd, monkeypatch)
    done = nucleate("intervene", run.path, "--sources", "--quiet")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(run.path / "causal_sources.csv")
    assert set(table["position"]) == {"last"}
    assert at(table, EVERY, WORD)["verdict"] == "read"
    assert "what last/block.0 reads, " in done.stdout
    shown = [line for line in done.stdout.splitlines() if line.startswith(f"{EVERY}: {END}")]
    assert shown[0].endswith("not read")
    told = json.loads(nucleate("intervene", run.path, "--sources", "--quiet", "--json").stdout)
    assert len(told["sources"]) == len(table)
    assert pd.read_csv(run.path / "causal_sources.csv").equals(table)


def test_a_model_that_no_shift_moves_has_no_sources_and_the_command_says_so(
    tmp_path, capfd, monkeypatch
):
    handmade(copies=False).save_pretrained(tmp_path / "model")
    rows().save(tmp_path / "prompts")
    done = runner(capfd, monkeypatch)(
        "intervene", tmp_path / "model", "--prompts", tmp_path / "prompts",
        "--out", tmp_path / "map", "--rows", 24, "--sources", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("no sources: a shift changes no answers")
    assert not (tmp_path / "map" / "causal_sources.csv").exists()
