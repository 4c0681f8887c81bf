from ._encoding import Encoder as Encoder
from ._prompt_set import PromptSet as PromptSet
from ._text import TextEncoder as TextEncoder
