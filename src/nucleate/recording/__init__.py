"""Recording: reading hidden states out of a model, once or all along its training."""

from nucleate.recording._capture import Reading as Reading
from nucleate.recording._capture import capture as capture
from nucleate.recording._capture import check_readable as check_readable
from nucleate.recording._capture import read as read
from nucleate.recording._hooks import evaluating as evaluating
from nucleate.recording._hooks import head_reads as head_reads
from nucleate.recording._hooks import tokens_at as tokens_at
from nucleate.recording._hooks import unwrapped as unwrapped
from nucleate.recording._recorder import Recorder as Recorder
from nucleate.recording._schedule import Schedule as Schedule
from nucleate.recording._series import Checkpoint as Checkpoint
from nucleate.recording._series import Series as Series
from nucleate.recording._series_check import CheckedCheckpoint as CheckedCheckpoint
from nucleate.recording._series_check import Flag as Flag
from nucleate.recording._series_check import SeriesReport as SeriesReport
from nucleate.recording._series_check import check_series as check_series
from nucleate.recording._series_record import Recorded as Recorded
from nucleate.recording._series_record import record_series as record_series
from nucleate.recording._streams import blocks_of as blocks_of
from nucleate.recording._streams import stream_names as stream_names
from nucleate.recording._streams import tapped as tapped
from nucleate.recording._untrained import capture_untrained as capture_untrained
from nucleate.recording._verify import Verification as Verification
from nucleate.recording._verify import verify as verify
