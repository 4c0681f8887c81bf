"""Checkpoints: a series of them found, checked for faults, and recorded into a run."""

from nucleate.checkpoints._check import CheckedCheckpoint as CheckedCheckpoint
from nucleate.checkpoints._check import Flag as Flag
from nucleate.checkpoints._check import SeriesReport as SeriesReport
from nucleate.checkpoints._check import check_series as check_series
from nucleate.checkpoints._find import local_folder as local_folder
from nucleate.checkpoints._find import step_in as step_in
from nucleate.checkpoints._record import Recorded as Recorded
from nucleate.checkpoints._record import record_series as record_series
from nucleate.checkpoints._series import Checkpoint as Checkpoint
from nucleate.checkpoints._series import Series as Series
