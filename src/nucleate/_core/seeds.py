"""Seeds of components, so that a change in one leaves the others' draws alone."""

import hashlib


def component_seed(seed: int, component: str) -> int:
    """The seed of one named component of a job with the given seed."""
    import numpy as np

    name = int.from_bytes(hashlib.sha256(component.encode()).digest()[:4])
    return int(np.random.SeedSequence([seed, name]).generate_state(1)[0])
