import errno
import itertools
import shutil

import pytest
import torch

from nucleate import (
    BadInput,
    Recorder,
    Run,
    RunFailed,
    Schedule,
)
from nucleate._core.errors import Interrupted
from nucleate.training import (
    Batches,
    TrainingConfig,
    load_weights,
    train,
)
from nucleate.training._optimizers import Together, make_optimizer
from small import material, model

CONFIG = TrainingConfig(steps=24, batch_size=16, warmup_steps=4, checkpoint_every=8, device="cpu")


def sit(path, config=CONFIG, *, net=None, steps=(), **kwargs):
    """One sitting of a training in the run folder `path`, a new one if there is none."""
    taskset, encoder, prompts = material()
    run = Run(path) if path.exists() else Run.create(path, prompts, {})
    net = net or model(dropout=0.1)
    batches = Batches(taskset, encoder, batch_size=config.batch_size, seed=1)
    with Recorder(run, None, Schedule.at(steps)) as recorder:
        trained = train(net, batches, config, run, recorder, seed=2, **kwargs)
    return run, trained


def losses(run: Run) -> list[float]:
    records = sorted(run.journal.live("step"), key=lambda r: r["first"])
    assert [r["first"] for r in records[1:]] == [r["step"] + 1 for r in records[:-1]]
    return list(itertools.chain.from_iterable(r["losses"] for r in records))


def weights(trained) -> list[torch.Tensor]:
    return [p.detach() for p in trained.model.parameters()]


OPTIMIZERS = ("adamw", "sgd", "lion", "muon")


def with_optimizer(name: str, **more: object) -> TrainingConfig:
    if name == "lion":
        pytest.importorskip("lion_pytorch")
    return CONFIG.model_copy(update={"optimizer": name, **more})


def test_recording_changes_no_loss_and_no_weight(tmp_path):
    bare, bare_model = sit(tmp_path / "bare")
    watched, watched_model = sit(tmp_path / "watched", steps=range(0, 25, 2))
    assert losses(bare) == losses(watched)
    assert all(map(torch.equal, weights(bare_model), weights(watched_model)))
    assert watched.steps == list(range(0, 25, 2))


@pytest.mark.parametrize("stop", [1, 8, 13, 23])
def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path, stop):
    whole, whole_model = sit(tmp_path / "whole", steps=range(25))
    asked = itertools.count()
    with pytest.raises(Interrupted, match=f"step {stop}"):
        sit(tmp_path / "broken", steps=range(25), stopping=lambda: next(asked) == stop)
    broken, broken_model = sit(tmp_path / "broken", steps=range(25), net=model(seed=9, dropout=0.1))
    assert losses(Run(broken.path)) == losses(Run(whole.path))
    assert all(map(torch.equal, weights(whole_model), weights(broken_model)))
    assert broken.steps == whole.steps
    for step in whole.steps:
        assert torch.equal(whole.states(step).values, broken.states(step).values)


def test_a_killed_training_goes_on_from_its_checkpoint_and_voids_what_came_after(tmp_path):
    whole, whole_model = sit(tmp_path / "whole", steps=range(25))
    killed = tmp_path / "killed"

    class Killed(BaseException):
        pass

    def kill(step: int, loss: float) -> None:
        if step == 20:
            raise Killed

    with pytest.raises(Killed):
        sit(killed, steps=range(25), progress=kill)
    assert max(Run(killed).steps) > 16
    again, again_model = sit(killed, steps=range(25), net=model(seed=9, dropout=0.1))
    assert any(r["kind"] == "rewind" and r["to"] == 16 for r in Run(killed).journal.live())
    assert losses(Run(killed)) == losses(whole)
    assert all(map(torch.equal, weights(whole_model), weights(again_model)))
    assert again.steps == whole.steps


@pytest.mark.parametrize(("optimizer", "momentum", "arch"), [
    ("sgd", 0.9, "llama"), ("sgd", 0.0, "llama"), ("lion", None, "llama"), ("muon", 0.9, "gpt2"),
])  # fmt: skip
def test_a_training_goes_on_bit_for_bit_with_every_optimizer(tmp_path, optimizer, momentum, arch):
    config = with_optimizer(optimizer, momentum=momentum)
    whole, whole_model = sit(tmp_path / "whole", config, net=model(arch, dropout=0.1))
    asked = itertools.count()
    with pytest.raises(Interrupted):
        sit(tmp_path / "broken", config, net=model(arch, dropout=0.1),
            stopping=lambda: next(asked) == 13)  # fmt: skip
    broken, again = sit(tmp_path / "broken", config, net=model(arch, seed=9, dropout=0.1))
    assert losses(Run(broken.path)) == losses(Run(whole.path))
    assert all(map(torch.equal, weights(whole_model), weights(again)))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns_and_each_in_its_own_way(tmp_path, optimizer):
    rate = {"sgd": 0.3, "lion": 1e-3}.get(optimizer, 1e-2)
    config = with_optimizer(optimizer, learning_rate=rate, batch_size=64)
    run, trained = sit(tmp_path / "run", config, net=model(width=32))
    found = losses(run)
    assert sum(found[-5:]) < 0.8 * sum(found[:5])
    if optimizer != "adamw":
        usual = config.model_copy(update={"optimizer": "adamw"})
        _, other = sit(tmp_path / "other", usual, net=model(width=32))
        assert not all(map(torch.equal, weights(trained), weights(other)))


def test_muon_takes_the_matrices_in_the_blocks_and_adamw_all_else():
    net = model("gpt2")
    optimizer = make_optimizer(net, with_optimizer("muon"))
    hidden = {id(p) for group in optimizer.param_groups[:1] for p in group["params"]}
    names = {name for name, p in net.named_parameters() if id(p) in hidden}
    inside = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}
    assert names == {f"transformer.h.{k}.{part}.weight" for k in (0, 1) for part in inside}
    rest = [p for group in optimizer.param_groups[1:] for p in group["params"]]
    assert len(hidden) + len(rest) == len(list(net.parameters()))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.01, 0.0]


def test_lion_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setattr("nucleate.training._config.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'nucleate\[optimizers\]'"):
        TrainingConfig(optimizer="lion").check()


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_a_momentum_that_an_optimizer_has_no_use_for_is_refused(optimizer):
    with pytest.raises(BadInput, match=rf"momentum is 0.5, which {optimizer} has no use for"):
        TrainingConfig(optimizer=optimizer, momentum=0.5).check()


@pytest.mark.parametrize(("schedule", "rates"), [
    ("constant", {4: 1, 14: 1, 24: 1}),
    ("linear", {4: 1, 14: 11 / 20, 24: 1 / 20}),
    ("wsd", {4: 1, 14: 1, 21: 1, 22: 3 / 4, 24: 1 / 4}),
    ("inverse_sqrt", {4: 1, 16: 1 / 2, 24: (4 / 24) ** 0.5}),
])  # fmt: skip
def test_every_schedule_warms_up_and_then_goes_its_way(tmp_path, schedule, rates):
    run, _ = sit(tmp_path / "run", CONFIG.model_copy(update={"schedule": schedule}),
                 steps=[2, *rates])  # fmt: skip
    found = {r["step"]: r["learning_rate"] for r in run.journal.live("step")}
    assert found[2] == pytest.approx(CONFIG.learning_rate / 2)
    for step, share in rates.items():
        assert found[step] == pytest.approx(CONFIG.learning_rate * share)


def test_step_lines_have_learning_rate_and_all_tokens_read_so_far_also_after_a_break(tmp_path):
    asked = itertools.count()
    with pytest.raises(Interrupted):
        sit(tmp_path / "run", stopping=lambda: next(asked) == 13)
    run, _ = sit(tmp_path / "run", net=model(seed=9, dropout=0.1))
    taskset, encoder, _ = material()
    batches = Batches(taskset, encoder, batch_size=CONFIG.batch_size, seed=1)
    counts = [int(batches.at(step).lengths.sum()) for step in range(CONFIG.steps)]
    records = sorted(Run(run.path).journal.live("step"), key=lambda r: r["step"])
    assert records[-1]["step"] == 24
    for record in records:
        assert record["tokens"] == sum(counts[: record["step"]])
    # Warm-up of 4 steps, then a straight line to 0.
    rates = {r["step"]: r["learning_rate"] for r in records}
    assert rates[24] == pytest.approx(CONFIG.learning_rate / 20)
    assert rates[10] == pytest.approx(CONFIG.learning_rate * 15 / 20)
    times = [r["time"] for r in Run(run.path).journal.live() if "time" in r]
    assert times == sorted(times)


def test_a_training_is_running_stopped_and_finished_in_turn(tmp_path):
    seen, asked = [], itertools.count()

    def look(step: int, loss: float) -> None:
        seen.append(Run(tmp_path / "run").status)

    with pytest.raises(Interrupted):
        sit(tmp_path / "run", progress=look, stopping=lambda: next(asked) == 13)
    assert seen == ["running"]
    assert Run(tmp_path / "run").status == "stopped"
    sit(tmp_path / "run")
    assert Run(tmp_path / "run").status == "finished"
    longer = CONFIG.model_copy(update={"steps": 30})
    sit(tmp_path / "run", longer, steps=[30])
    assert Run(tmp_path / "run").steps == [30]


def test_a_finished_run_without_a_checkpoint_is_not_trained_over(tmp_path):
    run, _ = sit(tmp_path / "run")
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(BadInput, match="finished training and no checkpoint"):
        sit(tmp_path / "run")


def test_only_the_newest_checkpoints_are_kept_and_the_last_holds_the_trained_weights(tmp_path):
    run, trained = sit(tmp_path / "run")
    assert sorted(int(p.name) for p in (run.path / "checkpoints").iterdir()) == [16, 24]
    fresh = model(seed=9)
    load_weights(run, fresh)
    assert all(map(torch.equal, weights(trained), [p.detach() for p in fresh.parameters()]))


def test_a_loss_that_is_not_finite_ends_the_run_names_the_step_and_keeps_the_rest(tmp_path):
    wild = CONFIG.model_copy(update={"learning_rate": 1e30, "clip_norm": 1e30, "warmup_steps": 0})
    with pytest.raises(RunFailed, match=r"the loss is nan at step \d+"):
        sit(tmp_path / "run", wild, steps=[0])
    assert Run(tmp_path / "run").steps == [0]
    assert Run(tmp_path / "run").status == "failed"


def test_a_full_disk_ends_the_run_and_keeps_what_is_there(tmp_path, monkeypatch):
    calls = itertools.count()

    def fills_up(*args: object) -> None:
        if next(calls) >= 12:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nucleate.runs._files.os.fsync", fills_up)
    with pytest.raises(RunFailed, match=r"cannot write at step \d+ .*No space left"):
        sit(tmp_path / "run", steps=range(25))
    monkeypatch.undo()
    kept = Run(tmp_path / "run").steps
    assert 0 in kept
    run, _ = sit(tmp_path / "run", steps=range(25), net=model(dropout=0.1))
    assert run.steps == list(range(25))


@pytest.mark.parametrize("loss", ["answer", "sequence"])
@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_the_loss_is_that_of_transformers_on_the_tokens_it_is_about(tmp_path, arch, loss):
    taskset, encoder, _ = material()
    config = CONFIG.model_copy(update={"loss": loss, "steps": 1})
    net = model(arch)
    batch = Batches(taskset, encoder, batch_size=16, seed=1).at(0)
    ids = torch.as_tensor(batch.ids)
    labels = ids.clone()
    for row, (prompt, length) in enumerate(zip(batch.prompt_lengths, batch.lengths, strict=True)):
        labels[row, length:] = -100
        if loss == "answer":
            labels[row, :prompt] = -100
    expected = net(ids, labels=labels).loss.item()
    run, _ = sit(tmp_path / "run", config, net=net)
    assert losses(run)[0] == pytest.approx(expected, rel=1e-5)


def test_training_learns(tmp_path):
    config = CONFIG.model_copy(update={"steps": 60, "learning_rate": 1e-2, "batch_size": 64})
    run, _ = sit(tmp_path / "run", config, net=model(width=32, dropout=0.0), steps=[0, 60])
    first, last = (run.rows(step)["nll"].mean().item() for step in (0, 60))
    assert last < 0.6 * first


def test_bfloat16_autocast_trains_in_bfloat16_and_keeps_float32_weights(tmp_path):
    config = CONFIG.model_copy(update={"precision": "bfloat16", "steps": 3})
    full, _ = sit(tmp_path / "full", CONFIG.model_copy(update={"steps": 3}))
    half, trained = sit(tmp_path / "half", config)
    assert {p.dtype for p in trained.model.parameters()} == {torch.float32}
    assert losses(half) != losses(full)
    assert losses(half) == pytest.approx(losses(full), rel=0.05)


def test_optimizers_put_together_step_as_they_do_alone():
    values = [torch.randn(4, 3), torch.randn(3)]
    together, alone = ([torch.nn.Parameter(v.clone()) for v in values] for _ in range(2))
    parts = [[torch.optim.SGD([a], lr=0.1, momentum=0.9), torch.optim.AdamW([b], lr=0.1)]
             for a, b in (together, alone)]  # fmt: skip
    one = Together(*parts[0])
    for step in range(3):
        for group in (*one.param_groups, *(g for part in parts[1] for g in part.param_groups)):
            group["lr"] = 0.1 / (step + 1)
        for mine, other in zip(together, alone, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        one.step()
        one.load_state_dict(one.state_dict())
        for part in parts[1]:
            part.step()
    assert all(map(torch.equal, together, alone))


@pytest.mark.slow
def test_compiled_training_gives_the_same_losses_up_to_rounding(tmp_path):
    config = CONFIG.model_copy(update={"compile": True, "steps": 4})
    plain, _ = sit(tmp_path / "plain", config.model_copy(update={"compile": False}),
                   net=model(), steps=[0, 4])  # fmt: skip
    compiled, _ = sit(tmp_path / "compiled", config, net=model(), steps=[0, 4])
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-4)
    torch.testing.assert_close(
        compiled.states(4).values, plain.states(4).values, atol=2e-3, rtol=2e-3
    )
