"""The atlas: what clusters a model had when it was fitted, and whether a request lies in one."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
