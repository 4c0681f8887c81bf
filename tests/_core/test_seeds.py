"""Code of others is seeded without touching the generators of whoever calls."""

import pytest
import torch

from nucleate._core.seeds import seeded


class FakeAccelerator:
    """The part of `torch.cuda` that holds a generator."""

    def __init__(self) -> None:
        self.state = torch.tensor([42])

    def get_rng_state(self) -> torch.Tensor:
        return self.state.clone()

    def set_rng_state(self, state: torch.Tensor) -> None:
        self.state = state

    def manual_seed(self, seed: int) -> None:
        self.state = torch.tensor([seed])


@pytest.fixture(autouse=True)
def no_seeding_of_all(monkeypatch):
    def reseeds(seed: int) -> None:
        raise AssertionError("torch.manual_seed reseeds every accelerator")

    monkeypatch.setattr(torch, "manual_seed", reseeds)


def test_the_same_seed_draws_the_same_and_leaves_the_callers_generator_alone():
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        with seeded(seed):
            drawn.append(torch.randn(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_accelerator_that_is_the_default_device_is_restored_even_after_an_error(monkeypatch):
    accelerator = FakeAccelerator()
    monkeypatch.setattr(torch, "get_default_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch, "get_device_module", lambda device: accelerator)

    def fails() -> None:
        with seeded(7):
            assert accelerator.state.item() == 7
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert accelerator.state.item() == 42


def test_an_accelerator_that_is_not_drawn_from_is_not_even_asked_for(monkeypatch):
    monkeypatch.setattr(torch, "get_device_module", lambda device: pytest.fail("asked for"))
    with seeded(7):
        torch.randn(1)
