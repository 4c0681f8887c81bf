"""Findings: from numbers to judgments and words; every verdict is made here and nowhere else."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
