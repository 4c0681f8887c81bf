"""An atlas of a model: its prompts read, fitted, and requests read where the atlas reads."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput
from nucleate._core.strings import announced
from nucleate.activations import capture, unwrapped
from nucleate.monitor.atlas._assemble import Detector, FitSettings, Material, assemble
from nucleate.monitor.atlas._atlas import Atlas
from nucleate.monitor.atlas._fit import FEWEST_ROWS, clusters_of, split_rows
from nucleate.monitor.atlas._place import Places, values_at
from nucleate.monitor.atlas._requests import request_texts
from nucleate.runs import States

if TYPE_CHECKING:
    from torch import nn

    from nucleate.prompts import PromptSet

TRAINED = ("seen", "train")
"""Values of the column `split` of rows that a model was trained on."""
_CHUNK = 256
_MOST_TO_CHOOSE = 3000
"""Rows of a split that a place is chosen by, at most."""
Progress = Callable[[int, int], None]


def fit_model_atlas(
    model: "nn.Module",
    prompts: "PromptSet",
    *,
    label: str = "task",
    trained_texts: Iterable[str] = (),
    outside: Iterable[str] = (),
    template: str = "",
    detector: Detector = "knn",
    neighbors: int = 5,
    bank_rows: int = 4000,
    fewest: int = FEWEST_ROWS,
    keep_text: bool = False,
    encoder: Callable[[Sequence[str]], np.ndarray] | None = None,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Atlas:
    """Read a model's states of some prompts, and fit an atlas to them.

    Stream and position are those with the best nearest-centroid accuracy on a split of its own.
    Rows whose column `split` says `seen` or `train` count as trained on. Rows of one instruction
    with several inputs are never in two splits. Every state is brought to one length first.

    Args:
        model: a causal LM, as `capture` takes it.
        prompts: rows with the clusters as one of their labels.
        label: the column of clusters.
        trained_texts: further texts that the model was trained on.
        outside: labels of rows that belong to no cluster.
        template: that the prompts were made with; kept, and asked of requests.
        detector, neighbors, bank_rows, fewest, keep_text, encoder, seed: as for `fit_atlas`.
        progress: called with rows read, and rows to be read in all.

    Raises:
        BadInput: no such column, states that cannot be read, or as `fit_atlas`.
    """
    settings = FitSettings(detector, neighbors, bank_rows, keep_text, seed, unit_length=True)
    if label not in prompts.labels:
        raise BadInput(
            f"the prompts have no column {label!r}; name one of {', '.join(prompts.labels)}"
        )
    texts, labels = request_texts(prompts), prompts.labels[label]
    told = prompts.labels.get("split", ("",) * len(prompts))
    seen = [text for text, split in zip(texts, told, strict=True) if split in TRAINED]
    split, hashes, trained = split_rows(
        len(prompts), labels, texts, units=units_of(prompts), trained_texts=[*trained_texts, *seen],
        shares=None, seed=seed,
    )  # fmt: skip
    names, code, too_few, off = clusters_of(labels, split == "fit", set(outside), fewest)
    reader = _Reader(model, prompts, progress)
    fit, own = (
        _some(np.flatnonzero((split == name) & (code >= 0)), seed) for name in ("fit", "place")
    )
    reader.total = len(prompts) + len(fit) + len(own)
    table = Places(len(names))
    for rows, states in reader.read(fit):
        table.fit(states, code[rows])
    for rows, states in reader.read(own):
        table.judge(states, code[rows])
    stream, position, place = table.best()
    vectors = reader.vectors(np.arange(len(prompts)), stream, position)
    material = Material(
        vectors, code, split, hashes, tuple(texts), off, names, too_few, stream, position, place,
        trained,
    )  # fmt: skip
    return assemble(material, settings, fingerprints_of(model, prompts, template), encoder)


def read_vectors(
    atlas: Atlas,
    model: "nn.Module",
    prompts: "PromptSet",
    *,
    progress: Progress = lambda done, total: None,
) -> Float[np.ndarray, "row width"]:
    """A model's states of requests, where the atlas reads them.

    Args:
        atlas: of this model.
        model: the one that it was fitted to, with the same weights.
        prompts: requests, made with the same tokenizer and template.
        progress: called with rows read, and rows to be read in all.

    Raises:
        BadInput: another model or tokenizer, or the prompts lack the position.
    """
    check_fingerprints(
        atlas, fingerprints_of(model, prompts, atlas.fingerprints.get("template", ""))
    )
    if atlas.position not in prompts.positions:
        raise BadInput(
            f"the requests have the positions {', '.join(prompts.positions)}, and the atlas reads "
            f"{atlas.position}; make them with that position"
        )
    reader = _Reader(model, prompts, progress)
    reader.total = len(prompts)
    return reader.vectors(np.arange(len(prompts)), atlas.stream, atlas.position)


def fingerprints_of(model: "nn.Module", prompts: "PromptSet", template: str = "") -> dict[str, str]:
    """What tells a model, its tokenizer and the form of prompts from others.

    Args:
        model: hashed by its weights, in the precision that they are loaded in.
        prompts: with the hash of their tokenizer.
        template: the form itself.

    Raises:
        BadInput: weights that are not in memory.
    """
    return {"model": weights_hash(model), "tokenizer": prompts.tokenizer_hash, "template": template}


def check_fingerprints(atlas: Atlas, given: dict[str, str]) -> None:
    """Refuse what the atlas was not fitted to; what either does not know is not compared.

    Raises:
        BadInput: another model, tokenizer or template.
    """
    for name, value in given.items():
        own = atlas.fingerprints.get(name, "")
        if name == "template" and own != value and atlas.fingerprints:
            raise BadInput(
                f"the template is {value!r}, and the atlas was fitted with {own!r}; give that one"
            )
        if own and value and own != value:
            raise BadInput(
                f"the {name} is another one ({value[:12]}) than the atlas was fitted to "
                f"({own[:12]}); give that {name}, or fit an atlas to this one"
            )


def weights_hash(model: "nn.Module") -> str:
    """A hash of a model's weights, their names, shapes and precision.

    Raises:
        BadInput: weights that are not in memory.
    """
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, weight in unwrapped(model).named_parameters():
        if weight.device.type == "meta":
            raise BadInput(
                f"the weights {name} are not in memory, so that the model cannot be told from "
                "others; load it without offloading"
            )
        digest.update(f"{name}:{weight.dtype}:{tuple(weight.shape)}".encode())
        raw = weight.detach().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.cpu().numpy().tobytes())
    return digest.hexdigest()


def units_of(prompts: "PromptSet") -> list[str] | None:
    """What rows belong together: those of one instruction. None where each text is for itself."""
    labels = prompts.labels
    said = labels.get("instruction")
    inputs = labels.get("input", ())
    if said is None or not any(inputs):
        return None
    texts = request_texts(prompts)
    return [
        f"instruction {one}" if tells else text
        for one, tells, text in zip(said, announced(labels).tolist(), texts, strict=True)
    ]


class _Reader:
    """States of prompts in chunks, so that no more than a chunk of them is held."""

    def __init__(self, model: "nn.Module", prompts: "PromptSet", progress: Progress) -> None:
        self.model, self.prompts, self.progress = model, prompts, progress
        self.total = self.done = 0

    def read(self, rows: Int[np.ndarray, "chosen"]) -> Iterator[tuple[np.ndarray, States]]:
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            yield chunk, capture(self.model, self.prompts.take(chunk), finite=False)
            self.done += len(chunk)
            self.progress(self.done, self.total)

    def vectors(
        self, rows: Int[np.ndarray, "chosen"], stream: str, position: str
    ) -> Float[np.ndarray, "chosen width"]:
        return np.concatenate([values_at(s, stream, position) for _, s in self.read(rows)])


def _some(rows: Int[np.ndarray, "row"], seed: int) -> Int[np.ndarray, "chosen"]:
    if len(rows) <= _MOST_TO_CHOOSE:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:_MOST_TO_CHOOSE])
