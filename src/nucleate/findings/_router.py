"""Routing by task: from the state of an instruction, against the instruction's text alone."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.findings._format import interval, number, position_name
from nucleate.findings.changes._run_changes import labeled_states
from nucleate.findings.changes._string_means import string_means, strings_per_cluster
from nucleate.runs import Run

_COSTS = (0.1, 1.0, 10.0, 100.0)
_DRAWS = 2000
_PERMUTED = 3


@dataclass(frozen=True)
class Routing:
    """How well two routers find the task of instructions that they were not fitted to.

    Attributes:
        strings, tasks, groups: how many; groups of strings are left out whole.
        states, text: share of strings sent to their task, from states and from text.
        states_interval, text_interval: 95 % bootstrap intervals over groups.
        difference: states less text, on the same strings.
        difference_interval: 95 % bootstrap interval of it, paired.
        permuted: what the router from states reaches with tasks permuted over strings, the highest
            of three.
        most_frequent: what sending all to the most frequent task gives.
    """

    strings: int
    tasks: int
    groups: int
    states: float
    states_interval: tuple[float, float]
    text: float
    text_interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    permuted: float
    most_frequent: float

    @property
    def better(self) -> str:
        """`states` or `text` where the interval of the difference excludes 0, else `undecided`."""
        low, high = self.difference_interval
        return "states" if low > 0 else "text" if high < 0 else "undecided"

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self) | {"better": self.better}

    def lines(self) -> list[str]:
        """The finding in words."""
        said = {
            "states": "states route better than the text does",
            "text": "the text routes better than states do",
            "undecided": "undecided which routes better",
        }
        return [
            f"{self.strings} instructions, {self.tasks} tasks, fitted to others ({self.groups} "
            "groups of strings, each left out whole)",
            f"from states: {number(self.states)} {interval(*self.states_interval)}, with tasks "
            f"permuted {number(self.permuted)}",
            f"from text (TF-IDF): {number(self.text)} {interval(*self.text_interval)}, most "
            f"frequent task {number(self.most_frequent)}",
            f"states less text: {self.difference:+.3f} {interval(*self.difference_interval)}: "
            f"{said[self.better]}",
        ]


def route(
    states: Float[np.ndarray, "string width"],
    texts: list[str],
    tasks: Shaped[np.ndarray, "string"],
    *,
    groups: Shaped[np.ndarray, "string"] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Routing:
    """Compare a router that reads a model's states with one that reads the text alone.

    Both are logistic regressions whose regularization is chosen within the training folds: on
    standardized states, and on TF-IDF of words and pairs of words (of one to three characters where
    texts have no spaces).

    Args:
        states: one row an instruction string.
        texts: of each string, each once.
        tasks: of each string.
        groups: of each string, left out whole, such as its family; by default every string for
            itself.
        folds: parts of the strings, each predicted from the others, at least 2.
        seed: of folds, bootstraps and permutations.

    Raises:
        BadInput: fewer groups than folds, one task, texts that are there twice, or labels that do
            not fit.

    Notes:
        The rival is simple: a fine-tuned sentence encoder would do better than TF-IDF. A router
        from states needs a model that was trained on such tasks.
    """
    classes, codes, own = _checked(states, texts, tasks, groups, folds, seed)
    rng = np.random.default_rng(seed)
    parts = _folds(codes, own, folds, seed)
    spaced = np.mean([" " in text.strip() for text in texts]) > 0.5
    from_states = _correct(states, codes, parts, text=False)
    from_text = _correct(np.array(texts, object), codes, parts, text=True, spaced=bool(spaced))
    permuted = []
    for _ in range(_PERMUTED):
        mixed = rng.permutation(codes)
        permuted.append(_correct(states, mixed, parts, text=False, costs=(1.0,)).mean())
    count = int(own.max()) + 1
    weights = rng.multinomial(count, [1 / count] * count, _DRAWS)[:, own]

    def spread(values: np.ndarray) -> tuple[float, float]:
        drawn = (weights * values).sum(1) / weights.sum(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return float(low), float(high)

    difference = from_states.astype(float) - from_text
    return Routing(
        len(codes), len(classes), count,
        float(from_states.mean()), spread(from_states), float(from_text.mean()), spread(from_text),
        float(difference.mean()), spread(difference), float(max(permuted)),
        float(np.bincount(codes).max() / len(codes)),
    )  # fmt: skip


def _checked(
    states: np.ndarray,
    texts: list[str],
    tasks: np.ndarray,
    groups: np.ndarray | None,
    folds: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tasks, and the codes of tasks and groups."""
    check_whole("folds", folds, least=2)
    check_whole("seed", seed, least=0)
    if len(set(texts)) != len(texts):
        raise BadInput(f"{len(texts)} texts are {len(set(texts))} different ones; give each once")
    own = np.arange(len(texts)) if groups is None else np.asarray(groups)
    if not len(states) == len(texts) == len(tasks) == len(own):
        raise BadInput(
            f"{len(states)} states, {len(texts)} texts, {len(tasks)} tasks and {len(own)} groups "
            "do not fit; give one each a string"
        )
    classes, codes = np.unique(np.asarray(tasks).astype(str), return_inverse=True)
    group_codes = np.unique(own, return_inverse=True)[1]
    if len(classes) < 2 or group_codes.max() + 1 < folds:
        raise BadInput(
            f"{len(classes)} tasks and {group_codes.max() + 1} groups of strings in {folds} folds "
            "decide nothing; give two tasks or more and as many groups as folds"
        )
    if not np.isfinite(states).all():
        raise BadInput("states hold NaN or infinity; leave such strings out")
    return classes, codes, group_codes


def _folds(
    codes: Int[np.ndarray, "string"], groups: Int[np.ndarray, "string"], folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    # Strata are evened out as far as groups allow; a task that a fold lacks in training is missed.
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(split.split(codes, codes, groups))


def _correct(
    rows: np.ndarray,
    codes: Int[np.ndarray, "string"],
    parts: list[tuple[np.ndarray, np.ndarray]],
    *,
    text: bool,
    spaced: bool = True,
    costs: tuple[float, ...] = _COSTS,
) -> Bool[np.ndarray, "string"]:
    """Which strings a router that was fitted to the other folds sends to their task."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.zeros(len(codes), dtype=bool)
    for train, test in parts:
        if not text:
            first: Any = StandardScaler()
        elif spaced:
            first = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
        else:
            first = TfidfVectorizer(ngram_range=(1, 3), analyzer="char", lowercase=False)
        router = GridSearchCV(
            make_pipeline(first, LogisticRegression(max_iter=2000)),
            {"logisticregression__C": list(costs)},
            cv=KFold(3, shuffle=True, random_state=0),
        )
        router.fit(rows[train], codes[train])
        found[test] = router.predict(rows[test]) == codes[test]
    return found


def route_run(
    run: Run,
    *,
    step: int | None = None,
    stream: str | None = None,
    position: str = "instruction_end",
    label: str = "task",
    left_out: str = "instruction",
    seed: int = 0,
) -> tuple[str, Routing]:
    """Route the instructions of a recorded run; see `route`.

    Args:
        run: the run; its prompts say the instruction of each row.
        step: by default the last one.
        stream: by default the last block.
        position: a state that has seen the instruction.
        label: column of the prompts to be routed to.
        left_out: column of the prompts whose values are left out whole: `family` asks about kinds
            of instruction that no router was fitted to.
        seed: of all draws.

    Returns:
        Where the states are from, in words, and what was found.

    Raises:
        BadInput: no such step, stream, position or column; or as `route` raises.
    """
    prompts = run.prompts
    prompts.check_labels("instruction", label, left_out, user="a router")
    if not run.steps:
        raise BadInput(f"{run.path} has no recorded steps; record some first")
    step = run.steps[-1] if step is None else step
    blocks = [name for name in run.shape(step)[0] if name.startswith("block.")]
    stream = stream or (blocks or list(run.shape(step)[0]))[-1]
    side = labeled_states(run, step, stream, position, label)
    names = tuple(strings_per_cluster(side, str(run.path)))
    means = string_means(side, names, str(run.path))
    rows = {str(string): row for row, string in reversed(list(enumerate(side.strings.tolist())))}
    first = [rows[string] for string in means.strings]
    found = route(
        means.points,
        [prompts.labels["instruction"][row] for row in first],
        np.array(names)[means.of],
        groups=np.array(prompts.labels[left_out])[first],
        seed=seed,
    )
    return f"{run.path}@{step}, {stream} at the {position_name(position)}", found
