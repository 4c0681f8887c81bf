"""Interventions on hidden states: edits at chosen streams and tokens, while the model runs."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations import stream_names
from nucleate.intervene._erasers import Eraser
from nucleate.intervene._gate import (
    Numbers,
    as_factor,
    as_numbers,
    as_rows,
    as_vectors,
    moved_to,
)
from nucleate.intervene._passes import Pass
from nucleate.intervene._places import (
    Selected,
    Stream,
    TokenPosition,
    Tokens,
    name_of,
    streams_at,
)
from nucleate.intervene._watch import intervening

# Gets a stream's states [row token width], the columns to be edited, and the pass; returns what
# replaces them [edit width].
_Change = Callable[[Tensor, Selected, Pass], Tensor]


@dataclass(frozen=True)
class Intervention:
    """A change of a model's computation, in force inside a `with` statement.

    Several work together: `with shift(...), erase(...):`; at the same place the outer one comes
    first. It can be entered again, and `logits_under` takes many. The model is left as it was,
    whatever happens inside.

    Attributes:
        norms: of a steering, the norms that it has led to; None of all else.
    """

    _open: Callable[[], AbstractContextManager[None]]
    norms: "Norms | None" = None
    _opened: list[AbstractContextManager[None]] = field(default_factory=list)

    def __enter__(self) -> "Intervention":
        context = self._open()
        context.__enter__()
        self._opened.append(context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.pop().__exit__(kind, error, trace)


def _edits(
    model: nn.Module,
    stream: Stream,
    position: TokenPosition,
    change: _Change,
    norms: "Norms | None" = None,
) -> Intervention:
    streams, tokens = streams_at(model, stream), Tokens(position)

    @contextmanager
    def opened() -> Iterator[None]:
        def see(index: int, hidden: Tensor, now: Pass) -> Tensor | None:
            if index not in streams:
                return None
            where = tokens.selected(now).to(hidden.device)
            if not len(where.row):
                return None
            changed = change(hidden, where, now).to(hidden)
            return hidden.index_put((where.row, where.column), changed)

        with intervening(model) as watch, watch.editing(see):
            yield

    return Intervention(opened, norms)


def edit(
    model: nn.Module,
    *,
    stream: Stream,
    position: TokenPosition,
    change: Callable[[Float[Tensor, "edit width"]], Float[Tensor, "edit width"]],
) -> Intervention:
    """Replace the states at some places by a function of them.

    Args:
        model: as for `shift`.
        stream: as for `shift`.
        position: as for `shift`.
        change: gets the states of all chosen tokens of a stream, by row and then by column, and
            returns what replaces them; it is called once a stream and pass.

    Raises:
        BadInput: as for `shift`.
    """

    def changed(hidden: Tensor, where: Selected, _: Pass) -> Tensor:
        states = hidden[where.row, where.column]
        made = change(states)
        if not isinstance(made, Tensor) or made.shape not in (states.shape, states.shape[-1:]):
            shape = f" of shape {list(made.shape)}" if isinstance(made, Tensor) else ""
            raise BadInput(
                f"change= returned a {type(made).__name__}{shape} for states of shape "
                f"{list(states.shape)}; return a tensor of that shape, or one vector for all"
            )
        return made

    return _edits(model, stream, position, changed)


def shift(
    model: nn.Module,
    *,
    stream: Stream,
    position: TokenPosition,
    by: Numbers,
) -> Intervention:
    """Add a vector to the states at some places, such as mu_B - mu_A.

    Args:
        model: any model that `capture` reads, in evaluation mode.
        stream: a name, several, or `Onwards(name)`: with all later ones.
        position: which tokens. 'first', 'last', 'all', or a number: counted in each row without
            padding, from 0, or from the end of the prompt if negative. A list: several tokens of
            every row. An array [row] or [row, many], such as `prompts.positions["last"]`: tokens of
            each row. `Onwards(...)`: with all later ones, generated ones too. All else is edited
            where the prompt is read, and kept by the cache.
        by: one vector [width], one a row [row width], or one a chosen token [row many width]. The
            logits can be differentiated with respect to it. A tensor, a numpy array or lists.

    Returns:
        an `Intervention`, to be used in a `with` statement.

    Raises:
        BadInput: no such stream or position; numbers that are not finite; when used: a model in
            training mode, a token that a row does not have, vectors that are not as wide as the
            states or not one per row.

    Notes: padding is what the attention mask says; without a mask, 'last' is the last
    column. `capture` packs its rows anew and passes no mask: inside it, choose 'all', or whole
    numbers that count from the front, and one vector for all rows. A cache that was filled outside
    does not say where its prompt ended: the first pass is taken for its last part.

    Examples:
        >>> import nucleate as nc
        >>> import torch
        >>> from nucleate.training import ModelConfig, build_model
        >>> config = ModelConfig(depth=2, width=8, heads=2)
        >>> model = build_model(config, vocab_size=20, max_length=16, seed=0).eval()
        >>> ids = torch.tensor([[3, 1, 4]])
        >>> before = model(ids).logits
        >>> with nc.shift(model, stream="block.1", position="last", by=torch.ones(8)):
        ...     after = model(ids).logits
        >>> bool((after[:, -1] != before[:, -1]).any()), bool((after[:, 0] == before[:, 0]).all())
        (True, True)
    """

    vectors = as_vectors(by, "the shift")

    def change(hidden: Tensor, where: Selected, now: Pass) -> Tensor:
        return hidden[where.row, where.column] + _values(vectors, hidden, where, now, "the shift")

    return _edits(model, stream, position, change)


def erase(
    model: nn.Module, *, stream: Stream, position: TokenPosition, eraser: Eraser
) -> Intervention:
    """Remove a subspace, or what tells classes apart, from the states at some places.

    Args:
        model: as for `shift`.
        stream: as for `shift`. An eraser that was fitted fits its own stream: give each stream one
            of its own.
        position: as for `shift`.
        eraser: `Eraser.leace(states, labels)`, `.means(states, labels)` or
            `.subspace(basis, mean)`; one for all rows, or one a row. (Mean ablation of whole states
            is a `patch` to the mean.)

    Raises:
        BadInput: as for `shift`.

    Notes:
        An eraser that is applied at another stream or position than it was fitted on gives a
        `FittedElsewhere` warning: states there have another mean and covariance, so that it changes
        what has nothing to do with the classes.
    """
    if not isinstance(eraser, Eraser):
        raise BadInput(
            f"eraser= is a {type(eraser).__name__}; make an eraser with Eraser.leace, .means or "
            ".subspace"
        )

    def change(hidden: Tensor, where: Selected, now: Pass) -> Tensor:
        states = hidden[where.row, where.column]
        if eraser.mean.ndim == 1:
            return eraser(states)
        rows = torch.arange(len(eraser.mean), device=eraser.mean.device)
        chosen = now.of_rows(rows, "the eraser")
        return eraser[chosen[where.row.to(chosen.device)]](states)

    made = _edits(model, stream, position, change)
    _warn_elsewhere(model, eraser, stream, position)
    return made


def patch(
    model: nn.Module,
    *,
    stream: Stream,
    position: TokenPosition,
    to: Numbers | None = None,
    rows: Int[Tensor, "row"] | Int[np.ndarray, "row"] | Sequence[int] | None = None,
    source: TokenPosition | None = None,
) -> Intervention:
    """Replace the states at some places by given ones, or by those of other rows of the batch.

    Args:
        model: as for `shift`.
        stream: as for `shift`.
        position: as for `shift`.
        to: the states: one [width], such as the mean (mean ablation); one a row [row width], such
            as `states.at(stream, position)[other]`; or one a chosen token [row many width].
        rows: instead: for each row, the row of the same batch whose states it gets, as they come to
            this stream (edited below, if `stream` names several).
        source: the tokens of the other rows; the same position if None.

    Raises:
        BadInput: not exactly one of `to` and `rows`; a row that is not in the batch, or has not as
            many such tokens; else as for `shift`.
    """
    if (to is None) == (rows is None):
        raise BadInput("patch needs either the states, to=, or whose they are, rows=; give one")
    origin = Tokens(position if source is None else source)
    given = None if to is None else as_vectors(to, "the patch")
    lenders = None if rows is None else as_rows(rows)

    def change(hidden: Tensor, where: Selected, now: Pass) -> Tensor:
        if given is not None:
            values = _values(given, hidden, where, now, "the patch")
            return values.expand(len(where.row), -1)
        assert lenders is not None
        other = _in_batch(lenders, now).to(hidden.device)[where.row]
        return hidden[other, _columns(origin, now, other, where.slot)]

    return _edits(model, stream, position, change)


def steer(
    model: nn.Module,
    *,
    stream: Stream,
    position: TokenPosition,
    by: Numbers,
    scale: float,
    data: Numbers,
) -> Intervention:
    """Shift by a vector times a scale, and keep account of how far that leads out of the data.

    Args:
        model: as for `shift`.
        stream: as for `shift`.
        position: as for `shift`.
        by: as for `shift`.
        scale: what the vector is multiplied with.
        data: states of the same place that the model has without steering.

    Returns:
        an `Intervention` whose `norms` hold the norms of the steered states beside the data's.

    Raises:
        BadInput: as for `shift`.
    """
    vectors = as_vectors(by, "the steering vector")
    factor = as_factor(scale)
    norms = Norms(as_numbers(data, "the data").detach().float().norm(dim=-1))

    def change(hidden: Tensor, where: Selected, now: Pass) -> Tensor:
        moved = _values(vectors, hidden, where, now, "the steering vector") * factor
        steered: Tensor = hidden[where.row, where.column] + moved
        norms.steered.append(steered.detach().float().norm(dim=-1).cpu())
        return steered

    return _edits(model, stream, position, change, norms)


@dataclass(frozen=True)
class Norms:
    """Norms of steered states, beside those of the data.

    Attributes:
        data: norms of the model's own states.
        steered: norms of the states that went on, one tensor a stream and pass.
    """

    data: Float[Tensor, "row"]
    steered: list[Float[Tensor, "edit"]] = field(default_factory=list)

    @property
    def range(self) -> tuple[float, float]:
        """The data's 1st and 99th percentiles."""
        low, high = torch.quantile(self.data, self.data.new_tensor([0.01, 0.99])).tolist()
        return low, high

    @property
    def beyond(self) -> float:
        """The share of the steered states whose norm is above the data's 99th percentile."""
        if not self.steered:
            raise BadInput("nothing has been steered yet; run the model inside the steering")
        return float((torch.cat(self.steered) > self.range[1]).float().mean())


class FittedElsewhere(UserWarning):
    """An eraser is applied at another place than the one that it was fitted on."""


def _warn_elsewhere(
    model: nn.Module, eraser: Eraser, stream: Stream, position: TokenPosition
) -> None:
    if eraser.fitted_at is None:
        return
    own_stream, own_position = eraser.fitted_at
    names = stream_names(model)
    there = [names[index] for index in sorted(streams_at(model, stream))]
    tokens = name_of(position)
    same_stream = there == [own_stream or there[0]]
    if same_stream and (own_position is None or tokens is None or tokens == own_position):
        return
    fitted = ", ".join(each for each in (own_stream, own_position) if each) or "one stream"
    to = f" to {there[-1]}" if len(there) > 1 else ""
    warnings.warn(
        f"the eraser was fitted on states at {fitted} and is applied at {there[0]}{to}, "
        f"{tokens or 'tokens as given'}; states there have another mean and covariance, so that it "
        "changes what has nothing to do with the classes: fit an eraser at each place",
        FittedElsewhere,
        stacklevel=3,
    )


def _values(given: Tensor, hidden: Tensor, where: Selected, now: Pass, what: str) -> Tensor:
    """The given vectors of the edited tokens: [width], or [edit width]."""
    if given.shape[-1] != hidden.shape[-1] or given.ndim > 3:
        raise BadInput(
            f"{what} is of shape {tuple(given.shape)}, the states are {hidden.shape[-1]} wide; "
            "pass vectors of that width: [width], [row, width] or [row, many, width]"
        )
    given = moved_to(given, hidden)
    if given.ndim == 1:
        return given
    given = now.of_rows(given, what)
    if given.ndim == 2:
        return given[where.row]
    if int(where.slot.max()) >= given.shape[1]:
        raise BadInput(
            f"{what} has {given.shape[1]} vectors a row, {int(where.slot.max()) + 1} tokens are "
            "chosen; give one for each"
        )
    return given[where.row, where.slot]


def _in_batch(rows: Tensor, now: Pass) -> Tensor:
    """For each row of the pass, which row of the pass is its source."""
    wanted = now.of_rows(rows, "rows").cpu()
    count = len(now.tokens)
    present = torch.arange(count) // now.copies if now.rows is None else now.rows.cpu()
    same = wanted[:, None] == present[None]
    if not same.any(1).all():
        missing = int(wanted[int((~same.any(1)).nonzero()[0])])
        raise BadInput(
            f"row {missing}, whose states are wanted, is not in the batch of "
            f"{count // now.copies} rows; capture its states and give them as to="
        )
    # Of several copies, such as beams, the one in the same place.
    return same.int().argmax(1) + torch.arange(count) % now.copies


def _columns(tokens: Tokens, now: Pass, row: Tensor, slot: Tensor) -> Tensor:
    """Where in the pass the wanted ones of each row's chosen tokens are."""
    where = tokens.selected(now).to(row.device)
    many = int(torch.cat([where.slot, slot]).max()) + 1
    table = torch.full((len(now.tokens), many), -1, device=row.device)
    table[where.row, where.slot] = where.column
    columns: Tensor = table[row, slot]
    if (columns < 0).any():
        lacking = int(row[int((columns < 0).nonzero()[0])])
        raise BadInput(
            f"row {lacking} has fewer chosen tokens than a row that gets its states; choose as "
            "many in both"
        )
    return columns
