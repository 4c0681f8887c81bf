"""Whether an atlas is of the model that a gate is asked about."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nucleate._core.errors import BadInput
from nucleate.runs import Run


def check_model(fingerprints: Mapping[str, str], runs: Sequence[Path]) -> str:
    """Refuse an atlas that is of none of the runs' newest checkpoints.

    Args:
        fingerprints: of the atlas; empty for one of bare arrays.
        runs: their folders.

    Returns:
        what could not be checked, as a sentence; empty if nothing.

    Raises:
        BadInput: another tokenizer, or other weights.
    """
    if not runs:
        return ""
    if not fingerprints:
        return "the atlas does not say of which model it is"
    tokenizers = {Run(run).prompts.tokenizer_hash for run in runs} - {""}
    own = fingerprints.get("tokenizer", "")
    if own and tokenizers and own not in tokenizers:
        raise BadInput(
            f"the atlas is of another tokenizer ({own[:12]}) than the run's "
            f"({sorted(tokenizers)[0][:12]}); give the atlas of this run's model"
        )
    stored = [run for run in runs if any((run / "checkpoints").glob("*"))]
    weights = {_weights(run) for run in stored}
    stated = fingerprints.get("model", "")
    if stated in weights:
        return ""
    if len(stored) < len(runs):
        return "whether the atlas is of the run's model is not known: the run keeps no checkpoint"
    newest = ", ".join(sorted(each[:12] for each in weights))
    raise BadInput(
        f"the atlas is of other weights ({stated[:12]}) than the newest checkpoint of the run "
        f"({newest}); fit it to that checkpoint, in the precision in which it is stored"
    )


def _weights(run: Path) -> str:
    from nucleate.checkpoints import Series
    from nucleate.monitor.atlas import weights_hash

    return weights_hash(Series.of_run(run).checkpoints[-1].load())
