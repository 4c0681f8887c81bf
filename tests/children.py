"""What tests let other processes do: train on several ranks, and train until they are killed."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
from torch import nn

from nucleate import (
    Recorder,
    Run,
    Schedule,
    capture,
)
from nucleate.runs import Journal
from sequences import rows
from small import material, model

_server = multiprocessing.get_context("forkserver")
# What takes long to import; this module cannot be among it, since the server has another path.
_server.set_forkserver_preload(
    [
        "nucleate.training",
        "torch.distributed.fsdp",
        "torch.distributed.tensor",
        "transformers.models.llama.modeling_llama",
    ]
)


def start(work: Callable[..., None], *args: object) -> multiprocessing.Process:
    """Let a child do `work`; what is slow to import is there when it starts."""
    child = _server.Process(target=work, args=args, daemon=True)
    child.start()
    return child


def on_ranks(work: Callable[..., None], folder: Path, *args: object, ranks: int = 2) -> None:
    """Let `ranks` processes do `work(rank, folder, *args)` in one process group; all must succeed.

    A rank that hangs is ended after two minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    children = [start(_in_group, work, rank, ranks, folder, *args) for rank in range(ranks)]
    ends = time.monotonic() + 120
    for child in children:
        child.join(max(1.0, ends - time.monotonic()))
    codes = [child.exitcode for child in children]
    for child in children:
        child.kill()
        child.join(10)
    assert codes == [0] * ranks, codes


def _in_group(work, rank: int, ranks: int, folder: Path, *args: object) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    try:
        work(rank, folder, *args)
    finally:
        dist.destroy_process_group()


def batches(rank: int, ranks: int, steps: int) -> list[dict[str, torch.Tensor]]:
    """Another batch for every rank and step, the same in every run."""
    data = rows()
    size = 4
    chosen = []
    for step in range(steps):
        first = (step * ranks + rank) * size
        ids = torch.stack([data[k % len(data)]["input_ids"] for k in range(first, first + size)])
        chosen.append({"input_ids": ids, "labels": ids})
    return chosen


def parallel(net: nn.Module, how: str) -> nn.Module:
    """The model over all ranks: a copy each (`ddp`), or a part each (`fsdp`, `fsdp1`, `tp`)."""
    if how == "ddp":
        return nn.parallel.DistributedDataParallel(net)
    if how == "fsdp1":
        return _fsdp1(net)
    if how == "tp":
        return _tensor_parallel(net)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for block in net.base_model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)
    return net


def _fsdp1(net: nn.Module) -> nn.Module:
    from functools import partial

    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

    kinds = {type(net.base_model.layers[0])}
    return FullyShardedDataParallel(
        net,
        auto_wrap_policy=partial(transformer_auto_wrap_policy, transformer_layer_cls=kinds),
        device_id=torch.device("cpu"),
        use_orig_params=True,
    )


def _tensor_parallel(net: nn.Module) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    into, out = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")
    plan = {f"self_attn.{name}": ColwiseParallel() for name in into}
    plan |= {f"mlp.{name}": ColwiseParallel() for name in out}
    plan |= {name: RowwiseParallel() for name in ("self_attn.o_proj", "mlp.down_proj")}
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for block in net.base_model.layers:
        parallelize_module(block, mesh, plan)
    return net


def train_on_ranks(rank: int, folder: Path, how: str, schedule: Schedule | None, dropout: float):
    """A training of 6 steps; every rank's losses go to `<rank>.pt`, rank 0's states to `run`."""
    net = parallel(model(dropout=dropout).train(), how)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.manual_seed(rank)
    losses = []
    recorder = schedule and Recorder(folder / "run", material()[2], schedule)
    with recorder or contextlib.nullcontext():
        for step, batch in enumerate(batches(rank, 2, 6)):
            if recorder:
                recorder.step(net, step)
            loss = net(**batch, use_cache=False).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        if recorder:
            recorder.step(net, 6)
            assert recorder.error is None
    torch.save(losses, folder / f"{rank}.pt")


def fail_on_a_rank(rank: int, folder: Path, how: str, broken: int) -> None:
    """As above, but on one rank the recorder breaks; the training must reach its end."""
    net = parallel(model().train(), how)
    recorder = Recorder(folder / "run", material()[2], Schedule.every(1).within(None))
    for step, batch in enumerate(batches(rank, 2, 4)):
        if step == 2 and rank == broken:
            recorder._fail(OSError("no space left"))
        recorder.step(net, step)
        net(**batch, use_cache=False).loss.backward()
    assert (recorder.error is None) == (rank != broken)
    recorder.close()
    assert rank or Run(folder / "run").steps == [0, 1]


def compare_parts(_: int, __: Path, how: str) -> None:
    """A model in parts, before and after a training step, against the whole one."""
    whole = capture(model(), material()[2]).values
    net = parallel(model().train(), how)
    for _ in range(2):
        error = (capture(net, material()[2]).values - whole).norm() / whole.norm()
        assert error < 1e-5, error
        net(**batches(0, 1, 1)[0], use_cache=False).loss.backward()


def spend_a_budget(rank: int, folder: Path) -> None:
    """All ranks must skip the same steps, though their clocks differ."""
    net = parallel(model().train(), "fsdp")
    recorder = Recorder(folder / "run", material()[2], Schedule.every(1).within(0.5))
    asked = []
    for step in range(12):
        asked.append(recorder.due(step))
        recorder.step(net, step)
        time.sleep(0.02 * (1 + rank))
    recorder.close()
    torch.save(asked, folder / f"{rank}.pt")


def resume_on_ranks(rank: int, folder: Path) -> None:
    """Two sittings; the second begins at a step that the run has."""
    net = parallel(model().train(), "fsdp")
    for sitting in (range(4), range(2, 6)):
        with Recorder(folder / "run", material()[2], Schedule.every(1).within(None)) as recorder:
            for step in sitting:
                recorder.step(net, step)
        assert recorder.error is None
    if rank == 0:
        assert Run(folder / "run").steps == list(range(6))


def train_until_killed(folder: Path, last: int) -> None:
    """Train with a checkpoint at every fifth step, record every step, go on where it stood."""
    torch.set_num_threads(1)
    net = model(dropout=0.1).train()
    first, saved = 0, folder / "weights.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        first = state.pop("step")
        net.load_state_dict(state)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Recorder(folder / "run", material()[2], Schedule.every(1).within(None)) as recorder:
        for step, batch in enumerate(batches(0, 1, last)):
            if step < first:
                continue
            recorder.step(net, step, loss=step)
            torch.manual_seed(step)
            net(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if (step + 1) % 5 == 0:
                recorder.flush()
                torch.save({"step": step + 1, **net.state_dict()}, folder / ".weights.pt")
                (folder / ".weights.pt").replace(saved)
        recorder.step(net, last)


def append_steps(path: Path, steps: int) -> None:
    """Write many lines, about as fast as a disk takes them."""
    journal = Journal(path)
    for step in range(steps):
        journal.append("step", step=step, loss=1.0, note="x" * (step % 300))
