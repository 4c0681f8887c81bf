"""The panel: every metric at every place and step of a run, each number beside its nulls."""

from nucleate.panel._layout import measured_rows as measured_rows
from nucleate.panel._measure import default_nulls as default_nulls
from nucleate.panel._measure import measure as measure
from nucleate.panel._metric import Metric as Metric
from nucleate.panel._metric_input import SOLUTIONS as SOLUTIONS
from nucleate.panel._metric_input import Block as Block
from nucleate.panel._nulls import LADDER as LADDER
from nucleate.panel._nulls import ControlLabels as ControlLabels
from nucleate.panel._nulls import Gaussian as Gaussian
from nucleate.panel._nulls import Null as Null
from nucleate.panel._nulls import Permuted as Permuted
from nucleate.panel._nulls import Scrambled as Scrambled
from nucleate.panel._nulls import SurfaceText as SurfaceText
from nucleate.panel._nulls import Untrained as Untrained
from nucleate.panel._panel import Panel as Panel
from nucleate.panel._registry import panel_metrics as panel_metrics
from nucleate.panel._score import Score as Score
