"""Studies: whole experiments, from a configuration to a report."""

from nucleate.studies._config import ReproduceConfig as ReproduceConfig
from nucleate.studies._config import resolve as resolve
from nucleate.studies._measured import PanelFound as PanelFound
from nucleate.studies._measured import describe_panel as describe_panel
from nucleate.studies._progress import stoppable as stoppable
from nucleate.studies._reproduce import Reproduction as Reproduction
from nucleate.studies._reproduce import default_folder as default_folder
from nucleate.studies._reproduce import reproduce as reproduce
