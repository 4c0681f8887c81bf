"""Seeds of components, so that a change in one leaves the others' draws alone."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager


def component_seed(seed: int, component: str) -> int:
    """The seed of one named component of a job with the given seed."""
    import numpy as np

    name = int.from_bytes(hashlib.sha256(component.encode()).digest()[:4])
    return int(np.random.SeedSequence([seed, name]).generate_state(1)[0])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global generators draw from a seed; afterwards they are as they were.

    For code of others that takes no generator of its own, such as the initialization of a model's
    weights. It draws on the CPU and on torch's default device, so that no other generator is
    touched: `torch.manual_seed` would seed those of all accelerators, and leave them so.

    Args:
        seed: what they start from.
    """
    import torch

    device = torch.get_default_device()
    generators = [torch.random]
    if device.type not in ("cpu", "meta"):
        generators.append(torch.get_device_module(device))
    before = [each.get_rng_state() for each in generators]
    torch.default_generator.manual_seed(seed)
    for accelerator in generators[1:]:
        accelerator.manual_seed(seed)
    try:
        yield
    finally:
        for each, state in zip(generators, before, strict=True):
            each.set_rng_state(state)
