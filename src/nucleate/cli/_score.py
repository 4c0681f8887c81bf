"""`nucleate score`: requests held against an atlas."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate._core.errors import BadInput
from nucleate.cli import _options as options
from nucleate.cli._atlas import Rate, load_rows, series_of
from nucleate.cli._text import say

if TYPE_CHECKING:
    import numpy as np

    from nucleate.monitor.atlas import Atlas

_VECTORS = "vectors"


def score(
    atlas: Annotated[Path, typer.Argument(help="An atlas's folder.")],
    requests: Annotated[
        str,
        typer.Argument(
            help="Requests: a file (.jsonl, .csv ...), a saved prompt set or a run; or "
            ".safetensors with vectors [row, width]."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of scores.csv.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that the atlas is of: a run or a model. Not needed for vectors, nor "
            "where the atlas uses the words alone."
        ),
    ] = None,
    rate: Rate = 0.05,
    keep_text: Annotated[
        bool, typer.Option("--keep-text", help="Write the text of each request as well.")
    ] = False,
    keep_vectors: Annotated[
        bool, typer.Option("--keep-vectors", help="Write vectors.safetensors as well.")
    ] = False,
    tokenizer: options.Tokenizer = None,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    attention: options.Attention = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say of each request its cluster, how surely, and whether it belongs to any.

    Writes scores.csv: the request's hash, its cluster with a calibrated probability, the p value of
    belonging to a known cluster, and the columns that the requests came with.
    """
    from nucleate._core.devices import check_device_name
    from nucleate.cli._watch import watching
    from nucleate.monitor.atlas import Atlas
    from nucleate.runs import check_writable

    check_device_name(device)
    check_writable(out)
    found = Atlas.load(atlas)
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate score {requests} -> {out}")
        options.prepare_torch(threads)
        labels: dict[str, Any] = {}
        if requests.endswith(".safetensors"):
            vectors, texts = _stored(Path(requests)), None
        elif model is None:
            vectors, (texts, labels) = None, _words(found, requests)
        else:
            vectors, texts, labels = _read(
                found, requests, model, tokenizer, options.loading(device, dtype, attention),
                watcher,
            )  # fmt: skip
    report = _written(found, vectors, texts, labels, out, rate, keep_text, keep_vectors)
    if as_json:
        typer.echo(json.dumps(report))
        return
    say(
        f"{report['rows']} requests; {report['outside']} ({report['share']:.3f}) called outside at "
        f"rate {rate:g}, of which {report['expected']:.1f} are expected where all are of known "
        f"clusters (detector: {report['detector']})."
    )
    say(f"-> {out / 'scores.csv'}")


def _read(
    atlas: "Atlas",
    requests: str,
    model: str,
    tokenizer: str | None,
    loading: dict[str, Any],
    watcher: Any,
) -> "tuple[np.ndarray, list[str], dict[str, Any]]":
    """Vectors, texts and columns of requests that a model reads."""
    from nucleate._core.progress import stoppable
    from nucleate.monitor.atlas import read_vectors, request_texts

    series = series_of(model)
    from_file = Path(requests).expanduser().is_file()
    template = atlas.fingerprints.get("template") or None
    rows = load_rows(
        requests, series, atlas.position if from_file else None, template if from_file else None,
        tokenizer,
    )  # fmt: skip
    network = series.checkpoints[-1].load(**loading).eval()
    vectors = read_vectors(atlas, network, rows, progress=stoppable(watcher, "rows read"))
    return vectors, request_texts(rows), dict(rows.labels)


def _words(atlas: "Atlas", requests: str) -> "tuple[list[str], dict[str, Any]]":
    """Texts and columns of requests, where no model is asked."""
    from nucleate.monitor.atlas import read_requests

    if atlas.in_use != "surface":
        raise BadInput(
            f"the atlas uses {atlas.in_use}, which needs the states of its model; name it with "
            "--model, or give vectors"
        )
    if not Path(requests).is_file():
        raise BadInput(f"{requests} is no file of requests; name one, or the model with --model")
    texts, columns = read_requests(Path(requests))
    if texts is None:
        raise BadInput(f"{requests} has no column text, prompt or instruction; name one so")
    return texts, columns


def _stored(path: Path) -> "np.ndarray":
    """Vectors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} cannot be read ({error}); give a safetensors file") from error
    if _VECTORS not in tensors:
        raise BadInput(
            f"{path} has {', '.join(tensors) or 'nothing'} and no {_VECTORS!r}; store [row, width] "
            "under that name"
        )
    found: np.ndarray = tensors[_VECTORS].float().numpy()
    return found


def _written(
    atlas: "Atlas",
    vectors: "np.ndarray | None",
    texts: list[str] | None,
    labels: dict[str, Any],
    out: Path,
    rate: float,
    keep_text: bool,
    keep_vectors: bool,
) -> dict[str, Any]:
    """Score, and write what was found; what `--json` prints."""
    from dataclasses import replace

    import numpy as np

    from nucleate.monitor.atlas import scored_table
    from nucleate.runs import write_json, write_whole

    scores = replace(atlas.score(vectors, texts), rate=rate)
    outside = scores.outside(rate)
    if texts is None and (keep_text or vectors is None):
        raise BadInput("--keep-text was asked for, and vectors have no texts; leave it out")
    table = scored_table(scores, texts, labels, vectors=vectors, keep_text=keep_text)
    detector = (
        atlas.in_use
        if texts is not None and vectors is not None
        else ("states" if texts is None else "surface")
    )
    report = {
        "kind": "scores", "version": 1, "atlas": atlas.version, "detector": detector,
        "rate": rate, "rows": len(table), "outside": int(outside.sum()),
        "share": float(outside.mean()), "expected": rate * len(table), "keep_text": keep_text,
    }  # fmt: skip
    write_whole(out / "scores.csv", table.to_csv(index=False).encode())
    if keep_vectors and vectors is not None:
        from safetensors.numpy import save

        kept = np.ascontiguousarray(vectors, dtype=np.float32)
        write_whole(out / "vectors.safetensors", save({_VECTORS: kept}))
    write_json(out / "scores.json", report)
    return report
