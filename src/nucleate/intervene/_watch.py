"""Edits in force: one watch a model, which knows its passes and changes its states."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from nucleate._core.errors import BadInput
from nucleate.activations import anatomy_of, tapped, unwrapped
from nucleate.intervene._generation import noticing
from nucleate.intervene._passes import Pass, Passes

# Gets a stream's index, its states [row token width] and the pass; returns what replaces them.
Change = Callable[[int, Tensor, Pass], Tensor | None]

_lock = threading.RLock()
_numbers = itertools.count()
_paused: ContextVar[bool] = ContextVar("paused", default=False)


class Watch:
    """All edits of one model that are in force, in the order in which they were entered.

    Args:
        model: a decoder, wrapped or not.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._passes = model, Passes()
        self._edits: dict[int, Change] = {}
        self._open = 0
        self._hooks = ExitStack()
        # States before all edits -> after them. What nobody keeps leaves of itself.
        self._replaced = WeakIdKeyDictionary()

    def __deepcopy__(self, memo: Any) -> "Watch":
        raise BadInput(
            f"{type(unwrapped(self._model)).__name__} is copied inside an edit, and the copy would "
            "keep the edit's hooks; copy it before the with statement, or behind it"
        )

    @property
    def now(self) -> Pass:
        """The pass that is running in this thread."""
        return self._passes.now

    @contextmanager
    def editing(self, change: Change) -> Iterator[None]:
        """Let a change take part in every pass."""
        number = next(_numbers)  # a change may be entered twice
        self._edits[number] = change
        try:
            yield
        finally:
            del self._edits[number]

    def enter(self) -> None:
        """One more user; the first one sets the hooks."""
        if not self._open:
            root = unwrapped(self._model)
            body = root.get_submodule(anatomy_of(self._model).body)
            with ExitStack() as hooks:
                hooks.enter_context(_eagerly())
                for module, see in ((root, self._passes.outside), (body, self._passes.inside)):
                    handle = module.register_forward_pre_hook(_running(see), with_kwargs=True)
                    hooks.callback(handle.remove)
                hooks.enter_context(noticing(root, self._passes.begin))
                hooks.enter_context(tapped(self._model, self._see, whole=False))
                for module in dict.fromkeys((body, root)):
                    handle = module.register_forward_hook(self._report)
                    hooks.callback(handle.remove)
                self._hooks = hooks.pop_all()
        self._open += 1

    def leave(self) -> bool:
        """One user fewer; whether it was the last one, who takes the hooks away."""
        self._open -= 1
        if not self._open:
            self._hooks.close()
        return not self._open

    def _see(self, index: int, hidden: Tensor) -> Tensor | None:
        if _paused.get():
            return None
        edited = hidden
        for change in tuple(self._edits.values()):
            changed = change(index, edited, self.now)
            edited = edited if changed is None else changed
        if edited is hidden:
            return None
        self._replaced[hidden] = edited
        return edited

    def _report(self, _: nn.Module, __: Any, output: Any) -> Any:
        """Show the edits in the hidden states that the model reports.

        Whoever collected them may have done so before an edit: in a hook that was there earlier, or
        ahead of the first block.
        """
        if isinstance(output, tuple):
            return tuple(self._shown(each) for each in output)
        if hasattr(output, "get") and output.get("hidden_states") is not None:
            output["hidden_states"] = self._shown(output["hidden_states"])
        return output

    def _shown(self, reported: Any) -> Any:
        if isinstance(reported, Tensor):
            return self._replaced.get(reported, reported)  # type: ignore[no-untyped-call]
        if type(reported) is tuple:
            return tuple(self._shown(each) for each in reported)
        return reported


_watches: WeakKeyDictionary[nn.Module, Watch] = WeakKeyDictionary()


@contextmanager
def intervening(model: nn.Module) -> Iterator[Watch]:
    """What every intervention needs: a model that draws nothing and is not compiled, watched.

    Raises:
        BadInput: a model in training mode.
    """
    root = unwrapped(model)
    _check_evaluating(root)
    with _lock:
        watch = _watches.get(root) or Watch(model)
        watch.enter()
        _watches[root] = watch
    try:
        yield watch
    finally:
        with _lock:
            if watch.leave():
                del _watches[root]


@contextmanager
def paused() -> Iterator[None]:
    """Let the passes inside run without the edits that are in force: trials of the model."""
    token = _paused.set(True)
    try:
        yield
    finally:
        _paused.reset(token)


def is_paused() -> bool:
    """Whether the edits that are in force are paused."""
    return _paused.get()


def _check_evaluating(module: nn.Module) -> None:
    if module.training:
        raise BadInput(
            f"{type(module).__name__} is in training mode, in which dropout changes its states; "
            "call model.eval() first"
        )


def _running(see: Callable[..., None]) -> Callable[..., None]:
    """A hook that does nothing while edits are paused."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not _paused.get():
            _check_evaluating(module)  # it may have been turned on inside the edit
            see(module, args, kwargs)

    return hook


_eager = ExitStack()
_eager_users = 0


@contextmanager
def _eagerly() -> Iterator[None]:
    """Run compiled code eagerly, in which hooks that it was traced without never fire.

    Of many users the first one sets this and the last one takes it back, in whatever order they
    come and go.
    """
    global _eager_users
    if not _eager_users:
        _eager.enter_context(torch.compiler.set_stance("force_eager"))
    _eager_users += 1
    try:
        yield
    finally:
        _eager_users -= 1
        if not _eager_users:
            _eager.close()
