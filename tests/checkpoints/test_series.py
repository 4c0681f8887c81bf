"""Series are found wherever checkpoints lie, and their checkpoints load as they were saved."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from nucleate import (
    BadInput,
    Recorder,
    Run,
    Schedule,
)
from nucleate.checkpoints._check import check_series
from nucleate.checkpoints._names import step_in
from nucleate.checkpoints._record import record_series
from nucleate.checkpoints._series import Checkpoint, Series
from nucleate.checkpoints._weights import weights_in
from nucleate.training import Batches, TrainingConfig, train
from small import material, model
from trained import LINEAR, LOG, tiny, weights


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500), ("step1000", 1000), ("step_20", 20), ("global_step7", 7),
        ("stage1-step140000-tokens588B", 140000), ("epoch=3-step=1200", 1200), ("ckpt_001", 1),
        ("iter_0005000", 5000), ("checkpoint-1-step-500", 500), ("42", 42), ("0", 0),
        ("step10k", 10_000), ("ckpt-100k", 100_000), ("1M", 1_000_000), ("step-1.5k", 1500),
        ("step1000-tokens5B", 1000), ("tokens5B", 5 * 10**9), ("iter-000500-ckpt", 500),
        ("epoch=3-step=120.ckpt", 120), ("epoch=3-step=120-v1.ckpt", 120), ("1000steps", 1000),
        ("ep0-ba5000-rank0", 5000), ("pythia-160m-step512", 512), ("step-1.2345k", None),
        ("llama-7B", None), ("2024-01-02", None), ("epoch-3", None), ("main", None),
        ("final", None), ("footstep3", None),
        ("checkpoint-best", None), ("²", None),
    ],
)  # fmt: skip
def test_a_step_is_read_from_a_name_or_not_at_all(name, step):
    assert step_in(name) == step


def test_a_trainers_folder_gives_its_checkpoints_in_the_order_of_steps(sound, tmp_path):
    assert Series.find(sound).steps == (*LOG, *LINEAR)
    (tmp_path / "tmp-checkpoint-9").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "checkpoint-10").mkdir()
    (tmp_path / "checkpoint-9").mkdir()
    assert [c.path.name for c in Series.find(str(tmp_path))] == ["checkpoint-9", "checkpoint-10"]


def folders(where: Path, *names: str) -> list[Path]:
    """Folders that look like checkpoints."""
    made = [where / name for name in names]
    for folder in made:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").touch()
    return made


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        # as they are served by several projects, given here in the order of training
        (("stage1-step140000-tokens588B", "stage1-step150000-tokens630B",
          "stage2-ingredient1-step1000-tokens5B", "stage2-ingredient1-step2000-tokens9B"),
         (140_000, 150_000, 151_000, 152_000)),
        (("stage1-step1000", "stage2-step2000", "stage2-step3000", "stage3-step100"),
         (1000, 2000, 3000, 3100)),
        (("stage9-step5", "stage10-step5"), (5, 10)),
        (("step-200", "ckpt-100k", "step-1M"), (200, 100_000, 1_000_000)),
        (("1k", "20k", "1M"), (1000, 20_000, 1_000_000)),
        (("900", "1000", "10000"), (900, 1000, 10_000)),
        (("global_step9", "global_step10"), (9, 10)),
        (("iter_0000500", "iter_0001000"), (500, 1000)),
        (("epoch=0-step=90.ckpt", "epoch=1-step=120.ckpt"), (90, 120)),
        (("epoch_9", "epoch_10"), (9, 10)),
        (("tokens500M", "tokens2B"), (5 * 10**8, 2 * 10**9)),
        (("step9", "checkpoint-80", "700"), (9, 80, 700)),
    ],
)  # fmt: skip
def test_checkpoints_come_in_the_order_of_training(tmp_path, names, steps):
    made = folders(tmp_path, *names)
    for source in (tmp_path, str(tmp_path), made[::-1], list(map(str, made))):
        series = Series.find(source)
        assert [one.path.name for one in series] == list(names)
        assert series.steps == steps


def test_stages_may_be_folders_of_their_own(tmp_path):
    made = folders(tmp_path, "stage1/step100", "stage1/step200", "stage2/step100")
    for source in (tmp_path, made[::-1]):
        series = Series.find(source)
        assert [one.path for one in series] == made
        assert series.steps == (100, 200, 300)


def test_no_checkpoint_is_left_out_in_silence(tmp_path):
    folders(tmp_path, "checkpoint-5", "final", "epoch_3")
    (tmp_path / "epoch=1-step=9.ckpt").touch()
    (tmp_path / "runs").mkdir()
    (tmp_path / "2024").mkdir()
    with (
        pytest.warns(UserWarning, match=r"epoch_3, final in .* left out .* no step can be told"),
        pytest.warns(UserWarning, match=r"epoch=1-step=9.ckpt in .* a checkpoint is a folder that"),
    ):
        assert Series.find(tmp_path).steps == (5,)
    (tmp_path / "epoch=1-step=9.ckpt").unlink()
    for name, step in (("final", 30), ("epoch_3", 20)):
        (tmp_path / name / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    assert Series.find(tmp_path).steps == (5, 20, 30)


def test_names_without_a_step_are_refused_with_the_remedy(tmp_path):
    made = folders(tmp_path, "begin", "final")
    with pytest.raises(BadInput, match=r"holds no checkpoints \(begin, final in .* no step can be"):
        Series.find(tmp_path)
    with pytest.raises(BadInput, match=r"step of .*begin cannot be told .* Checkpoint.find\(name"):
        Series.find(made)
    given = Series(tuple(Checkpoint.find(one, step=k) for k, one in enumerate(made)))
    assert given.steps == (0, 1)


def test_checkpoints_in_single_files_are_refused_as_what_they_are(tmp_path):
    for step in (10, 20):
        (tmp_path / f"epoch=0-step={step}.ckpt").touch()
    with pytest.raises(
        BadInput, match=r"step=20.ckpt in .* a checkpoint is a folder that save_pre"
    ):
        Series.find(tmp_path)


def test_an_empty_list_of_checkpoints_is_refused():
    with pytest.raises(BadInput, match="no checkpoint is named"):
        Series.find([])
    with pytest.raises(BadInput, match="at least one checkpoint"):
        Series(())


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folders(tmp_path, "out/step5", "out/step6")
    assert Series.find("~/out").steps == Series.find(["~/out/step5", "~/out/step6"]).steps
    assert Checkpoint.find("~/out/step5").path == tmp_path / "out" / "step5"
    assert Series.of_model(Path("~/out/step5")).steps == (5,)


def test_a_list_of_folders_gives_a_series_and_one_folder_a_series_of_one(sound):
    folders = [sound / "checkpoint-64", sound / "checkpoint-8"]
    assert Series.find(folders).steps == (8, 64)
    assert Series.find(sound / "checkpoint-8").steps == (8,)


def test_a_step_that_no_name_tells_comes_from_the_trainers_state(sound, tmp_path):
    folder = Path(shutil.copytree(sound / "checkpoint-8", tmp_path / "best"))
    with pytest.raises(BadInput, match="best"):
        Checkpoint.find(folder)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 8}))
    assert Checkpoint.find(folder).step == 8
    (folder / "trainer_state.json").write_text("{")
    with pytest.raises(BadInput, match="trainer_state"):
        Checkpoint.find(folder)


@pytest.mark.parametrize("source", ["nowhere", "no/where", "./no where", "a/b/c"])
def test_a_source_that_is_none_is_refused_with_its_name(tmp_path, source):
    with pytest.raises(BadInput, match=source):
        Series.find(source)
    with pytest.raises(BadInput, match="holds no checkpoints"):
        Series.find(tmp_path)


def test_revisions_come_from_the_hubs_cache_and_what_is_not_there_is_named(
    sound, tmp_path, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--some--model"
    for number, step in enumerate((8, 64)):
        commit = str(number) * 40
        shutil.copytree(sound / f"checkpoint-{step}", repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / f"stage1-step{step}-tokens1B").write_text(commit)
    names = [f"stage1-step{step}-tokens1B" for step in (64, 8)]
    series = Series.find("some/model", revisions=names)
    assert series.steps == (8, 64)
    assert [str(c) for c in series] == [f"some/model@{name}" for name in reversed(names)]
    assert Series.find([f"some/model@{name}" for name in names]) == series
    assert check_series(series).ok
    with pytest.raises(BadInput, match="some/model@step3 is no folder here"):
        Series.find(["some/model@step3"])
    with pytest.raises(BadInput, match="some/model@step1000"):
        Series.find("some/model")


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_a_runs_own_checkpoints_load_as_they_were_trained(tmp_path, arch):
    taskset, encoder, prompts = material()
    run = Run.create(tmp_path / "run", prompts, {})
    net = model(arch)
    config = TrainingConfig(steps=4, checkpoint_every=2, batch_size=8, warmup_steps=1, device="cpu")
    with Recorder(run, None, Schedule.at([4])) as recorder:
        train(net, Batches(taskset, encoder, batch_size=8, seed=0), config, run, recorder, seed=0)
    (run.path / "checkpoints" / "99").mkdir()  # not on record
    series = Series.find(run.path)
    assert series.steps == (2, 4)
    loaded = series.checkpoints[1].load()
    assert loaded.config._attn_implementation == net.config._attn_implementation == "eager"
    assert not loaded.training
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    recorded = record_series(tmp_path / "after", prompts, series)
    assert recorded.steps == (2, 4)
    assert torch.equal(Run(tmp_path / "after").states(4).values, run.states(4).values)


# -- loading


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shard", ["1GB", "4KB"])
def test_weights_are_loaded_in_the_dtype_in_which_they_are_stored(tmp_path, dtype, shard):
    net = tiny().to(dtype)
    net.save_pretrained(tmp_path / "step0", max_shard_size=shard)
    config = json.loads((tmp_path / "step0" / "config.json").read_text())
    config["dtype"] = "float32"  # what the config says is not what is stored
    (tmp_path / "step0" / "config.json").write_text(json.dumps(config))
    (checkpoint,) = Series.find(tmp_path)
    loaded = checkpoint.load()
    for name, value in net.state_dict().items():
        assert loaded.state_dict()[name].dtype == dtype
        assert torch.equal(loaded.state_dict()[name], value)
    assert next(checkpoint.load(dtype="float32").parameters()).dtype == torch.float32
    with pytest.raises(BadInput, match="int8"):
        checkpoint.load(dtype="int8")
    with pytest.raises(BadInput, match="nodevice"):
        checkpoint.load(device="nodevice")


def test_a_pickle_is_refused_unless_it_is_asked_for_by_name(tmp_path):
    folders = []
    for step in (1, 2, 3):
        net = tiny(step)
        folder = tmp_path / f"step{step}"
        net.save_pretrained(folder)
        (folder / "model.safetensors").unlink()
        torch.save(net.state_dict(), folder / "pytorch_model.bin")
        folders.append(folder)
    refused = Series.find(folders)
    for use in (check_series, lambda series: series.checkpoints[0].load()):
        with pytest.raises(BadInput, match=r"step1 holds its weights as a pickle only"):
            use(refused)
    allowed = Series.find(folders, allow_pickle=True)
    assert [one.sha256 for one in check_series(allowed).checkpoints].count(None) == 0
    loaded = allowed.checkpoints[2].load()
    assert torch.equal(loaded.lm_head.weight, net.lm_head.weight)


class _Opener:
    def __reduce__(self):
        return Path.touch, (Path("/nonexistent/never"),)


def test_an_allowed_pickle_still_runs_no_code(tmp_path):
    tiny().save_pretrained(tmp_path / "step1")
    (tmp_path / "step1" / "model.safetensors").unlink()
    torch.save({"lm_head.weight": _Opener()}, tmp_path / "step1" / "pytorch_model.bin")
    series = Series.find(tmp_path, allow_pickle=True)
    for use in (check_series, lambda series: series.checkpoints[0].load()):
        with pytest.raises(BadInput, match=r"pytorch_model.bin is damaged"):
            use(series)


def in_shards(folder: Path, step: int, entry: str | None = None) -> Path:
    """A checkpoint in two files and an index; with `entry`, one file is called that there."""
    net = tiny(step)
    net.save_pretrained(folder, max_shard_size="4KB")
    index = folder / "model.safetensors.index.json"
    if entry is not None:
        text = json.loads(index.read_text())
        last = max(text["weight_map"].values())
        text["weight_map"] = {
            name: entry if file == last else file for name, file in text["weight_map"].items()
        }
        index.write_text(json.dumps(text))
    return index


@pytest.mark.parametrize("how", ["absolute", "parent", "hidden parent", "link", "link of a folder"])
def test_an_index_that_names_a_file_outside_its_folder_is_refused(tmp_path, how):
    folder, secret = tmp_path / "step1", tmp_path / "secret.safetensors"
    save_file({"lm_head.weight": torch.zeros(2, 2)}, secret)
    entry = {
        "absolute": str(secret),
        "parent": "../secret.safetensors",
        "hidden parent": "sub/../../secret.safetensors",
        "link": "linked.safetensors",
        "link of a folder": "linked/secret.safetensors",
    }[how]
    in_shards(folder, 1, entry)
    (folder / "sub").mkdir()
    (folder / "linked.safetensors").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    for use in (
        lambda: Checkpoint.find(folder).load(),
        lambda: check_series(Series.find([folder])),
        lambda: weights_in(folder, allow_pickle=True),
    ):
        with pytest.raises(BadInput, match=r"index\.json names .* outside its folder"):
            use()


def test_an_index_that_names_a_pickle_is_refused_unless_pickles_are_allowed(tmp_path):
    index = in_shards(tmp_path / "step1", 1, "rest.bin")
    shard = max(index.parent.glob("model-*.safetensors"))
    torch.save(load_file(shard), index.parent / "rest.bin")
    shard.unlink()
    with pytest.raises(BadInput, match=r"names 'rest\.bin', a pickle"):
        Checkpoint.find(index.parent).load()
    with pytest.raises(BadInput, match=r"names 'rest\.bin', a pickle"):
        check_series(Series.find([index.parent]))
    found = weights_in(index.parent, allow_pickle=True)
    assert {path.name for path in found.home.values()} > {"rest.bin"}
    assert found.absent == ()


@pytest.mark.parametrize("content", ["[]", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_is_none_is_refused_by_name(tmp_path, content):
    index = in_shards(tmp_path / "step1", 1)
    index.write_text(content)
    with pytest.raises(BadInput, match=r"index\.json is damaged"):
        Checkpoint.find(index.parent).load()


def test_shards_that_the_hubs_cache_links_to_its_blobs_are_read(tmp_path):
    folder = tmp_path / "models--a--b" / "snapshots" / "0123abc"
    in_shards(folder, 1)
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(Path("..") / ".." / "blobs" / str(number))
    loaded = Checkpoint.find(folder, step=1).load()
    assert torch.equal(loaded.lm_head.weight, tiny(1).lm_head.weight)


def test_broken_files_are_refused_by_name_and_never_half_loaded(copied):
    file = weights(copied, 8)
    file.write_bytes(file.read_bytes()[:-100])
    for use in (
        lambda: check_series(Series.find(copied / "checkpoint-8")),
        lambda: Checkpoint.find(copied / "checkpoint-8").load(),
    ):
        with pytest.raises(BadInput, match=r"checkpoint-8/model.safetensors is damaged"):
            use()


def test_weights_that_transformers_would_invent_are_refused(copied):
    tensors = load_file(weights(copied, 8))
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, weights(copied, 8), metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"lacks 1 of .* \(model.layers.1.mlp.up_proj.weight\)"):
        Checkpoint.find(copied / "checkpoint-8").load()
    (copied / "checkpoint-8" / "config.json").unlink()
    with pytest.raises(BadInput, match=r"no config.json"):
        Checkpoint.find(copied / "checkpoint-8").load()


def test_an_encoder_decoder_is_no_causal_model(tmp_path):
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "step1")
    with pytest.raises(BadInput, match="step1 as a causal language model"):
        Checkpoint.find(tmp_path / "step1").load()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft's
def test_adapters_load_on_the_base_that_they_name_and_are_checked(tmp_path):
    peft = pytest.importorskip("peft")
    tiny().save_pretrained(tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    net = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"]))
    optimizer = torch.optim.AdamW((p for p in net.parameters() if p.requires_grad), lr=1e-2)
    ids = torch.arange(24).reshape(3, 8)
    for step in range(5):
        net.save_pretrained(tmp_path / "lora" / f"checkpoint-{step}")
        net(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    series = Series.find(tmp_path / "lora")
    report = check_series(series)
    assert report.ok, report.flags
    assert all("lora" in name for one in report.checkpoints for name in one.tensors)
    last = series.checkpoints[-1]
    loaded = last.load()
    stored = load_file(last.path / "adapter_model.safetensors")
    here = {k.replace(".default", ""): v for k, v in loaded.state_dict().items() if "lora" in k}
    assert all(torch.equal(here[name], value) for name, value in stored.items())
    assert torch.equal(last.load(base=tmp_path / "base")(ids).logits, loaded(ids).logits)
    wider = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2)
    wider.num_attention_heads = wider.num_key_value_heads = 2
    AutoModelForCausalLM.from_config(wider).save_pretrained(tmp_path / "wider")
    with pytest.raises(BadInput, match=r"does not fit .*wider"):
        last.load(base=tmp_path / "wider")
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(BadInput, match="base"):
        last.load()
    (last.path / "adapter_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match=r"adapter_config.json is damaged"):
        last.load()
    (last.path / "adapter_model.safetensors").unlink()
    torch.save({}, last.path / "adapter_model.bin")
    with pytest.raises(BadInput, match="pickle"):
        last.load()
