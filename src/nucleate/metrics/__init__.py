"""Metrics: pure functions of arrays, with sub-rooms for clusters, probes and geometry."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
