"""Regularizers: losses that promote or suppress task clusters while a model is trained."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
