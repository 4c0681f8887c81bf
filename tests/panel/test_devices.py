"""States on an accelerator are measured as those on the CPU, without mixing devices."""

import numpy as np
import pandas as pd
import pytest
import torch

import nucleate as nc
from crossed import crossed_probe, states_of
from nucleate.panel import ControlLabels, Gaussian, Permuted, SurfaceText, Untrained
from pretend import elsewhere, pretending


def test_a_panel_of_states_on_an_accelerator_is_that_of_the_same_states_on_the_cpu():
    prompts = crossed_probe()
    states = {seed: states_of(prompts, {"task": 2.0 - seed}, seed=seed) for seed in (0, 1)}

    def panel(trained: nc.States, fresh: nc.States) -> nc.Panel:
        nulls = [Permuted(20), SurfaceText(), Gaussian(2), ControlLabels(1), Untrained([fresh])]
        steps = [(0, fresh), (1, trained)]
        return nc.measure(
            steps, prompts, metrics=["all"], nulls=nulls, n_bootstraps=10, n_jobs=1
        )  # fmt: skip

    expected = panel(states[0], states[1])
    with pretending():
        there = {
            seed: nc.States(elsewhere(held.values), held.streams, held.positions)
            for seed, held in states.items()
        }
        found = panel(there[0], there[1])
    pd.testing.assert_frame_equal(found.table, expected.table)


def test_the_pretended_accelerator_fails_where_a_real_one_does():
    plain, index = torch.randn(5, 3), torch.zeros(5, 3, dtype=torch.long)
    with pretending():
        there = elsewhere(plain)
        assert torch.equal((2 * there).cpu(), 2 * plain)
        for mixed in (
            lambda: there + plain,
            lambda: there.gather(0, index),
            lambda: plain[elsewhere(index)],
            lambda: torch.stack([there, plain]),
            lambda: np.asarray(there),
        ):
            with pytest.raises(RuntimeError, match=r"tensors on|not supported"):
                mixed()


def test_states_are_moved_off_a_device_without_float64():
    x = torch.randn(30, 4)
    with pretending("mps", refused=(torch.float64,)):
        found = nc.metrics.as_states(elsewhere(x, "mps"))
        assert found.device.type == "cpu"
        assert np.isfinite(nc.metrics.rankme(elsewhere(x, "mps")))
    assert torch.equal(found[0], x)
