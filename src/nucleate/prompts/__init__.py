"""Prompt sets: the fixed rows that are read at every step, as token ids with named positions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
