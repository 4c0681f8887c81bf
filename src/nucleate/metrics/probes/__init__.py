"""Probes: how well a class can be read from states that were held out."""

from nucleate.metrics.probes._decoding import control_labels as control_labels
from nucleate.metrics.probes._decoding import grouped_folds as grouped_folds
from nucleate.metrics.probes._decoding import knn_decodability as knn_decodability
from nucleate.metrics.probes._decoding import ranks_within as ranks_within
from nucleate.metrics.probes._linear_probe import LinearProbe as LinearProbe
from nucleate.metrics.probes._linear_probe import linear_probe as linear_probe
from nucleate.metrics.probes._linear_probe_uses import MdlProbe as MdlProbe
from nucleate.metrics.probes._linear_probe_uses import Selectivity as Selectivity
from nucleate.metrics.probes._linear_probe_uses import ccgp as ccgp
from nucleate.metrics.probes._linear_probe_uses import mdl_probe as mdl_probe
from nucleate.metrics.probes._linear_probe_uses import selectivity as selectivity
