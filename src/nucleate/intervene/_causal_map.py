"""The causal map: at every place, does the model use the task information that is there?

Two questions a place, each with controls that could have said no:

- *sufficient*: add mu_B - mu_A to the states of task A's rows. Does the model now do task B on
  the same input? Controls: chance, a third task's answer, the mean of all tasks, a random
  direction and means under permuted tasks of the same norm, another input of the same task.
- *necessary*: remove every linear trace of the task. Is accuracy lost? Controls: a random
  subspace of the same rank, a random displacement of the same norm, row by row.

Beside them: the whole state of a row of task B put in, and only its part within the span of the
task means; removal here and at all streams above. Means come from other inputs than those that are
tested, so that a place that merely carries the answer to one input cannot pass. Removal works
about the mean of the row's own input: see `_controls`.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.activations import evaluating, read
from nucleate.intervene._answers import Asking, askings, by_likelihood
from nucleate.intervene._cast import Cast, cast
from nucleate.intervene._causal_table import PlaceScores, Resampled, place_table
from nucleate.intervene._controls import EDITS, Editor
from nucleate.intervene._edited_answers import FILE, EditedAnswers
from nucleate.intervene._engine import (
    WAYS,
    Tail,
    tails,
    way_of,
)
from nucleate.intervene._outlook import remarks, time_needed
from nucleate.intervene._presence import presence
from nucleate.prompts import PromptSet
from nucleate.runs import write_json, write_whole
from nucleate.tasks import canonical_hash

_TABLE, _EDITS, _ABOUT = "causal_map.csv", "causal_edits.csv", "causal_map.json"
_TEXTS = ("stream", "position", "edit", "not_asked")
_log = logging.getLogger("nucleate")


@dataclass(frozen=True)
class CausalMap:
    """What interventions do at every place, and what the place is called for it.

    Attributes:
        table: one row per (stream, position). `rows`, `strings`, `shift_strings` and
            `erase_strings` (instruction strings of the rows that decide about either question;
            a row with an empty instruction counts by its prompt), `accuracy` without edits,
            `task_blind` (the best accuracy without knowing the task); then shares of the rows that
            give task B's answer: `shift` with its rivals `chance`, `wrong_task` (a third task's
            answer instead), `mean_shift`, `random_direction`, `shuffled`, `other_input`; `patch`,
            `patch_subspace`, and `agreement`, how often both do the same; then accuracy lost by
            `erase`, `random_erase`, `displaced`, `ablate`, `erase_onward`, `random_onward`,
            `displaced_onward`. `shift_beyond`: share of shifted states longer than 99 % of those
            that occur; `shift_kl`, `erase_kl`: nats from the clean prediction. `decodable`: how
            often the nearest task mean of other strings is the own task's, `decodable_bar`: the
            95 % point of its maximum over places under permuted tasks. `*_low` and `*_high` bound
            95 % of the bootstrap over instruction strings; those of `shift_simultaneous` and
            `erase_simultaneous` hold at all places at once, and so at a place that was chosen for
            its effect; those of `shift_excess`, `erase_excess`, `ablate_excess` and `patch_excess`
            (the effect less its largest control) are corrected for the number of places and
            questions. `erase_excess` and `ablate_excess` are of the rows whose input other tasks
            have too: where they have not, the task cannot be told from the input. NaN: not
            defined for these rows. `not_asked`: the questions that these rows do not allow, with
            the reason; empty where all are asked. Whether a place is *used* is judged by
            `nucleate.findings`.
        edits: one row per (stream, position, edit): `redirected` (B's answer), `third`,
            `prefers_target` (B's answer likelier than A's), `accuracy`, `flip` (likeliest token
            changed), `kl`, `beyond`, with intervals. What the edits are: `EDITS`.
        about: how the map was made: `way` of running on, `scored`, `seed`, `seconds`,
            `settings` (rows, scored, seed) and `settings_hash`, `remarks`: sentences about what
            the rows did not allow.

    Examples:
        A map is made by `causal_map`, kept in a folder and read from there:

        >>> import tempfile
        >>> from pathlib import Path
        >>> import nucleate as nc
        >>> from nucleate.tasks import synthetic, train_tokenizer
        >>> from nucleate.training import ModelConfig, build_model
        >>> tasks = synthetic(tasks=3, families=2, strings=4, inputs=3, seed=0)
        >>> encoder = nc.Encoder.for_taskset(train_tokenizer(tasks), tasks)
        >>> prompts = nc.PromptSet.from_taskset(tasks, encoder, rows=16, seed=0)
        >>> config = ModelConfig(depth=1, width=8, heads=2)
        >>> model = build_model(config, vocab_size=encoder.vocab_size, max_length=64, seed=0).eval()
        >>> found = nc.causal_map(model, prompts)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found.save(Path(folder))
        ...     again = nc.CausalMap.load(Path(folder))
        >>> sorted(set(again.table["stream"]))
        ['block.0', 'embed', 'final_norm']
    """

    table: pd.DataFrame
    edits: pd.DataFrame
    about: Mapping[str, object] = field(default_factory=dict)
    _answers: EditedAnswers | Path | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        """Sizes in one line; the numbers are in `table` and `edits`."""
        if self.table.empty:
            return "CausalMap(empty)"
        best = self.best("shift")
        most = "" if best is None else (
            f"; largest shift {best.value:.2f} at {best.stream}, {best.position}"
        )  # fmt: skip
        return f"CausalMap({len(self.table)} places, {self.table['rows'].iloc[0]} rows{most})"

    def _repr_html_(self) -> str:
        """For notebooks: the main effects at every place."""
        names = ["position", "stream", "shift", "chance", "erase", "random_erase", "displaced"]
        body = self.table[names].to_html(
            index=False, float_format="{:.2f}".format, na_rep="", border=0
        )
        return f"<p>{repr(self).replace('<', '&lt;')}</p>{body}"

    @cached_property
    def answers(self) -> EditedAnswers:
        """The answer of every tested row under every edit; of a saved map, read when asked for.

        Raises:
            BadInput: the map was saved without them, or their file is damaged.
        """
        if self._answers is None:
            raise BadInput(
                f"the causal map was saved without {FILE}, the answers to its edits: make it again"
            )
        if isinstance(self._answers, Path):
            return EditedAnswers.load(self._answers)
        return self._answers

    def best(self, effect: Literal["shift", "erase"] = "shift") -> "Best | None":
        """The place where most answers are redirected, or where erasing costs most.

        Args:
            effect: `shift`: the largest share of redirected answers. `erase`: the largest cost
                beyond a random subspace and a random displacement.

        Returns:
            The place with its effect, whose interval takes into account that it is the largest of
            many; None where no place has a value.
        """
        size = self.table[effect].to_numpy(dtype=float)
        if effect == "erase":
            size = size - self.table[["random_erase", "displaced"]].to_numpy(dtype=float).max(1)
        if np.isnan(size).all():
            return None
        row = self.table.iloc[int(np.nanargmax(size))]
        low, high = (float(row[f"{effect}_simultaneous_{end}"]) for end in ("low", "high"))
        return Best(str(row["stream"]), str(row["position"]), float(row[effect]), low, high)

    @property
    def strongest(self) -> tuple[str, str] | None:
        """Stream and position of the largest shift; None where no shift could be tried."""
        found = self.best("shift")
        return None if found is None else (found.stream, found.position)

    def save(self, folder: Path | str) -> None:
        """Write the map, each file renamed whole.

        `causal_map.csv`, `causal_edits.csv`, `causal_map.json`, and `causal_answers.safetensors`
        where the answers are known: 3 bytes per tested row, edit and place (5 where token ids
        exceed 65,535).
        """
        folder = as_path("folder", folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self._answers is None:
            (folder / FILE).unlink(missing_ok=True)
        else:
            self.answers.save(folder)
        write_whole(folder / _TABLE, self.table.to_csv(index=False).encode())
        write_whole(folder / _EDITS, self.edits.to_csv(index=False).encode())
        write_json(folder / _ABOUT, {"about": dict(self.about)})

    @classmethod
    def load(cls, folder: Path | str) -> "CausalMap":
        """Read what `save` wrote.

        Raises:
            BadInput: a file is missing or damaged.
        """
        folder = as_path("folder", folder)
        try:
            table, edits = (_read(folder / name) for name in (_TABLE, _EDITS))
            said = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            answers = folder / FILE
            return cls(table, edits, said["about"], answers if answers.exists() else None)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(
                f"the causal map in {folder} cannot be read ({error}): make it again"
            ) from error


@dataclass(frozen=True)
class Best:
    """The place of the largest effect.

    Attributes:
        stream, position: where.
        value: the effect there; as the largest of many estimates it tends to be too large.
        low, high: 95 % interval of the effect at this place. It holds at all places at once
            (by the bootstrapped maximum), and therefore at whatever place is chosen.
    """

    stream: str
    position: str
    value: float
    low: float
    high: float


def causal_map(
    model: nn.Module,
    prompts: PromptSet,
    *,
    rows: int | None = None,
    scored: Literal["greedy", "likelihood"] = "greedy",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = _log.warning,
) -> CausalMap:
    """Every edit with its controls at every (stream, position) of the prompt set.

    Args:
        model: a trained causal LM in evaluation mode; left as it was.
        prompts: rows with answers and the labels `task`, `instruction` and `input`; where there is
            a label `split`, rows of trained instructions and inputs are used. Task B's answer to an
            input is that of the prompt set's rows of task B with that input. Where all rows have
            the same input or the same instruction, as texts with a class each, they count as rows
            with one input, and folds are of instruction strings.
        rows: how many rows are tested at most, drawn at random; all if None. Means and subspaces
            are made of all.
        scored: `greedy`: an answer is what the model would say, word by word. `likelihood`: the
            likeliest of the own, task B's and a third task's answer, whatever else it would say;
            for models that were not trained on these tasks. Rows whose input no other task answers
            differently are left out: their own answer has no rival.
        seed: of the rows, target tasks, random directions and subspaces, and resamples.
        progress: called with the places done and their number.
        say: gets, before the work, a sentence about each question that these rows do not allow,
            each position that is left out (a mean over tokens, or within the answer), too few
            instruction strings for a verdict, and the time where it is above a minute.

    Raises:
        BadInput: a model in training mode; fewer than two tasks; no position that can be edited;
            a prompt set without the labels or answers; by likelihood, no row with a rival answer.

    Notes:
        A subspace of rank T - 1 is a large part of a narrow model, so that a random one of that
        rank costs something too. A place may matter only together with others (`erase_onward`
        tells). With few strings the intervals are too narrow, and no verdict rests on them.
    """
    began = time.perf_counter()
    prompts, skipped = askable(model, prompts)
    rng = np.random.default_rng(seed)
    roles = cast(prompts, rows, rng, rivals=scored == "likelihood")
    states = read(model, prompts, scores=False).states
    roles = replace(roles, erasable=roles.tasks <= states.values.shape[-1])
    said = remarks(roles, skipped)
    for remark in said:
        say(remark)
    study = _Study(model, prompts, roles, states.values, states.streams, seed, progress, say)
    study.likeliest = scored == "likelihood"
    places = [place for position in range(len(states.positions)) for place in study.at(position)]
    table, edits = place_table(places, roles, Resampled(roles.string[roles.tested], rng))
    shares, bar = presence(states.values, roles, seed)
    table["decodable"], table["decodable_bar"] = shares.T.flatten(), bar
    seconds = round(time.perf_counter() - began, 3)
    settings = {"rows": rows, "scored": scored, "seed": seed}
    about = {
        "way": study.ways, "scored": scored, "seed": seed, "seconds": seconds,
        "settings": settings, "settings_hash": canonical_hash(settings), "remarks": said,
    }  # fmt: skip
    return CausalMap(table, edits, about, EditedAnswers.of(places, roles))


def askable(model: nn.Module, prompts: PromptSet) -> tuple[PromptSet, dict[str, str]]:
    """The prompt set at the positions whose states can be edited, and why not at the others.

    Raises:
        BadInput: a model that draws at random; no such position.
    """
    if model.training:
        raise BadInput(
            "the model is in training mode, in which dropout changes its answers; call "
            "model.eval() before causal_map"
        )
    skipped = {}
    for name, where in prompts.positions.items():
        if where.ndim != 1:
            skipped[name] = "it is a mean over tokens, and only a token can be changed"
        elif (where >= prompts.prompt_lengths).any():
            skipped[name] = "it is within the answer of some rows"
    kept = {name: at for name, at in prompts.positions.items() if name not in skipped}
    if not kept:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in skipped.items())
        raise BadInput(f"no position can be edited ({reasons}); name a token, such as last")
    return (replace(prompts, positions=kept) if skipped else prompts), skipped


class _Study:
    """Runs the tested rows under all edits, position by position."""

    def __init__(
        self,
        model: nn.Module,
        prompts: PromptSet,
        roles: Cast,
        states: Float[Tensor, "stream position all width"],
        streams: tuple[str, ...],
        seed: int,
        progress: Callable[[int, int], None],
        say: Callable[[str], None],
    ) -> None:
        self._say: Callable[[str], None] | None = say
        self.model, self.prompts, self.roles = model, prompts, roles
        self.states, self.streams, self.seed = states, streams, seed
        self.asked = askings(prompts, roles.tested, roles.wanted)
        self.ways: dict[str, str] = {}
        self.likeliest = False
        self._progress, self._run, self._told = progress, 0, 0

    def at(self, position: int) -> list[PlaceScores]:
        """All places of one position, from the embedding upwards."""
        name = list(self.prompts.positions)[position]
        token = self.prompts.positions[name][self.roles.tested]
        editor = Editor(self.states[:, position], self.roles, self.seed + position)
        edited = [editor.edited(stream) for stream in range(len(self.streams))]
        self.ways[name] = way_of(self.model, self.asked[0].text, token)
        scores: list[dict[str, np.ndarray]] = [{} for _ in self.streams]
        clean: dict[str, np.ndarray] = {}
        with evaluating(self.model):
            for asking in self.asked:
                batches = tails(
                    self.model, asking.text, token, way=WAYS[self.ways[name]], variants=len(EDITS)
                )
                for tail in batches:
                    self._ask(tail, asking, editor, edited, scores, clean)
        if self.likeliest:
            for found in (clean, *scores):
                by_likelihood(found, self.roles.wanted)
        alone = {key: values[:, 0] for key, values in clean.items()}
        return [
            PlaceScores(stream, name, scores[k], alone, editor.beyond(edited[k], k))
            for k, stream in enumerate(self.streams)
        ]

    def _ask(
        self,
        tail: Tail,
        asking: Asking,
        editor: Editor,
        edited: list[Tensor],
        scores: list[dict[str, np.ndarray]],
        clean: dict[str, np.ndarray],
    ) -> None:
        """One batch of rows at every stream."""
        began, rows = time.perf_counter(), torch.as_tensor(tail.rows)
        self._keep(clean, asking.score(tail.rows, tail.clean[:, None], tail.clean), tail.rows)
        for stream in range(len(self.streams)):

            def change(index: int, states: Tensor, first: int = stream) -> Tensor:
                if index == first:
                    return edited[first][rows]
                return editor.onward(index, states, rows)

            logits = tail.run(stream, change)
            found = asking.score(tail.rows, logits, tail.clean)
            self._keep(scores[stream], found, tail.rows)
            self._tick(len(tail.rows))
        self._tell_time(time.perf_counter() - began, tail.tokens)

    def _tell_time(self, seconds: float, tokens: int) -> None:
        """Say once how long all of it takes, if so many tokens take so many seconds."""
        say, self._say = self._say, None
        if say is None:
            return
        lengths = sum(asking.text.lengths.sum() for asking in self.asked)
        before = sum(
            token[self.roles.tested].sum() * len(self.asked)
            for token in self.prompts.positions.values()
            if WAYS[next(iter(self.ways.values()))].cached
        )
        everything = lengths * len(self.prompts.positions) - before
        said = time_needed(seconds * float(everything) / tokens)
        if said is not None:
            say(said)

    def _tick(self, rows: int) -> None:
        """Tell each number of places once: they are done side by side, batch by batch."""
        self._run += rows
        places = len(self.streams) * len(self.prompts.positions)
        done = self._run // (len(self.roles.tested) * len(self.asked))
        while self._told < done:
            self._told += 1
            self._progress(self._told, places)

    def _keep(
        self, into: dict[str, np.ndarray], found: Mapping[str, np.ndarray], rows: np.ndarray
    ) -> None:
        for key, values in found.items():
            if key not in into:
                into[key] = np.full((len(self.roles.tested), values.shape[1]), np.nan)
            into[key][rows] = values


def _read(path: Path) -> pd.DataFrame:
    header = pd.read_csv(path, nrows=0).columns
    numbers = {name: [""] for name in header if name not in _TEXTS}
    texts = {name: str for name in header if name in _TEXTS}
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=numbers)
