from . import hf as hf
from . import lightning as lightning
from ._recorder import Recorder as Recorder
from ._recorder import open_run as open_run
from ._recorder import prompts_of as prompts_of
from ._schedule import Schedule as Schedule
