"""A regularizer at work: the loss of a batch's states, what it has learned, and its twin."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations import stream_names, tapped, unwrapped
from nucleate.runs import index_of
from nucleate.training.regularizers._losses import (
    centre_loss,
    moved_centres,
    scatter_share,
    supervised_contrastive,
    unit_variance,
)
from nucleate.training.regularizers._regularizer import Regularizer

# Answers, in nats per token, when the vectors [kept width] of donors stand in the bare prompts of
# the rows `kept`.
Answers = Callable[[Float[Tensor, "kept width"], Int[Tensor, "kept"]], Float[Tensor, ""]]
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Rows:
    """What one training step shows at the place.

    Attributes:
        states: with their graph, as the model computed them.
        tasks: the task of each row's instruction.
        shuffled: the same after tasks were permuted over instruction strings; for a twin.
        answers: the answers' loss without instructions; for `prompting`.
    """

    states: Float[Tensor, "row width"]
    tasks: Int[Tensor, "row"]
    shuffled: Int[Tensor, "row"] | None = None
    answers: Answers | None = None


class Penalty(nn.Module):
    """The loss of a regularizer. What it learns on the way is in its `state_dict`.

    A twin's loss is that of the permuted tasks, times the norm of the true loss's gradient over
    its own, both on the same batch and with respect to all that is trained: at every step it pulls
    as hard as its original would, in directions that have nothing to do with tasks. (With respect
    to the states alone it would not: what rows of one text family have in common adds up on its
    way down to the weights, what is drawn at random cancels, to 0.2-0.7 of the original's norm.)
    For this it learns the original's centers or classifier too.

    Args:
        regularizer: which loss.
        trained: the model's trained parameters.
        tasks: how many there are.
        width: of the states.
    """

    def __init__(
        self, regularizer: Regularizer, trained: Iterable[Tensor], *, tasks: int, width: int
    ) -> None:
        super().__init__()
        self.regularizer = regularizer
        self.true = _term(regularizer, tasks, width)
        self.twin = _term(regularizer, tasks, width) if regularizer.shuffled else None
        self.scale = torch.ones(())
        """What the newest loss of the twin was multiplied by."""
        self._trained = [parameter for parameter in trained if parameter.requires_grad]
        self._looked = False

    def forward(self, rows: Rows) -> Float[Tensor, ""]:
        """The loss of one batch, without its weight.

        Raises:
            BadInput: the states do not vary, carry no gradient, or a twin lacks permuted tasks.
        """
        self._look(rows)
        true: Tensor = self.true(rows, rows.tasks)
        if self.twin is None:
            return true
        assert rows.shuffled is not None
        twin: Tensor = self.twin(rows, rows.shuffled)
        ours, theirs = (_gradient_norm(loss, self._trained) for loss in (true, twin))
        self.scale = torch.where(theirs > 0, ours / theirs.where(theirs > 0, 1), 0)
        return self.scale * twin

    def _look(self, rows: Rows) -> None:
        """What would make the loss mean nothing, looked for at the first batch of a sitting."""
        if self._looked:
            return
        self._looked = True
        kind = self.regularizer.kind
        if not rows.states.requires_grad:
            raise BadInput(
                f"the states that {kind} is to work on carry no gradient; train some weight below "
                "them, and use no re-entrant gradient checkpointing"
            )
        if not unit_variance(rows.states.detach()).any():
            raise BadInput(
                f"the states that {kind} is to work on are the same in all {len(rows.states)} rows "
                "of the batch; choose a later stream or position, or a larger batch"
            )
        if self.twin is not None and rows.shuffled is None:
            raise BadInput("a shuffled twin needs tasks permuted over strings; give them as well")


def shuffle_over_strings(
    tasks: Sequence[Hashable], strings: Sequence[Hashable], *, seed: int
) -> list[Hashable]:
    """Permute tasks over instruction strings: all rows of a string get one string's task.

    Args:
        tasks: the task of each row.
        strings: the instruction of each row. One that belongs to two tasks counts as two.
        seed: decides the permutation.

    Returns:
        A task for each row; as many strings have a task as before.
    """
    units = list(dict.fromkeys(zip(tasks, strings, strict=True)))
    order = np.random.default_rng(seed).permutation(len(units))
    given = {unit: units[other][0] for unit, other in zip(units, order, strict=True)}
    return [given[unit] for unit in zip(tasks, strings, strict=True)]


@contextmanager
def watched(model: nn.Module, stream: str) -> Iterator[list[Tensor]]:
    """Keep the states [row token width] of one stream, with their graph, as a pass computes them.

    Only the tensor itself is kept: an operation in here would be part of a checkpointed block, and
    missing when that is computed again.
    """
    wanted = index_of(stream, stream_names(model), "stream")
    seen: list[Tensor] = []

    def see(index: int, hidden: Tensor) -> None:
        if index == wanted:
            seen.append(hidden)

    with tapped(model, see):
        yield seen


def width_of(model: nn.Module) -> int:
    """How wide the states of a model of transformers are."""
    return int(unwrapped(model).config.get_text_config().hidden_size)  # type: ignore[union-attr,operator]


def donors(
    labels: Int[Tensor, "row"], tasks: Int[Tensor, "row"]
) -> tuple[Int[Tensor, "row"], Bool[Tensor, "row"]]:
    """For each row the first one, from itself onwards and round, whose label is the row's task.

    Returns:
        The donors, and whether there is one. Under the true labels each row is its own.
    """
    place = torch.arange(len(tasks), device=tasks.device)
    ahead = (place - place[:, None]) % len(tasks)
    fits = labels == tasks[:, None]
    return ahead.masked_fill(~fits, len(tasks)).argmin(1), fits.any(1)


class _Plain(nn.Module):
    """A loss of states and labels that learns nothing."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self._loss = loss

    def forward(self, rows: Rows, labels: Tensor) -> Tensor:
        return self._loss(unit_variance(rows.states), labels)


class _Centres(nn.Module):
    """Center loss; the centers follow the batches."""

    centers: Tensor

    def __init__(self, tasks: int, width: int, rate: float) -> None:
        super().__init__()
        self.register_buffer("centers", torch.zeros(tasks, width))
        self._rate = rate

    def forward(self, rows: Rows, labels: Tensor) -> Tensor:
        states = unit_variance(rows.states)
        loss = centre_loss(states, labels, self.centers)
        self.centers = moved_centres(states.detach(), labels, self.centers, self._rate)
        return loss


class _Adversary(nn.Module):
    """Gradient reversal (Ganin et al. 2016): a linear classifier learns the task from the states.

    The states get the gradient of its cross-entropy with the sign turned. A reversal layer does
    that within one backward pass of classifier and model; here the classifier takes its own step
    after the loss, with the same two gradients, so that its learning depends neither on the weight
    nor on the optimizer.

    Notes:
        The classifier may lag behind the states; and another direction than the classifier's, or a
        curved boundary, may still separate the tasks.
    """

    weight: Tensor
    speed: Tensor

    def __init__(self, tasks: int, width: int, rate: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(tasks, width + 1))
        self.register_buffer("speed", torch.zeros(tasks, width + 1))
        self._rate = rate

    def forward(self, rows: Rows, labels: Tensor) -> Tensor:
        states = unit_variance(rows.states)
        # Unit variance a dimension, and a constant for the bias.
        inputs = nn.functional.pad(states * states.shape[1] ** 0.5, (0, 1), value=1.0)
        logits = inputs @ self.weight.T
        loss = nn.functional.cross_entropy(logits, labels, reduction="none")
        with torch.no_grad():
            error = logits.softmax(1) - nn.functional.one_hot(labels, len(self.weight))
            self.speed = _MOMENTUM * self.speed + error.T @ inputs / len(inputs)
            self.weight = self.weight - self._rate * self.speed
        return -loss.clamp(max=math.log(len(self.weight))).mean()


class _Prompting(nn.Module):
    """Task-vector prompting loss: the answers' loss where a state stands in for the instruction.

    Yang et al. 2025 (arXiv 2501.09240) take the state at a chosen layer behind the examples of an
    in-context prompt, put it in its place into a prompt of the query alone, and add the loss of
    that answer to the training loss. Here the instruction stands where their examples do: the row
    is read once more from the position on, so without the words before it, and the state of the
    whole row's pass takes the place of the first token's at that stream. Gradients reach both
    passes. No label is needed. For the twin, a row gets the state of another one, whose
    permuted task is the row's own.
    """

    def forward(self, rows: Rows, labels: Tensor) -> Tensor:
        assert rows.answers is not None
        donor, found = donors(labels, rows.tasks)
        kept = found.nonzero()[:, 0]
        if not len(kept):
            return rows.states.sum() * 0
        return rows.answers(rows.states[donor[kept]], kept)


def _term(regularizer: Regularizer, tasks: int, width: int) -> nn.Module:
    kind = regularizer.kind
    if kind == "center":
        return _Centres(tasks, width, regularizer.centre_rate)
    if kind == "reversal":
        return _Adversary(tasks, width, regularizer.classifier_rate)
    if kind == "prompting":
        return _Prompting()
    if kind == "contrastive":
        return _Plain(partial(supervised_contrastive, temperature=regularizer.temperature))
    sign = 1 if kind == "scatter_penalty" else -1
    return _Plain(lambda states, labels: sign * scatter_share(states, labels))


def _gradient_norm(loss: Tensor, trained: Sequence[Tensor]) -> Tensor:
    """The norm over all trained parameters; the graph stays for the step's own backward pass."""
    gradients = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
    squares = [gradient.float().square().sum() for gradient in gradients if gradient is not None]
    return torch.stack(squares).sum().sqrt()
