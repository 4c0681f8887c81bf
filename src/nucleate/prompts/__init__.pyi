from ._encoding import Encoder as Encoder
from ._positions import position_names as position_names
from ._prompt_set import PromptSet as PromptSet
from ._template import check_template as check_template
from ._text import TextEncoder as TextEncoder
