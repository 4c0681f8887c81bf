"""Studies: whole experiments, from a configuration to a report."""

from nucleate.studies._config import ReproduceConfig as ReproduceConfig
from nucleate.studies._config import resolve as resolve
from nucleate.studies._reproduce import Reproduction as Reproduction
from nucleate.studies._reproduce import default_folder as default_folder
from nucleate.studies._reproduce import reproduce as reproduce
