"""The gate: may this model, or its next version, ship? Criteria, verdicts and their pages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
