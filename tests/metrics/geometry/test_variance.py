import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.metrics import standardize
from nucleate.metrics.geometry._variance import variance_shares

TASKS, FAMILIES, INPUTS, COPIES = 8, 3, 5, 2


def design(rows=None, seed=0):
    task, family, given, _ = np.indices((TASKS, FAMILIES, INPUTS, COPIES)).reshape(4, -1)
    factors = {"task": task, "input": given, "family": task * FAMILIES + family}
    if rows is not None:
        kept = np.sort(np.random.default_rng(seed).permutation(len(task))[:rows])
        factors = {name: codes[kept] for name, codes in factors.items()}
    return factors


def effects(factors, amounts, *, width=32, noise=1.0, seed=0):
    """States with effects whose sample variance over levels is exactly amount^2 a dimension."""
    rng = np.random.default_rng(seed)
    codes = {**factors, "task x input": factors["task"] * INPUTS + factors["input"]}
    x = noise * rng.standard_normal((len(factors["task"]), width))
    for name, amount in amounts.items():
        levels = rng.standard_normal((codes[name].max() + 1, width))
        levels -= levels.mean(0)
        x += (amount * levels / levels.std(0, ddof=1))[codes[name]]
    return x


@pytest.mark.parametrize("rows", [None, 150])
def test_shares_are_those_that_were_put_in_with_cells_missing_too(rows):
    found = []
    for seed in range(40):
        factors = design(rows, seed)
        x = effects(
            factors, {"task": 1.0, "input": 1.5, "family": 0.5, "task x input": 0.7}, seed=seed
        )
        shares = variance_shares(x, factors)
        found.append([shares[name] for name in ("task", "input", "family", "task x input")])
    total = 1 + 2.25 + 0.25 + 0.49 + 1
    expected = np.array([1, 2.25, 0.25, 0.49]) / total
    assert np.mean(found, axis=0) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("rows", [None, 150])
def test_factors_that_do_nothing_get_nothing_where_the_naive_share_gives_them_much(rows):
    found, naive = [], []
    for seed in range(60):
        factors = design(rows, seed)
        x = effects(factors, {"input": 1.0}, seed=seed, width=8)
        shares = variance_shares(x, factors)
        found.append([shares[name] for name in ("task", "family", "task x input")])
        means = np.stack([x[factors["family"] == f].mean(0) for f in range(TASKS * FAMILIES)])
        naive.append(means[factors["family"]].var(0).sum() / x.var(0).sum())
    error = np.std(found, axis=0) / 60**0.5
    assert (np.abs(np.mean(found, axis=0)) < 3.5 * error + 1e-4).all()
    assert (np.array(found) < 0).any(0).all()
    assert np.mean(naive) > 0.05


def test_an_input_that_hides_the_task_from_clusters_does_not_hide_it_here():
    """Trap 3: input variance 1.5 x the task's; the shares say so."""
    factors = design()
    x = torch.from_numpy(effects(factors, {"task": 1.0, "input": 1.5**0.5}, noise=0.5))
    shares = variance_shares(standardize(x), factors)
    assert shares["input"] / shares["task"] == pytest.approx(1.5, rel=0.15)
    assert shares["task"] == pytest.approx(1 / 2.75, abs=0.03)


def test_shares_sum_to_one():
    shares = variance_shares(effects(design(), {"task": 1.0}), design())
    assert set(shares) == {"task", "input", "family", "task x input", "residual"}
    assert sum(shares.values()) == pytest.approx(1)


def test_balanced_shares_are_the_textbook_analysis_of_variance():
    a, b, _ = np.indices((4, 3, 5)).reshape(3, -1)
    x = np.random.default_rng(0).standard_normal((60, 2)) + a[:, None] + 2 * (a * b % 3)[:, None]
    cell = x.reshape(4, 3, 5, 2).mean(2)
    ma, mb, m = cell.mean(1), cell.mean(0), cell.mean((0, 1))
    ms_a = 15 * ((ma - m) ** 2).sum() / 3
    ms_b = 20 * ((mb - m) ** 2).sum() / 2
    ms_ab = 5 * ((cell - ma[:, None] - mb[None] + m) ** 2).sum() / 6
    ms_e = ((x.reshape(4, 3, 5, 2) - cell[:, :, None]) ** 2).sum() / 48
    parts = np.array([(ms_a - ms_ab) / 15, (ms_b - ms_ab) / 20, (ms_ab - ms_e) / 5, ms_e])
    shares = variance_shares(x, {"a": a, "b": b}, [("a", "b")])
    expected = parts / parts.sum()
    assert [shares[n] for n in ("a", "b", "a x b", "residual")] == pytest.approx(expected, abs=1e-9)


def test_noise_of_a_string_counts_for_the_family_unless_strings_are_a_factor():
    string = np.arange(240) // 5
    factors = {"task": string // 6, "family": string // 2, "input": np.arange(240) % 5}
    rng = np.random.default_rng(0)
    x = rng.standard_normal((48, 30))[string] + 0.3 * rng.standard_normal((240, 30))
    assert variance_shares(x, factors)["family"] > 0.3
    shares = variance_shares(x, {**factors, "instruction": string})
    assert abs(shares["family"]) < 0.1
    assert shares["instruction"] > 0.8


def test_what_cannot_be_told_apart_has_no_number_and_the_others_sum_to_one():
    factors = design()
    x = effects(factors, {"task": 1.0})
    shares = variance_shares(x, {**factors, "again": factors["family"]})
    assert np.isnan(shares["again"])
    assert np.nansum(list(shares.values())) == pytest.approx(1)
    shares = variance_shares(x, {"row": np.arange(len(x))})
    assert np.isnan(shares["residual"])
    assert shares["row"] == pytest.approx(1)


def test_a_factor_of_one_level_has_no_number():
    x = effects(design(), {"task": 1.0})
    shares = variance_shares(x, {"only": np.zeros(len(x), dtype=int)})
    assert np.isnan(shares["only"])
    assert shares["residual"] == pytest.approx(1)


def test_a_level_of_one_row_does_not_crash():
    factors = design()
    factors["task"] = np.where(np.arange(len(factors["task"])) == 7, 99, factors["task"])
    shares = variance_shares(effects(design(), {"task": 1.0}), factors)
    assert np.isfinite(list(shares.values())).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 100.0]))
def test_rotation_scale_order_and_names_change_nothing(seed, scale):
    rng = np.random.default_rng(seed)
    factors = design(200, seed)
    x = effects(factors, {"task": 1.0, "input": 0.5}, width=6, seed=seed)
    turn, order = np.linalg.qr(rng.standard_normal((6, 6)))[0], rng.permutation(200)
    names = rng.permutation(100)
    moved = {
        name: np.array([f"n{names[c]}" for c in codes])[order] for name, codes in factors.items()
    }
    expected = variance_shares(x, factors)
    found = variance_shares(scale * (x @ turn)[order], moved)
    for name, share in expected.items():
        assert found[name] == pytest.approx(share, abs=1e-7)


def test_constant_states_give_zero_and_nan_states_nan():
    factors = design()
    x = np.stack([effects(factors, {"task": 1.0})] * 4).reshape(2, 2, -1, 32)
    x[0, 1] = 1 / 3
    x[1, 1, 5, 3] = np.nan
    shares = variance_shares(x.astype(np.float32), factors)
    for name, values in shares.items():
        assert values.shape == (2, 2)
        assert values[0, 0] == values[1, 0] != 0
        assert values[0, 1] == 0, name
        assert np.isnan(values[1, 1])


def test_bad_input_is_named():
    factors, x = design(), effects(design(), {})
    with pytest.raises(BadInput, match="task of shape"):
        variance_shares(x, {"task": factors["task"][:9]})
    with pytest.raises(BadInput, match="no factor"):
        variance_shares(x, {})
    with pytest.raises(BadInput, match="task x color needs both"):
        variance_shares(x, factors, [("task", "color")])
