"""Activations: a model's blocks, hooks on them, and hidden states read out of any causal LM."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
