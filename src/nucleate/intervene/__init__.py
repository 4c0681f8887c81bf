"""Interventions: states changed while the model runs, and the map of where that matters."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
