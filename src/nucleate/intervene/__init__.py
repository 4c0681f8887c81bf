"""Interventions: states changed while the model runs, and the map of where that matters."""

from nucleate.intervene._causal_map import CausalMap as CausalMap
from nucleate.intervene._causal_map import causal_map as causal_map
from nucleate.intervene._controls import EDITS as EDITS
from nucleate.intervene._doses import dose_response as dose_response
from nucleate.intervene._doses import look_closely as look_closely
from nucleate.intervene._doses import redirections as redirections
from nucleate.intervene._erasers import Eraser as Eraser
from nucleate.intervene._interventions import Intervention as Intervention
from nucleate.intervene._interventions import Norms as Norms
from nucleate.intervene._interventions import edit as edit
from nucleate.intervene._interventions import erase as erase
from nucleate.intervene._interventions import patch as patch
from nucleate.intervene._interventions import shift as shift
from nucleate.intervene._interventions import steer as steer
from nucleate.intervene._knock_out import knock_out as knock_out
from nucleate.intervene._logits import logits_under as logits_under
from nucleate.intervene._places import Onwards as Onwards
