"""Scores, drift and the gate over HTTP: the service that stands beside a model in use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
