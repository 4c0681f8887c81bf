"""Geometry: separation of classes, variance, dimension, and similarity of representations."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
