"""What a model does under a steering: the token it answers with, or a text that is checked."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations import device_of, evaluating, text_config
from nucleate.intervene._interventions import Intervention, steer
from nucleate.intervene._logits import logits_under
from nucleate.intervene._places import Onwards
from nucleate.prompts import PromptSet

_BATCH = 64


@dataclass(frozen=True)
class Push:
    """A vector for every row, added at one place.

    Attributes:
        stream, position: the place, by name.
        by: of each row.
        dose: what it is multiplied with.
        natural: states that the model has there without steering.
    """

    stream: str
    position: str
    by: Float[Tensor, "row width"]
    dose: float
    natural: Float[Tensor, "natural width"]


@dataclass(frozen=True)
class Done:
    """What the model did with some rows.

    Attributes:
        shows: 1 where it behaved as class B does.
        said: what it said, to be compared: a token, or a text.
        loss: what the unsteered model loses on the text, in nats per token; NaN of tokens.
        beyond: share of steered states longer than 99 % of the natural ones; 0 without steering.
    """

    shows: Float[np.ndarray, "row"]
    said: np.ndarray
    loss: Float[np.ndarray, "row"]
    beyond: float


@dataclass(frozen=True)
class AnswerTokens:
    """Class B's behavior is to answer with one of some tokens."""

    model: nn.Module
    tokens: Collection[int]

    def under(
        self, prompts: PromptSet, rows: Int[np.ndarray, "row"], pushes: Sequence[Push | None]
    ) -> list[Done]:
        """What is done with some rows of a prompt set, under each push (None: without one).

        Every row's likeliest next token is its answer.
        """
        some = prompts.take(rows)
        applied = [
            [] if push is None else [_steering(self.model, push, some.positions[push.position])]
            for push in pushes
        ]
        likeliest = logits_under(self.model, some, applied).argmax(-1).cpu().numpy()
        lost = np.full(len(rows), np.nan)
        return [
            Done(np.isin(said, list(self.tokens)).astype(float), said, lost, _beyond(steered))
            for said, steered in zip(likeliest, applied, strict=True)
        ]


@dataclass(frozen=True)
class Texts:
    """Class B's behavior is a generated text in which a pattern is found.

    Attributes:
        model: generates greedily.
        pattern: searched in the text behind the prompt.
        tokens: how many are generated at most.
        decode: makes tokens a text.
    """

    model: nn.Module
    pattern: re.Pattern[str]
    tokens: int
    decode: Callable[[list[int]], str]

    def under(
        self, prompts: PromptSet, rows: Int[np.ndarray, "row"], pushes: Sequence[Push | None]
    ) -> list[Done]:
        """As of `AnswerTokens`; the edited token and all that follow are steered."""
        self._check_room(prompts, rows)
        return [self._one(prompts, rows, push) for push in pushes]

    def _one(self, prompts: PromptSet, rows: np.ndarray, push: Push | None) -> Done:
        said = np.full(len(rows), "", dtype=object)
        lost, share, count = np.full(len(rows), np.nan), 0.0, 0
        for batch in _batches(prompts.prompt_lengths[rows]):
            with ExitStack() as stack:
                steered = []
                if push is not None:
                    own = replace(push, by=push.by[torch.as_tensor(batch)])
                    at = Onwards(prompts.positions[push.position][rows[batch]])
                    steered.append(stack.enter_context(_steering(self.model, own, at)))
                whole, start, written = self._generate(prompts, rows[batch])
            lost[batch] = self._loss(whole, prompts.prompt_lengths[rows[batch]], start, written)
            share, count = share + _beyond(steered) * len(batch), count + len(batch)
            for row, ids, kept in zip(batch, whole[:, start:], written, strict=True):
                said[row] = self.decode(ids[kept].tolist())
        shows = np.array([self.pattern.search(text) is not None for text in said], dtype=float)
        return Done(shows, said, lost, share / max(count, 1))

    def _generate(self, prompts: PromptSet, rows: np.ndarray) -> tuple[Tensor, int, Tensor]:
        """Prompts with what follows, how long prompts are, which of what follows is written."""
        lengths = prompts.prompt_lengths[rows]
        longest, device = int(lengths.max()), device_of(self.model)
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        for line, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            ids[line, longest - length :] = prompts.ids[row, :length]
        mask = torch.arange(longest) >= longest - torch.as_tensor(lengths)[:, None]
        model: Any = self.model
        ends = _ends(model)
        whole = model.generate(
            input_ids=torch.from_numpy(ids).to(device), attention_mask=mask.long().to(device),
            max_new_tokens=self.tokens, do_sample=False, num_beams=1,
            pad_token_id=ends[0] if ends else 0,
        )  # fmt: skip
        ended = torch.isin(whole[:, longest:], torch.tensor(ends, device=whole.device))
        return whole, longest, ended.cumsum(1) == 0

    def _loss(
        self, whole: Tensor, lengths: np.ndarray, start: int, written: Bool[Tensor, "row new"]
    ) -> Float[np.ndarray, "row"]:
        columns = torch.arange(whole.shape[1], device=whole.device)
        mask = columns >= start - torch.as_tensor(lengths, device=whole.device)[:, None]
        places = (mask.cumsum(1) - 1).clamp(min=0)
        model: Any = self.model
        with evaluating(self.model):
            logits = model(whole, attention_mask=mask.long(), position_ids=places).logits
        likely = logits[:, start - 1 : -1].float().log_softmax(-1)
        each = -likely.gather(-1, whole[:, start:, None])[..., 0]
        # A text that ends at once has no loss.
        found = (each * written).sum(1) / torch.where(written.any(1), written.sum(1), torch.nan)
        values: np.ndarray = found.cpu().double().numpy()
        return values

    def _check_room(self, prompts: PromptSet, rows: np.ndarray) -> None:
        room = getattr(text_config(self.model), "max_position_embeddings", None)
        longest = int(prompts.prompt_lengths[rows].max())
        if room is not None and longest + self.tokens > room:
            raise BadInput(
                f"prompts of up to {longest} tokens with {self.tokens} generated ones exceed the "
                f"model's {room}; leave longer prompts out, or generate fewer"
            )


Behavior = AnswerTokens | Texts
"""A way to tell whether a model behaves as class B does."""


def _steering(model: nn.Module, push: Push, position: Any) -> Intervention:
    return steer(
        model, stream=push.stream, position=position, by=push.by, scale=push.dose,
        data=push.natural,
    )  # fmt: skip


def _beyond(steered: Sequence[Intervention]) -> float:
    return float(np.mean([one.norms.beyond for one in steered if one.norms])) if steered else 0.0


def _batches(lengths: Int[np.ndarray, "row"]) -> Iterator[Int[np.ndarray, "some"]]:
    """Rows of about one length together."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]


def _ends(model: Any) -> list[int]:
    """The tokens with which the model ends a text."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
