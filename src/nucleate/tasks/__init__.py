"""Tasks, the rows that are read, and how both become tokens."""

from nucleate.tasks._geo import geo as geo
from nucleate.tasks._natural import from_jsonl as from_jsonl
from nucleate.tasks._natural import input_text as input_text
from nucleate.tasks._splits import SPLITS as SPLITS
from nucleate.tasks._splits import Example as Example
from nucleate.tasks._synthetic import synthetic as synthetic
from nucleate.tasks._taskset import TaskSet as TaskSet
from nucleate.tasks._taskset import canonical_hash as canonical_hash
from nucleate.tasks._tokenizer import SPECIALS as SPECIALS
from nucleate.tasks._tokenizer import backend_of as backend_of
from nucleate.tasks._tokenizer import tokenizer_hash as tokenizer_hash
from nucleate.tasks._tokenizer import train_tokenizer as train_tokenizer
