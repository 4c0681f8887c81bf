"""Trainings that start from a trained model: its weights, its tokenizer, its size."""

import shutil

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from folders import with_inputs
from nucleate import BadInput
from nucleate.activations import capture
from nucleate.findings import Summary
from nucleate.runs import Run
from nucleate.studies import Inline, read_study, run_study, study_table
from nucleate.training import ModelConfig, build_model
from study_pages import write_page
from tasks.made import backend

VOCAB = 280


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a model with the weights of some seed, and its tokenizer."""
    folder = tmp_path_factory.mktemp("trained")
    net = build_model(
        ModelConfig(arch="llama", depth=1, width=8, heads=2),
        vocab_size=VOCAB, max_length=200, seed=11,
    )  # fmt: skip
    net.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=backend("pieces")).save_pretrained(folder)
    return folder


def load(folder, *, vocab_size=VOCAB + 4, max_length=40, seed=0, untrained=False, **settings):
    config = ModelConfig(pretrained=str(folder), **settings)
    return build_model(
        config, vocab_size=vocab_size, max_length=max_length, seed=seed, untrained=untrained
    )


def first_rows(net):
    return net.get_input_embeddings().weight[:VOCAB]


def test_the_weights_are_those_of_the_folder_and_only_added_rows_follow_from_the_seed(trained):
    before = torch.get_rng_state()
    one, again, other = load(trained, seed=1), load(trained, seed=1), load(trained, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.get_input_embeddings().weight.shape == (VOCAB + 4, 8)
    assert torch.equal(first_rows(one), first_rows(other))
    added = [net.get_input_embeddings().weight[VOCAB:] for net in (one, again, other)]
    assert torch.equal(added[0], added[1])
    assert not torch.equal(added[0], added[2])
    body = {name: w for name, w in one.state_dict().items() if "layers" in name}
    stored = build_model(
        ModelConfig(arch="llama", depth=1, width=8, heads=2),
        vocab_size=VOCAB, max_length=200, seed=11,
    ).state_dict()  # fmt: skip
    assert body
    assert all(torch.equal(w, stored[name]) for name, w in body.items())


def test_a_larger_vocabulary_of_the_model_is_not_cut(trained):
    assert load(trained, vocab_size=VOCAB - 3).get_input_embeddings().weight.shape[0] == VOCAB


@pytest.mark.parametrize("how", [{"fresh": True}, {"untrained": True}])
def test_an_untrained_twin_has_the_shape_and_none_of_the_weights(trained, how):
    own, twin = load(trained), load(trained, **how)
    assert {n: w.shape for n, w in twin.state_dict().items()} == {
        n: w.shape for n, w in own.state_dict().items()
    }
    assert not torch.equal(first_rows(own), first_rows(twin))


def test_tasks_longer_than_the_model_reads_and_folders_of_no_model_are_refused(trained, tmp_path):
    with pytest.raises(BadInput, match="reads 256 tokens, the tasks need up to 300"):
        load(trained, max_length=300)
    with pytest.raises(BadInput, match=r"config\.json"):
        load(tmp_path)
    with pytest.raises(BadInput, match="cannot be made a causal LM"):
        load(tmp_path, fresh=True)


def page_of(tmp_path, **model_settings):
    base = {
        "tasks": str(tmp_path / "tasks"), "causal": {"rows": 0},
        "model": model_settings,
        "training": {"steps": 12, "batch_size": 8, "checkpoint_every": 6, "device": "cpu"},
    }  # fmt: skip
    return write_page(
        tmp_path, base=base, seeds=[0], tables=["accuracy.unseen_string", "words.last",
                                                "untrained.last", "embedding.last", "ari.last"]
    )  # fmt: skip


def test_a_run_on_a_folder_starts_at_the_trained_model_and_another_model_is_another_run(
    trained, tmp_path
):
    with_inputs(tmp_path / "tasks")
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    study = read_study(page_of(tmp_path, pretrained=str(folder)))
    run_study(study, tmp_path / "out", executor=Inline())
    run = Run(tmp_path / "out" / study.runs[0].key / "tasks")
    assert run.manifest["tasks"] == "folder tasks"
    start = load(folder, vocab_size=backend("pieces").get_vocab_size() + 4)
    # Text of the model's own tokens: at step 0 it is read as the folder's model reads it.
    at_start, expected = run.states(0), capture(start.eval(), run.prompts)
    own = torch.tensor([max(ids) < VOCAB for ids in run.prompts.ids.tolist()])
    if own.any():
        assert torch.allclose(at_start.values[:, :, own], expected.values[:, :, own].half(),
                              atol=1e-2)  # fmt: skip
    assert run.manifest["parameters"] == sum(p.numel() for p in start.parameters())
    assert len(run.untrained()) == 1
    row = study_table(study, tmp_path / "out").records()[0]
    summary = Summary.model_validate_json((run.path / "summary.json").read_bytes())
    clusters = summary.clusters["last"]
    told = [row[f"{name}.last"] for name in ("ari", "words", "untrained")]
    assert told == [clusters.last, clusters.null.n2, clusters.null.n1]
    embedding = next(p for p in summary.places if (p.stream, p.position) == ("embed", "last"))
    assert row["embedding.last"] == embedding.ari
    build_model(
        ModelConfig(arch="llama", depth=1, width=8, heads=2),
        vocab_size=VOCAB, max_length=200, seed=12,
    ).save_pretrained(folder)  # fmt: skip
    assert read_study(tmp_path / "tiny.yaml").runs[0].key != study.runs[0].key


def test_a_model_that_was_moved_is_refused_before_anything_runs(trained, tmp_path):
    with_inputs(tmp_path / "tasks")
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    page = page_of(tmp_path, pretrained=str(folder))
    read_study(page)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r"model\.pretrained '.*model' is no folder"):
        read_study(page)
    (tmp_path / "elsewhere" / "tokenizer.json").unlink()
    (tmp_path / "elsewhere").rename(folder)
    with pytest.raises(BadInput, match=r"has no tokenizer\.json"):
        read_study(page)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fresh": True}, r"model\.fresh is true without model\.pretrained"),
        ({"pretrained": "MODEL", "init_scale": 0.5}, r"model\.init_scale is set beside"),
        ({"pretrained": "MODEL", "activation": "gelu"}, r"model\.activation is set beside"),
    ],
)
def test_settings_that_do_not_go_with_a_trained_model_are_refused(
    trained, tmp_path, settings, message
):
    with_inputs(tmp_path / "tasks")
    given = {k: str(trained) if v == "MODEL" else v for k, v in settings.items()}
    with pytest.raises(BadInput, match=message):
        read_study(page_of(tmp_path, **given))
