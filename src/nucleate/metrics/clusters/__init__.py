"""Clusters: k-means in batches, other algorithms, and agreement of clusters with labels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
