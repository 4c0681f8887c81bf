"""Prompts for a series of checkpoints, made with the tokenizer that stands beside the weights."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.checkpoints._beside import TOKENIZERS
from nucleate.checkpoints._find import local_folder
from nucleate.checkpoints._series import Series
from nucleate.prompts import PromptSet, check_template, position_names

_POSITIONS = ("instruction_end", "last")
_DATASET = "state.json"
"""Stands in a folder that `datasets` has saved."""


def load_tokenizer(series: Series, named: str | PathLike[str] | None = None) -> Any:
    """Load the tokenizer of a series.

    Args:
        series: its last checkpoint's folder, or the folder above, holds the tokenizer.
        named: another folder, or a name on the hub.

    Returns:
        a tokenizer of transformers; None where there is none beside the weights and none is named.

    Raises:
        BadInput: it cannot be loaded.
    """
    folder = _beside(series) if named is None else local_folder(named, allow_pickle=False)
    if folder is None:
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"no tokenizer can be loaded from {folder} ({reason}); name one with --tokenizer"
        ) from error


def load_prompts(
    source: str | PathLike[str],
    series: Series,
    *,
    positions: Sequence[str | int] | None = None,
    template: str | None = None,
    tokenizer: str | PathLike[str] | None = None,
) -> PromptSet:
    """Load the prompts that a series is read at, checked against its tokenizer.

    Args:
        source: a file of rows, as in `PromptSet.from_records`; or the folder of a saved data set,
            of a saved prompt set or of a run.
        series: the checkpoints.
        positions: for a file, as in `PromptSet.from_records`.
        template: for a file, as in `PromptSet.from_records`.
        tokenizer: folder or name on the hub; by default the one beside the weights.

    Raises:
        BadInput: there is no such file or folder; the rows cannot be read; positions or a template
            are given for a saved prompt set; the prompt set was made with another tokenizer.
    """
    path = as_path("source", source)
    if path.is_dir() and not (path / _DATASET).exists():
        for option, value in (("positions", positions), ("template", template)):
            if value is not None:
                shown = value if isinstance(value, str) else ",".join(map(str, value))
                raise BadInput(
                    f"--{option} {shown} is for rows of a file; {path} is a saved prompt set"
                )
        return _saved(path, series, tokenizer)
    if not path.exists():
        raise BadInput(
            f"the prompts {path} do not exist; name a file of rows (.jsonl, .csv ...), a saved "
            "prompt set or a run"
        )
    names = position_names(_POSITIONS if positions is None else positions)
    check_template(template)
    found = load_tokenizer(series, tokenizer)
    return PromptSet.from_records(path, found, positions=names, template=template)


def _beside(series: Series) -> Path | None:
    path = series.checkpoints[-1].path
    places = [path, path.absolute().parent]
    return next((p for p in places if any((p / file).exists() for file in TOKENIZERS)), None)


def _saved(folder: Path, series: Series, tokenizer: str | PathLike[str] | None) -> PromptSet:
    prompts = PromptSet.load(folder)
    home = (folder / "checkpoints").resolve()
    own = all(checkpoint.path.resolve().parent == home for checkpoint in series)
    # A run's own checkpoints and its own prompt set belong together; they need no tokenizer beside.
    if prompts.tokenizer_hash and not (own and tokenizer is None):
        found = load_tokenizer(series, tokenizer)
        if found is None:
            raise BadInput(
                f"no tokenizer beside {series.checkpoints[0]}, so that the prompt set "
                f"{folder} cannot be checked against it; name its tokenizer with --tokenizer"
            )
        prompts.check_tokenizer(found)
    return prompts
