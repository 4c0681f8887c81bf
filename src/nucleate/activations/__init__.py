"""Activations: a model's blocks, hooks on them, and hidden states read out of any causal LM."""

from nucleate.activations._anatomy import anatomy_of as anatomy_of
from nucleate.activations._anatomy import run as run
from nucleate.activations._anatomy import vocabulary as vocabulary
from nucleate.activations._capture import Reading as Reading
from nucleate.activations._capture import capture as capture
from nucleate.activations._capture import check_readable as check_readable
from nucleate.activations._capture import read as read
from nucleate.activations._hooks import evaluating as evaluating
from nucleate.activations._hooks import head_reads as head_reads
from nucleate.activations._hooks import tokens_at as tokens_at
from nucleate.activations._hooks import unwrapped as unwrapped
from nucleate.activations._streams import blocks_of as blocks_of
from nucleate.activations._streams import stream_names as stream_names
from nucleate.activations._streams import tapped as tapped
from nucleate.activations._untrained import capture_untrained as capture_untrained
from nucleate.activations._verify import Verification as Verification
from nucleate.activations._verify import verify as verify
