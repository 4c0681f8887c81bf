"""What the names of checkpoints tell: the step, the stage of training, tokens, epochs."""

import re
from dataclasses import dataclass

_NUMBER = r"(?P<number>\d+)(?P<fraction>\.\d+(?=[kmbt]))?(?P<unit>[kmbt]?)"
_END = r"(?=$|[-_./ ])"
_START = r"(?:^|[-_=./ ])"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def _after(words: str) -> re.Pattern[str]:
    return re.compile(rf"{_START}(?:{words})[-_=: ]?{_NUMBER}{_END}", re.IGNORECASE)


def _before(words: str) -> re.Pattern[str]:
    return re.compile(rf"{_START}{_NUMBER}[-_ ]?(?:{words}){_END}", re.IGNORECASE)


_STEPS = (
    _after(r"(?:global[-_]?)?steps?"),
    _before(r"(?:global[-_]?)?steps?"),
    _after(r"checkpoint|ckpt|iter|iters|iteration|it|update|updates|batch|ba"),
    _before(r"iters|iterations|updates|batches"),
    re.compile(rf"^{_NUMBER}$", re.IGNORECASE),
    _after(r"tokens|tok"),
    _before(r"tokens|tok"),
)
_EPOCHS = (_after(r"epochs?|ep"), _before(r"epochs?"))
_STAGE = re.compile(rf"{_START}(?:stage|phase)[-_=]?(\d+){_END}", re.IGNORECASE)
_BRANCH = re.compile(rf"{_START}(?:ingredient|branch)[-_=]?(\d+){_END}", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Stage:
    """A part of a training whose steps are counted anew; of branches each begins where it forks."""

    number: int = 0
    branch: int = 0


def step_in(name: str) -> int | None:
    """The step in a folder's or a revision's name, or None.

    `k`, `M` and `B` behind a number are thousands, millions and billions. Where a name counts
    tokens only, they are the steps.
    """
    return _first(_STEPS, name)


def epoch_in(name: str) -> int | None:
    """The epoch in a name, or None."""
    return _first(_EPOCHS, name)


def stage_in(name: str) -> Stage:
    """The stage of training in a name, such as `stage2-ingredient1-step1000`."""
    stage, branch = _STAGE.search(name), _BRANCH.search(name)
    return Stage(int(stage[1]) if stage else 0, int(branch[1]) if branch else 0)


def _first(patterns: tuple[re.Pattern[str], ...], name: str) -> int | None:
    if not name.isascii():
        return None
    for pattern in patterns:
        if found := pattern.search(name):
            digits, fraction = found["number"], (found["fraction"] or "")[1:]
            unit = _UNITS[found["unit"].lower()]
            whole = int(digits + fraction) * unit
            return whole // 10 ** len(fraction) if whole % 10 ** len(fraction) == 0 else None
    return None
