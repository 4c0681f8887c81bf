"""Runs: states and the plain folder that holds everything of one training run."""

from nucleate.runs._states import States as States
from nucleate.runs._summary import Summary as Summary
