"""When, where and why a language model groups its inner states by task - and whether it uses them.

Public names stand in `__init__.pyi` files, here and in every room, and are loaded when they are
first used: `import nucleate` is quick, and what a command refuses at once needs no torch.
"""

from warnings import warn

import lazy_loader

from nucleate._core.platforms import check_platform

__version__ = "0.2.0"

# Names of version 0.1, which work for one version more.
_RENAMED = {"Probe": "PromptSet"}

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    check_platform()
    if name in _RENAMED:
        now = _RENAMED[name]
        warn(
            f"nucleate.{name} is called nucleate.{now} since version 0.2; the old name goes with "
            "0.3",
            FutureWarning,
            stacklevel=2,
        )
        name = now
    return _load(name)
