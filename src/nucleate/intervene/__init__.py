"""Interventions: states changed while the model runs, and the map of where that matters."""

from nucleate.intervene._causal_map import RULES as RULES
from nucleate.intervene._causal_map import causal_map as causal_map
from nucleate.intervene._edit import edit as edit
from nucleate.intervene._edit import erase as erase
from nucleate.intervene._edit import shift as shift
from nucleate.intervene._erasers import Eraser as Eraser
