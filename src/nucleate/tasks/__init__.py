"""Tasks, the rows that are read, and how both become tokens."""

from nucleate.tasks._encoding import Encoder as Encoder
from nucleate.tasks._geo import geo as geo
from nucleate.tasks._natural import from_jsonl as from_jsonl
from nucleate.tasks._probe import Probe as Probe
from nucleate.tasks._synthetic import synthetic as synthetic
from nucleate.tasks._taskset import SPLITS as SPLITS
from nucleate.tasks._taskset import Example as Example
from nucleate.tasks._taskset import TaskSet as TaskSet
from nucleate.tasks._taskset import canonical_hash as canonical_hash
from nucleate.tasks._text import TextEncoder as TextEncoder
from nucleate.tasks._tokenizer import tokenizer_hash as tokenizer_hash
from nucleate.tasks._tokenizer import train_tokenizer as train_tokenizer
