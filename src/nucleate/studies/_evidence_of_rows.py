"""Evidence that a run's tables lack: held-out instructions row by row, and the final model."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from torch import Tensor

from nucleate.intervene import Eraser, logits_under
from nucleate.metrics import (
    agreement,
    condition,
    grouped_folds,
    kmeans,
    knn_decodability,
    nearest_centroid,
    standardize,
)
from nucleate.prompts import PromptSet
from nucleate.runs import Run
from nucleate.studies._config import Outputs, ReproduceConfig
from nucleate.studies._material import Material, prepare
from nucleate.tasks import Example
from nucleate.training import build_model, load_weights

_POSITION = "last"
_MOST_ROWS = 2000
_FEWEST_ERRORS = 5
"""Fewer rows that are wrong, or right, say nothing of what tells them apart."""
_SHUFFLES = 99
_FOLDS = 5


def row_numbers(run: Run, outputs: Outputs, stream: str) -> dict[str, float]:
    """Numbers of held-out instructions, of the final model and of surface text.

    Args:
        run: of `reproduce` or a study, with a checkpoint of its end.
        outputs: kind of outputs of the run.
        stream: where states are read, at the last token of the prompt.
    """
    rows = _Rows.of(run, outputs, stream)
    return {
        **rows.accuracies(),
        **rows.held_out(),
        **rows.predicting_success(),
        **rows.unseen_family(),
        **rows.after_erasing(),
    }


def task_records(
    run: Run, by_class: pd.DataFrame, stream: str, steps: Sequence[int]
) -> list[dict[str, Any]]:
    """Accuracy, loss, margin and frequency of every task at some steps.

    Accuracy is that of instructions that were never trained; loss that of trained ones, so that it
    says how well a task was learned without being the same number once more.
    """
    labels = run.prompts.labels
    task, split = np.array(labels["task"], object), np.array(labels["split"], object)
    wanted = by_class[
        (by_class["metric"] == "margin")
        & (by_class["stream"] == stream)
        & (by_class["position"] == _POSITION)
        & (by_class["view"] == "conditioned")
    ].set_index(["step", "class"])["value"]
    found = []
    for step in steps:
        scores = run.rows(step)
        for name in dict.fromkeys(labels["task"]):
            new = (task == name) & (split == "unseen_string")
            old = (task == name) & (split == "seen")
            found.append(
                {
                    "step": step,
                    "task": name,
                    "accuracy": float(scores["correct"].numpy()[new].mean()),
                    "loss": float(scores["nll"].numpy()[old].mean()),
                    "margin": float(wanted.get((step, name), math.nan)),
                }
            )
    return found


@dataclass(frozen=True)
class _Rows:
    run: Run
    material: Material
    config: ReproduceConfig
    states: Float[Tensor, "row width"]

    @classmethod
    def of(cls, run: Run, outputs: Outputs, stream: str) -> "_Rows":
        config = ReproduceConfig.model_validate(run.manifest["config"])
        states = run.states(run.steps[-1]).at(stream, _POSITION).float()
        return cls(run, prepare(config, outputs), config, states)

    def accuracies(self) -> dict[str, float]:
        """Of all held-out rows, not only of those few that were recorded."""
        found = {}
        for split in ("unseen_cell", "unseen_family"):
            rows = self.material.taskset.split(split)
            kept = rows[:: max(1, len(rows) // _MOST_ROWS)]
            if kept:
                right, _ = self._answer(list(kept))
                found[f"accuracy.{split}"] = float(right.mean())
        seen = self._where("seen")
        found["accuracy.seen"] = float(self._correct[seen].mean())
        return found

    def held_out(self) -> dict[str, float]:
        """Clusters among instructions that were trained, and among those that were not."""
        found = {}
        for name, split in (("seen", "seen"), ("held_out", "unseen_string")):
            rows = self._where(split)
            points = standardize(self._conditioned(rows))
            clusters = kmeans(points[None], len(set(self._task[rows]))).labels
            found[f"ari.{name}"] = float(agreement(clusters[0].numpy(), self._task[rows]).ari)
        seen, new = self._where("seen"), self._where("unseen_string")
        found["ncm.seen"] = self._cross_fitted(seen)
        distances, names = self._distances(new)
        found["ncm.held_out"] = float((names[distances.argmin(1)] == self._task[new]).mean())
        return found

    def _cross_fitted(self, rows: Int[np.ndarray, "row"]) -> float:
        """Nearest-centroid accuracy on strings left out of the centroids; NaN with one a task."""
        task, string = self._task[rows], self._string[rows]
        fewest = min(len(np.unique(string[task == name])) for name in np.unique(task))
        if fewest < 2:
            return math.nan
        folds = grouped_folds(task, string, min(_FOLDS, fewest))
        return float(nearest_centroid(self._conditioned(rows), task, folds, string))

    def predicting_success(self) -> dict[str, float]:
        """How well three numbers tell right from wrong answers to instructions never trained.

        None of them knows the true task: the margin is that of the nearest task's mean over the
        second nearest.
        """
        new = np.concatenate([self._where("unseen_string"), self._where("unseen_family")])
        right = self._correct[new]
        near = np.sort(self._distances(new)[0], axis=1)
        trained = sorted({row.instruction for row in self.material.taskset.split("train")})
        apart = dict(zip(*_nearest_edits(self._text[new], trained), strict=True))
        rivals = {
            "margin": (near[:, 1] - near[:, 0]),
            "max_softmax": self._confidence[new],
            "edit_distance": np.array([-apart[text] for text in self._text[new]]),
        }
        enough = min(right.sum(), (~right).sum()) >= _FEWEST_ERRORS
        return {
            f"auc.{name}": float(roc_auc_score(right, value)) if enough else math.nan
            for name, value in rivals.items()
        }

    def unseen_family(self) -> dict[str, float]:
        """Whether the task can be read of a family never trained: off states, and off the text."""
        new = self._where("unseen_family")
        train = self.material.taskset.split("train")
        other = self.material.taskset.split("unseen_family")
        if not len(new) or not other:
            return {}
        seen = np.concatenate([self._where("seen"), self._where("unseen_string")])
        x, y = self._conditioned(seen).numpy(), self._conditioned(new, like=seen).numpy()
        scale = x.std(0) + 1e-9
        probe = LogisticRegression(max_iter=1000).fit(x / scale, self._task[seen])
        texts = dict.fromkeys((row.instruction, row.task) for row in train)
        asked = dict.fromkeys((row.instruction, row.task) for row in other)
        surface = make_pipeline(
            CountVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False),
            LogisticRegression(max_iter=1000),
        ).fit([text for text, _ in texts], [task for _, task in texts])
        return {
            "ccgp.unseen_family": float(probe.score(y / scale, self._task[new])),
            "surface.unseen_family": float(
                surface.score([text for text, _ in asked], [task for _, task in asked])
            ),
        }

    def after_erasing(self) -> dict[str, float]:
        """How well neighbors find the task once nothing linear of it is left, beside shuffles."""
        rows = np.concatenate([self._where("seen"), self._where("unseen_string")])
        points = self._conditioned(rows)
        task, string = self._task[rows], self._string[rows]
        erased = Eraser.leace(points, task, shrink=False, tolerance=1e-6)(points)
        rng = np.random.default_rng(0)
        texts, first = np.unique(string, return_index=True)
        of_text = task[first]
        shuffled = [
            dict(zip(texts, rng.permutation(of_text), strict=True)) for _ in range(_SHUFFLES)
        ]
        labels = np.stack([task, *([one[text] for text in string] for one in shuffled)])
        shares = np.asarray(knn_decodability(erased.float(), labels, string))
        return {"knn_erased": shares[0], "knn_erased.null": float(np.quantile(shares[1:], 0.99))}

    def _answer(self, rows: list[Example]) -> tuple[np.ndarray, np.ndarray]:
        prompts = PromptSet.from_examples(rows, self.material.taskset, self.material.encoder)
        return _answered(self._model, prompts)

    @cached_property
    def _model(self) -> torch.nn.Module:
        model: torch.nn.Module = build_model(
            self.config.model,
            vocab_size=self.material.encoder.vocab_size,
            max_length=self.material.longest,
            seed=0,
        )
        load_weights(self.run, model)
        model.eval()
        return model

    @cached_property
    def _task(self) -> np.ndarray:
        return np.array(self.run.prompts.labels["task"])

    @cached_property
    def _text(self) -> np.ndarray:
        return np.array(self.run.prompts.labels["instruction"])

    @cached_property
    def _string(self) -> Int[np.ndarray, "row"]:
        return np.asarray(np.unique(self._text, return_inverse=True)[1])

    @cached_property
    def _scored(self) -> tuple[np.ndarray, np.ndarray]:
        return _answered(self._model, self.run.prompts)

    @property
    def _correct(self) -> np.ndarray:
        return self._scored[0]

    @property
    def _confidence(self) -> np.ndarray:
        return self._scored[1]

    def _where(self, split: str) -> Int[np.ndarray, "row"]:
        """Rows of a split whose instruction string meets every input."""
        labels = self.run.prompts.labels
        splits = np.array(labels["split"])
        # A trained string's cells that were held out are of another split, and part of the string.
        there = splits == split
        if split == "seen":
            there |= splits == "unseen_cell"
        inputs = len(set(labels["input"]))
        count = Counter(self._text[there])
        return np.flatnonzero(there & np.array([count[text] == inputs for text in self._text]))

    def _conditioned(
        self, rows: Int[np.ndarray, "row"], like: Int[np.ndarray, "other"] | None = None
    ) -> Float[Tensor, "row width"]:
        """States less the mean of their input, over these rows or over others."""
        inputs = np.array(self.run.prompts.labels["input"])
        if like is None:
            return condition(self.states[rows], inputs[rows])
        means = {name: self.states[like[inputs[like] == name]].mean(0) for name in set(inputs)}
        return self.states[rows] - torch.stack([means[name] for name in inputs[rows]])

    def _distances(
        self, new: Int[np.ndarray, "row"]
    ) -> tuple[Float[np.ndarray, "row task"], np.ndarray]:
        """Of rows from the mean of each task over trained instructions; and the tasks' names."""
        seen = self._where("seen")
        points, names = self._conditioned(seen), np.unique(self._task)
        means = torch.stack([points[self._task[seen] == name].mean(0) for name in names])
        apart = torch.cdist(self._conditioned(new, like=seen), means)
        return apart.numpy(), names


def _answered(model: torch.nn.Module, prompts: PromptSet) -> tuple[np.ndarray, np.ndarray]:
    """Whether the first token of each answer is the likeliest, and the likeliest one's share."""
    logits = logits_under(model, prompts, [[]])[0].cpu()
    rows = np.arange(len(prompts))
    answers = torch.from_numpy(prompts.ids[rows, prompts.prompt_lengths]).long()
    shares = logits.softmax(1)
    return (logits.argmax(1) == answers).numpy(), shares.max(1).values.numpy()


def _nearest_edits(texts: np.ndarray, trained: Sequence[str]) -> tuple[list[str], list[int]]:
    """The edit distance of each distinct text from the nearest trained one."""
    width = max(map(len, trained))
    codes = np.array([[ord(c) for c in text.ljust(width, "\0")] for text in trained])
    lengths = np.array(list(map(len, trained)))
    distinct = sorted(set(texts))
    return distinct, [int(_edits(text, codes, lengths).min()) for text in distinct]


def _edits(
    text: str, codes: Int[np.ndarray, "other letter"], lengths: Int[np.ndarray, "other"]
) -> Int[np.ndarray, "other"]:
    """Levenshtein distances from one text to many at once, row by row of the usual table."""
    before = np.tile(np.arange(codes.shape[1] + 1), (len(codes), 1))
    for index, letter in enumerate(text):
        row = np.empty_like(before)
        row[:, 0] = index + 1
        changed = before[:, :-1] + (codes != ord(letter))
        kept = np.minimum(changed, before[:, 1:] + 1)
        for column in range(codes.shape[1]):
            row[:, column + 1] = np.minimum(kept[:, column], row[:, column] + 1)
        before = row
    return np.asarray(before[np.arange(len(codes)), lengths])
