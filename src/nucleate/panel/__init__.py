"""The panel: every metric at every place and step of a run, each number beside its nulls."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
