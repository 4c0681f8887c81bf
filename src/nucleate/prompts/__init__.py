"""Prompt sets: the fixed rows that are read at every step, as token ids with named positions."""

from nucleate.prompts._encoding import Encoder as Encoder
from nucleate.prompts._prompt_set import PromptSet as PromptSet
from nucleate.prompts._text import TextEncoder as TextEncoder
