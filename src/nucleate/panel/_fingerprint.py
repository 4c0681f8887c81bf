"""Fingerprints of functions: the same for the same code and constants, another for others."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor

_OURS = __name__.split(".")[0]
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))


class _Unknown(Exception):
    """A value whose content cannot be read."""


def fingerprint(function: Callable[..., Any] | tuple[Any, ...]) -> str | None:
    """One text for what a function computes: its bytecode, constants, defaults and closure.

    Of a tuple, the same for a function with the values that it is called with.

    Functions and constants of the caller's own modules and notebooks that it uses count with their
    content; those of installed packages count with their name and the package's version.

    Returns:
        64 hexadecimal digits; None where it depends on a value whose content cannot be read, such
        as an open file or a random generator.
    """
    try:
        text = "\n".join(_parts(function, {}))
    except _Unknown:
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _parts(value: Any, seen: dict[int, Any]) -> Iterator[str]:
    """What a value is, as texts; `seen` keeps values alive, so that no two have one id."""
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif id(value) in seen:
        yield "again"
    elif isinstance(value, np.ndarray | np.generic | Tensor):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.hasobject:
            raise _Unknown
        yield f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"
    elif isinstance(value, ModuleType):
        yield _named(value.__name__)
    else:
        seen[id(value)] = value
        yield type(value).__name__
        for part in _inside(value):
            yield from _parts(part, seen)


def _inside(value: Any) -> Iterator[Any]:
    """What a value consists of."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    module = getattr(value, "__module__", None) or type(value).__module__
    if isinstance(value, FunctionType) and module == "builtins":
        module = ""  # made by `exec`: no function of Python's is one of these
    if isinstance(value, tuple | list):
        yield from value
    elif isinstance(value, set | frozenset):
        yield from sorted(value, key=repr)
    elif isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, CodeType):
        yield from (value.co_code, value.co_names, value.co_varnames, value.co_consts)
    elif isinstance(name, str) and _installed(module):
        # Its code goes with the version; what it encloses may be the caller's own.
        yield f"{_named(module)}.{name}"
        if isinstance(value, FunctionType) and module.split(".")[0] != _OURS:
            yield _given(value)
    elif isinstance(value, FunctionType):
        yield from (value.__code__, _given(value))
        names = sorted(_names(value.__code__) & value.__globals__.keys())
        yield from ((name, value.__globals__[name]) for name in names)
    elif isinstance(value, type):
        yield from (value.__qualname__, value.__bases__, _members(value))
    elif isinstance(getattr(value, "__dict__", None), dict) and _in_python(type(value)):
        yield from (type(value), vars(value))
    else:
        raise _Unknown


def _given(function: FunctionType) -> tuple[Any, ...]:
    """The values that a function carries: defaults, and what it encloses."""
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    return function.__defaults__, function.__kwdefaults__, cells


def _members(given: type) -> list[tuple[str, Any]]:
    """Methods and constants of a class of the caller's own."""
    found = []
    for name, member in sorted(vars(given).items()):
        if isinstance(member, staticmethod | classmethod):
            member = member.__func__
        if isinstance(member, property):
            member = member.fget
        if isinstance(member, (FunctionType, *_PLAIN)) and name != "__doc__":
            found.append((name, member))
    return found


def _names(code: CodeType) -> set[str]:
    """Global names that a function, or one inside it, may read."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _in_python(given: type) -> bool:
    """Whether the whole state of an object is in its `__dict__`, as far as can be told."""
    return any(isinstance(member, FunctionType) for member in vars(given).values())


def _installed(module: str) -> bool:
    package = module.split(".")[0]
    if package in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return package == _OURS or "site-packages" in file or "dist-packages" in file


def _named(module: str) -> str:
    version = getattr(sys.modules.get(module.split(".")[0]), "__version__", "")
    return f"{module} {version}"
