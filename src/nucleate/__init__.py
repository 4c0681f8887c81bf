"""When, where and why a language model groups its inner states by task - and whether it uses them.

Names are loaded when they are first used, so that `import nucleate` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING
from warnings import warn

__version__ = "0.2.0"

if TYPE_CHECKING:
    from nucleate import activations as activations
    from nucleate import checkpoints as checkpoints
    from nucleate import dynamics as dynamics
    from nucleate import export as export
    from nucleate import findings as findings
    from nucleate import intervene as intervene
    from nucleate import metrics as metrics
    from nucleate import panel as panel
    from nucleate import prompts as prompts
    from nucleate import recording as recording
    from nucleate import runs as runs
    from nucleate import studies as studies
    from nucleate import tasks as tasks
    from nucleate import training as training
    from nucleate import views as views
    from nucleate._core.errors import BadInput as BadInput
    from nucleate._core.errors import Interrupted as Interrupted
    from nucleate._core.errors import RunFailed as RunFailed
    from nucleate.activations import capture as capture
    from nucleate.activations import verify as verify
    from nucleate.checkpoints import Series as Series
    from nucleate.checkpoints import check_series as check_series
    from nucleate.checkpoints import record_series as record_series
    from nucleate.export import export_run as export_run
    from nucleate.intervene import CausalMap as CausalMap
    from nucleate.intervene import causal_map as causal_map
    from nucleate.intervene import edit as edit
    from nucleate.intervene import erase as erase
    from nucleate.intervene import knock_out as knock_out
    from nucleate.intervene import patch as patch
    from nucleate.intervene import shift as shift
    from nucleate.intervene import steer as steer
    from nucleate.panel import Metric as Metric
    from nucleate.panel import Null as Null
    from nucleate.panel import Panel as Panel
    from nucleate.panel import measure as measure
    from nucleate.prompts import Encoder as Encoder
    from nucleate.prompts import PromptSet as PromptSet
    from nucleate.prompts import TextEncoder as TextEncoder
    from nucleate.recording import Recorder as Recorder
    from nucleate.recording import Schedule as Schedule
    from nucleate.recording import hf as hf
    from nucleate.recording import lightning as lightning
    from nucleate.runs import Run as Run
    from nucleate.runs import States as States
    from nucleate.studies import reproduce as reproduce
    from nucleate.tasks import TaskSet as TaskSet

_NAMES = {
    "_core.errors": ("BadInput", "Interrupted", "RunFailed"),
    "tasks": ("TaskSet",),
    "prompts": ("Encoder", "PromptSet", "TextEncoder"),
    "runs": ("Run", "States"),
    "activations": ("capture", "verify"),
    "recording": ("Recorder", "Schedule"),
    "checkpoints": ("Series", "check_series", "record_series"),
    "panel": ("Metric", "Null", "Panel", "measure"),
    "intervene": ("CausalMap", "causal_map", "edit", "erase", "knock_out", "patch", "shift",
                  "steer"),
    "export": ("export_run",),
    "studies": ("reproduce",),
}  # fmt: skip
_MODULES = {"hf": "recording.hf", "lightning": "recording.lightning"}
_ROOMS = (
    "activations", "checkpoints", "dynamics", "export", "findings", "intervene", "metrics",
    "panel", "prompts", "recording", "runs", "studies", "tasks", "training", "views",
)  # fmt: skip
_HOME_OF = {name: home for home, names in _NAMES.items() for name in names}
# Names of version 0.1, which work for one version more.
_RENAMED = {"Probe": "PromptSet"}
__all__ = ["__version__", *sorted([*_HOME_OF, *_MODULES, *_ROOMS])]  # noqa: PLE0604 - names that __getattr__ answers


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        now = _RENAMED[name]
        warn(
            f"nucleate.{name} is called nucleate.{now} since version 0.2; the old name goes with "
            "0.3",
            FutureWarning,
            stacklevel=2,
        )
        name = now
    if name in _MODULES or name in _ROOMS:
        return import_module(f"nucleate.{_MODULES.get(name, name)}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nucleate' has no attribute {name!r}")
    return getattr(import_module(f"nucleate.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
