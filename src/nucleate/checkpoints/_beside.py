"""What stands beside the weights of checkpoints: configuration, tokenizer, what was saved instead.

Nothing here is loaded; names of files and a few small JSON files are enough.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nucleate.checkpoints._find import CONFIGS, PICKLED, SAFE, WEIGHTS
from nucleate.checkpoints._series import Checkpoint

TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
# Keys of config.json that do not change what the weights compute.
_FREE = (
    "transformers_version", "_name_or_path", "dtype", "torch_dtype", "use_cache", "architectures",
    "_attn_implementation", "_attn_implementation_autoset",
)  # fmt: skip
_FEW = 3


def lacks_config(checkpoint: Checkpoint) -> str:
    """The file without which the weights cannot be loaded and that is not there, or nothing."""
    wanted = CONFIGS[1] if _is_adapter(checkpoint.path) else CONFIGS[0]
    return "" if (checkpoint.path / wanted).exists() else wanted


def instead_of_weights(folder: Path) -> str:
    """What a folder without weights holds, as the end of a sentence; nothing if it is empty."""
    shards = sorted(folder.glob("*-of-*.safetensors"))
    if shards:
        return f"; {len(shards)} shards are there, and no index that names their tensors"
    inside = sorted(path for path in folder.rglob("*") if path.suffix in (*WEIGHTS, ".distcp"))
    if not inside:
        return ""
    names = [str(path.relative_to(folder)) for path in inside]
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return (
        f"; there is {', '.join(names[:_FEW])}{more}, which is no model's weights as transformers "
        "saves them"
    )


def notes(checkpoints: Sequence[Checkpoint]) -> Iterator[str]:
    """What is no fault of a series, but good to know before it is read."""
    last = checkpoints[-1]
    places = (last.path, last.path.absolute().parent)
    if not any((place / name).exists() for place in places for name in TOKENIZERS):
        yield (
            f"no tokenizer stands beside {last} or above it: to record rows of text, name one "
            "with --tokenizer"
        )
    yield from _mixed(checkpoints)
    yield from _changed(checkpoints)


def _mixed(checkpoints: Sequence[Checkpoint]) -> Iterator[str]:
    adapters = [one for one in checkpoints if _is_adapter(one.path)]
    if not adapters:
        return
    if len(adapters) < len(checkpoints):
        verb = "holds an adapter" if len(adapters) == 1 else "hold adapters"
        yield f"{_some(adapters)} {verb}, the others whole models"
    named = [_read(one.path / CONFIGS[1]).get("base_model_name_or_path") for one in adapters]
    names = sorted({str(name) for name in named if name})
    shown = " and ".join(names)
    if not names:
        yield "the adapters name no base model: give it with --base"
    elif len(names) > 1:
        yield f"the adapters are of several base models: {shown}"
    elif not Path(shown).is_dir():
        yield (
            f"the adapters need their base model {shown}, which is no folder here: name one with "
            "--base where it is not in the hub's cache"
        )


def _changed(checkpoints: Sequence[Checkpoint]) -> Iterator[str]:
    """Settings that change along the series, since states change with them."""
    configs = {one: _read(one.path / CONFIGS[0]) for one in checkpoints}
    known = {one: config for one, config in configs.items() if config}
    if not known:
        return
    keys = sorted({key for config in known.values() for key in config}.difference(_FREE))
    for key in keys:
        values = {json.dumps(config.get(key), sort_keys=True) for config in known.values()}
        if len(values) > 1:
            yield f"config.json has different values of {key}: {', '.join(sorted(values)[:_FEW])}"


def _some(checkpoints: Sequence[Checkpoint]) -> str:
    more = f" and {len(checkpoints) - _FEW} more" if len(checkpoints) > _FEW else ""
    return ", ".join(str(one) for one in checkpoints[:_FEW]) + more


def _is_adapter(folder: Path) -> bool:
    full = (*SAFE[:-1], *PICKLED[:-1])
    own = (CONFIGS[1], SAFE[-1], PICKLED[-1])
    return not any((folder / name).exists() for name in full) and any(
        (folder / name).exists() for name in own
    )


def _read(file: Path) -> dict[str, Any]:
    """A small JSON file; empty where there is none or it cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
