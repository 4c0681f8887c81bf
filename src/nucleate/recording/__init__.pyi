from . import hf as hf
from . import lightning as lightning
from ._observers import Observer as Observer
from ._place import open_run as open_run
from ._place import prompts_of as prompts_of
from ._place import refusal_to_void as refusal_to_void
from ._recorder import Recorder as Recorder
from ._schedule import Schedule as Schedule
