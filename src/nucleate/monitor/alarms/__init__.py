"""Alarms: a training that is watched while it runs, and told of what goes wrong in it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
