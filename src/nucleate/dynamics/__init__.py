"""Dynamics: metrics over training steps, and when they first rise above chance."""

from nucleate.dynamics._onset import Onset as Onset
from nucleate.dynamics._onset import Trajectory as Trajectory
from nucleate.dynamics._onset import binomial_band as binomial_band
from nucleate.dynamics._onset import null_band as null_band
from nucleate.dynamics._onset import onset as onset
