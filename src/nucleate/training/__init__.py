"""Training: models from transformers configs, the study's training loop, regularizers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
