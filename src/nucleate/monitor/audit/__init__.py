"""Audit: which cluster goes wrong and for whom, what leaks, and a journal of what was decided."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
