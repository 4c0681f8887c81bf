"""Recording: hidden states read at chosen steps while somebody trains the model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
