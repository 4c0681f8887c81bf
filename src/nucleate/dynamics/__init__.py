"""Dynamics: metrics over training steps: when, how abruptly, in which order, with what else."""

from nucleate.dynamics._abrupt import PHASE_MARGIN as PHASE_MARGIN
from nucleate.dynamics._abrupt import PHASE_WIDTH as PHASE_WIDTH
from nucleate.dynamics._abrupt import Abruptness as Abruptness
from nucleate.dynamics._abrupt import AxisFit as AxisFit
from nucleate.dynamics._abrupt import abruptness as abruptness
from nucleate.dynamics._association import Association as Association
from nucleate.dynamics._association import association as association
from nucleate.dynamics._between import Coefficient as Coefficient
from nucleate.dynamics._between import MixedFit as MixedFit
from nucleate.dynamics._between import between_tasks as between_tasks
from nucleate.dynamics._changes import ChangePoints as ChangePoints
from nucleate.dynamics._changes import change_points as change_points
from nucleate.dynamics._onset import Onset as Onset
from nucleate.dynamics._onset import Trajectory as Trajectory
from nucleate.dynamics._onset import binomial_band as binomial_band
from nucleate.dynamics._onset import null_band as null_band
from nucleate.dynamics._onset import onset as onset
from nucleate.dynamics._seeds import FEWEST_SEEDS as FEWEST_SEEDS
from nucleate.dynamics._seeds import Order as Order
from nucleate.dynamics._seeds import SeedOnset as SeedOnset
from nucleate.dynamics._seeds import onset_order as onset_order
from nucleate.dynamics._seeds import onset_over_seeds as onset_over_seeds
