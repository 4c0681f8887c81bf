"""Metrics: clusters and separation of states, each number beside what it would be by chance."""

from nucleate.metrics._agreement import Agreement as Agreement
from nucleate.metrics._agreement import agreement as agreement
from nucleate.metrics._bootstrap import bootstrap_ari as bootstrap_ari
from nucleate.metrics._kmeans import Clustering as Clustering
from nucleate.metrics._kmeans import greedy_seeds as greedy_seeds
from nucleate.metrics._kmeans import kmeans as kmeans
from nucleate.metrics._measure import measure as measure
from nucleate.metrics._panel import Panel as Panel
from nucleate.metrics._prepare import condition as condition
from nucleate.metrics._prepare import principal_axes as principal_axes
from nucleate.metrics._prepare import standardise as standardise
from nucleate.metrics._separation import class_separation as class_separation
from nucleate.metrics._separation import nearest_centroid as nearest_centroid
from nucleate.metrics._separation import rankme as rankme
from nucleate.metrics._verdict import Verdict as Verdict
from nucleate.metrics._verdict import choose_stream as choose_stream
from nucleate.metrics._verdict import verdict as verdict
