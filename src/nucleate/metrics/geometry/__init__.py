"""Geometry: separation of classes, variance, dimension, and similarity of representations."""

from nucleate.metrics.geometry._class_means import NeuralCollapse as NeuralCollapse
from nucleate.metrics.geometry._class_means import nc4 as nc4
from nucleate.metrics.geometry._class_means import neural_collapse as neural_collapse
from nucleate.metrics.geometry._class_means import parallelism_score as parallelism_score
from nucleate.metrics.geometry._separation import cdnv as cdnv
from nucleate.metrics.geometry._separation import centroid_margin as centroid_margin
from nucleate.metrics.geometry._separation import class_separation as class_separation
from nucleate.metrics.geometry._separation import nearest_centroid as nearest_centroid
from nucleate.metrics.geometry._separation import nearest_centroid_margin as nearest_centroid_margin
from nucleate.metrics.geometry._similarity import cka as cka
from nucleate.metrics.geometry._similarity import procrustes as procrustes
from nucleate.metrics.geometry._similarity import similarity_matrix as similarity_matrix
from nucleate.metrics.geometry._spectra import Spectrum as Spectrum
from nucleate.metrics.geometry._spectra import gaussian_twin as gaussian_twin
from nucleate.metrics.geometry._spectra import mean_norm as mean_norm
from nucleate.metrics.geometry._spectra import neighborhood_overlap as neighborhood_overlap
from nucleate.metrics.geometry._spectra import participation_ratio as participation_ratio
from nucleate.metrics.geometry._spectra import rankme as rankme
from nucleate.metrics.geometry._spectra import spectrum as spectrum
from nucleate.metrics.geometry._spectra import top_share as top_share
from nucleate.metrics.geometry._spectra import two_nn as two_nn
from nucleate.metrics.geometry._variance import variance_shares as variance_shares
