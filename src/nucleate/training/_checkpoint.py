"""Checkpoints: everything needed to resume training bit for bit, without a pickle."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from nucleate._core.errors import BadInput
from nucleate.runs import Run, publish_folder

_KEPT = 2
_PENALTY = "regularizer.safetensors"
_PENALTY_FORMERLY = "regulariser.safetensors"  # in version 0.1, with `centres` for `centers`


def save_checkpoint(
    run: Run,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    penalty: nn.Module | None = None,
    **state: Any,
) -> None:
    """Write `checkpoints/<step>/` and commit it to the journal; the oldest ones are removed.

    Args:
        run: where to.
        step: optimizer steps taken.
        model: its weights go to `model.safetensors`, tied ones once; the settings of a model of
            transformers to `config.json`, so that transformers can load the folder.
        optimizer: its tensors go to `optimizer.safetensors`.
        penalty: what a regularizer has learned goes to `regularizer.safetensors`.
        state: JSON values that come back from `load_checkpoint`.

    Raises:
        OSError: the disk is full; earlier checkpoints stand.
    """
    folder = run.path / "checkpoints"
    partial = folder / f".{step}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_model(model, str(partial / "model.safetensors"))
    save_file(_optimizer_tensors(optimizer), partial / "optimizer.safetensors")
    if penalty is not None:
        save_penalty(penalty, partial)
    (partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
    if isinstance(model, PreTrainedModel):
        _save_config(partial, model)
    publish_folder(partial, folder / str(step))
    run.journal.append("checkpoint", durable=True, step=step)
    for old in sorted(_committed(run))[:-_KEPT]:
        shutil.rmtree(folder / str(old), ignore_errors=True)


def load_checkpoint(
    run: Run, model: nn.Module, optimizer: Optimizer, penalty: nn.Module | None = None
) -> dict[str, Any] | None:
    """Put the newest checkpoint's weights, optimizer state and regularizer in place.

    Returns:
        the saved state with `step` added, or None where the run has no checkpoint.

    Raises:
        BadInput: there is a regularizer, and the checkpoint is of a training without it.
    """
    steps = sorted(_committed(run))
    if not steps:
        return None
    folder = run.path / "checkpoints" / str(steps[-1])
    load_model(model, str(folder / "model.safetensors"))
    if penalty is not None:
        load_penalty(penalty, folder)
    tensors = load_file(folder / "optimizer.safetensors")
    torch.set_rng_state(tensors.pop("rng"))
    if "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors.pop("rng.cuda"))
    state = optimizer.state_dict()
    state["state"] = _nested(tensors)
    optimizer.load_state_dict(state)
    saved: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return saved | {"step": steps[-1]}


def save_penalty(penalty: nn.Module, folder: Path) -> None:
    """Write what a regularizer has learned to `regularizer.safetensors`."""
    save_file(penalty.state_dict(), folder / _PENALTY)


def load_penalty(penalty: nn.Module, folder: Path) -> None:
    """Put what a regularizer has learned by a checkpoint in place.

    Raises:
        BadInput: the checkpoint is of a training without the regularizer, or with another one.
    """
    file = folder / _PENALTY
    if not file.exists() and (folder / _PENALTY_FORMERLY).exists():
        file = folder / _PENALTY_FORMERLY
    try:
        tensors = load_file(file)
        penalty.load_state_dict({n.replace("centres", "centers"): t for n, t in tensors.items()})
    except (OSError, RuntimeError) as error:
        raise BadInput(
            f"the checkpoint {folder} is not of a training with this regularizer "
            f"({str(error).splitlines()[0]}); resume without one, or start a new training run"
        ) from error


def load_weights(run: Run, model: nn.Module) -> None:
    """Put the weights of the run's newest checkpoint into `model`."""
    step = max(_committed(run))
    load_model(model, str(run.path / "checkpoints" / str(step) / "model.safetensors"))


def _committed(run: Run) -> list[int]:
    folder = run.path / "checkpoints"
    return [r["step"] for r in run.journal.live("checkpoint") if (folder / str(r["step"])).exists()]


def _save_config(folder: Path, model: PreTrainedModel) -> None:
    # transformers does not save how attention is computed, but another way changes the last bits.
    settings = json.loads(model.config.to_json_string())
    settings["attn_implementation"] = model.config._attn_implementation
    (folder / "config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by `<parameter>.<name>`, and torch's generators for dropout."""
    tensors = {
        f"{parameter}.{name}": value.detach().contiguous()
        for parameter, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    tensors["rng"] = torch.get_rng_state()
    # Not every optimizer has tensors: SGD without momentum has none.
    if any(p.is_cuda for group in optimizer.param_groups for p in group["params"]):
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    return tensors


def _nested(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    return state
