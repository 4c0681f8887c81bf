"""What is stored of states is what they were, whatever their scale and whatever is among them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load

from nucleate import Run, States
from nucleate.runs import pack_snapshot
from small import material


def states(values: torch.Tensor) -> States:
    return States(values, ("embed",), ("last",))


def stored(values: torch.Tensor) -> torch.Tensor:
    return load(pack_snapshot(0, states(values), {}).data)["states"]


def lost(values: torch.Tensor) -> dict[str, int]:
    return pack_snapshot(0, states(values), {}).lost


rows = st.lists(
    st.lists(st.floats(width=32, allow_subnormal=True), min_size=3, max_size=3),
    min_size=1, max_size=4,
)  # fmt: skip


@given(rows, st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_values_survive_the_round_trip(values, dtype):
    given_ = torch.tensor(values, dtype=torch.float64).to(dtype)[None, None]
    there, back = given_.double(), stored(given_).double()
    assert torch.equal(there.isnan(), back.isnan())
    infinite = there.isinf()
    assert torch.equal(there[infinite], back[infinite])
    finite = there.isfinite()
    assert back[finite].isfinite().all()
    known, kept = there.where(finite, 0), back.where(finite, 0)
    assert ((kept - known).abs().amax(-1) <= known.abs().amax(-1) / 256).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_states_of_ordinary_size_are_stored_as_float16(dtype):
    torch.manual_seed(0)
    values = torch.randn(1, 1, 64, 32).to(dtype)
    assert torch.equal(stored(values), values.half())


def test_a_value_that_is_not_finite_does_not_decide_over_the_others():
    values = torch.full((1, 1, 2, 4), 1e5)
    values[0, 0, 0, 0], values[0, 0, 1, 1] = math.nan, math.inf
    kept = stored(values)
    assert kept.dtype == torch.bfloat16
    assert kept[0, 0, 0, 0].isnan()
    assert kept[0, 0, 1, 1] == math.inf
    assert kept.isfinite().sum() == 6
    assert (kept[kept.isfinite()].float() / 1e5 - 1).abs().max() < 1 / 256
    assert lost(values) == {"not_finite": 2}


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(1e-4, torch.float16), (1e-6, torch.bfloat16), (1e-30, torch.bfloat16),
     (1e-43, torch.float32), (1e5, torch.bfloat16), (3.4e38, torch.float32)],
)  # fmt: skip
def test_the_scale_decides_over_the_dtype(scale, dtype):
    values = torch.linspace(0.5, 1, 12).reshape(1, 1, 3, 4) * scale
    assert stored(values).dtype == dtype


@pytest.mark.parametrize("huge", [65520.0, 65536.0])
def test_what_rounds_to_infinity_in_float16_is_not_stored_in_it(huge):
    for dtype in (torch.float32, torch.bfloat16):
        kept = stored(torch.tensor([[[[huge, 1.0]]]], dtype=dtype))
        assert kept.dtype == torch.bfloat16
        assert kept.isfinite().all()


def test_one_small_row_among_large_ones_is_not_lost():
    values = torch.ones(1, 1, 8, 4)
    values[0, 0, 3] = torch.tensor([1e-8, -2e-8, 3e-8, 0])
    kept = stored(values).float()
    assert (kept[0, 0, 3] / values[0, 0, 3] - 1)[:3].abs().max() < 1 / 256


def test_it_is_said_how_many_values_underflow():
    values = torch.ones(1, 1, 2, 4)
    values[0, 0, 0, :3] = torch.tensor([1e-9, 1e-6, 0.0])
    assert lost(values) == {"zeroed": 1, "subnormal": 1}
    assert lost(torch.ones(1, 1, 2, 4)) == {}


def test_header_and_journal_say_what_was_lost(tmp_path):
    run = Run.create(tmp_path / "run", material()[2], {})
    values = torch.ones(1, 1, 2, 4)
    values[0, 0, 0, :2] = torch.tensor([1e-9, math.nan])
    run.save_snapshot(3, states(values), {})
    [line] = Run(run.path).journal.live("snapshot")
    assert (line["dtype"], line["zeroed"], line["not_finite"]) == ("float16", 1, 1)
    with run._open(3) as file:
        assert file.metadata()["zeroed"] == "1"


def test_states_without_rows_or_width_are_stored():
    assert stored(torch.zeros(1, 1, 0, 4)).shape == (1, 1, 0, 4)
    assert stored(torch.zeros(1, 1, 2, 0)).shape == (1, 1, 2, 0)
