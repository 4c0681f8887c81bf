"""Export: the scalars of a run for experiment trackers."""

from nucleate.export._export import Exported as Exported
from nucleate.export._export import export_run as export_run
from nucleate.export._export import scalars_of as scalars_of
