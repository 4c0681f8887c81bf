"""When, where and why a language model groups its inner states by task - and whether it uses them.

Names are loaded when they are first used, so that `import nucleate` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nucleate import dynamics as dynamics
    from nucleate import intervene as intervene
    from nucleate import metrics as metrics
    from nucleate import training as training
    from nucleate._errors import BadInput as BadInput
    from nucleate._errors import RunFailed as RunFailed
    from nucleate.intervene import causal_map as causal_map
    from nucleate.intervene import edit as edit
    from nucleate.intervene import erase as erase
    from nucleate.intervene import shift as shift
    from nucleate.metrics import Panel as Panel
    from nucleate.metrics import measure as measure
    from nucleate.recording import Recorder as Recorder
    from nucleate.recording import Schedule as Schedule
    from nucleate.recording import Series as Series
    from nucleate.recording import capture as capture
    from nucleate.recording import check_series as check_series
    from nucleate.recording import hf as hf
    from nucleate.recording import lightning as lightning
    from nucleate.recording import record_series as record_series
    from nucleate.recording import verify as verify
    from nucleate.runs import Run as Run
    from nucleate.runs import States as States
    from nucleate.studies import reproduce as reproduce
    from nucleate.tasks import Encoder as Encoder
    from nucleate.tasks import Probe as Probe
    from nucleate.tasks import TaskSet as TaskSet
    from nucleate.tasks import TextEncoder as TextEncoder
    from nucleate.views import export as export

_HOMES = {
    "_errors": ("BadInput", "RunFailed"),
    "tasks": ("Encoder", "Probe", "TaskSet", "TextEncoder"),
    "runs": ("Run", "States"),
    "recording": (
        "Recorder",
        "Schedule",
        "Series",
        "capture",
        "check_series",
        "record_series",
        "verify",
    ),
    "metrics": ("Panel", "measure"),
    "intervene": ("causal_map", "edit", "erase", "shift"),
    "views": ("export",),
    "studies": ("reproduce",),
}
_MODULES = {
    "dynamics": "dynamics",
    "hf": "recording.hf",
    "intervene": "intervene",
    "lightning": "recording.lightning",
    "metrics": "metrics",
    "training": "training",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = ["__version__", *sorted([*_HOME_OF, *_MODULES])]  # noqa: PLE0604 - names that __getattr__ answers


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"nucleate.{_MODULES[name]}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nucleate' has no attribute {name!r}")
    return getattr(import_module(f"nucleate.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
