"""Runs: states, and the plain folder that holds everything of one training run."""

from nucleate.runs._files import publish_folder as publish_folder
from nucleate.runs._files import write_json as write_json
from nucleate.runs._files import write_whole as write_whole
from nucleate.runs._journal import Journal as Journal
from nucleate.runs._parts import parts_of as parts_of
from nucleate.runs._parts import peak_memory_of as peak_memory_of
from nucleate.runs._run import PackedSnapshot as PackedSnapshot
from nucleate.runs._run import Run as Run
from nucleate.runs._run import pack_snapshot as pack_snapshot
from nucleate.runs._states import States as States
from nucleate.runs._states import index_of as index_of
from nucleate.runs._status import Status as Status
