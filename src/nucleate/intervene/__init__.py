"""Interventions: states changed while the model runs, and the map of where that matters."""

from nucleate.intervene._causal_map import CausalMap as CausalMap
from nucleate.intervene._causal_map import causal_map as causal_map
from nucleate.intervene._controls import EDITS as EDITS
from nucleate.intervene._edit import edit as edit
from nucleate.intervene._edit import erase as erase
from nucleate.intervene._edit import shift as shift
from nucleate.intervene._erasers import Eraser as Eraser
from nucleate.intervene._rules import RULES as RULES
