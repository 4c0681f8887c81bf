"""Clusters: k-means in batches, other algorithms, and agreement of clusters with labels."""

from nucleate.metrics.clusters._agreement import Agreement as Agreement
from nucleate.metrics.clusters._agreement import agreement as agreement
from nucleate.metrics.clusters._bootstrap import bootstrap_ari as bootstrap_ari
from nucleate.metrics.clusters._bootstrap import resamples as resamples
from nucleate.metrics.clusters._kmeans import Clustering as Clustering
from nucleate.metrics.clusters._kmeans import kmeans as kmeans
from nucleate.metrics.clusters._kmeans_space import Space as Space
from nucleate.metrics.clusters._other_clusters import hdbscan as hdbscan
from nucleate.metrics.clusters._other_clusters import silhouette as silhouette
from nucleate.metrics.clusters._other_clusters import singletons as singletons
from nucleate.metrics.clusters._other_clusters import ward as ward
from nucleate.metrics.clusters._recall import matched_accuracy as matched_accuracy
from nucleate.metrics.clusters._recall import recall_by_class as recall_by_class
from nucleate.metrics.clusters._stability import ChosenK as ChosenK
from nucleate.metrics.clusters._stability import choose_k as choose_k
from nucleate.metrics.clusters._stability import stability as stability
from nucleate.metrics.clusters._streaming import Streamed as Streamed
from nucleate.metrics.clusters._streaming import kmeans_streaming as kmeans_streaming
