"""Recording: hidden states read at chosen steps while somebody trains the model."""

from nucleate.recording._place import open_run as open_run
from nucleate.recording._place import prompts_of as prompts_of
from nucleate.recording._place import refusal_to_void as refusal_to_void
from nucleate.recording._recorder import Recorder as Recorder
from nucleate.recording._schedule import Schedule as Schedule
