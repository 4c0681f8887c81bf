"""Every kind of array that users have is taken, and the rest is refused in a sentence."""

import numpy as np
import pandas as pd
import pytest
import torch

import nucleate as nc
from nucleate.intervene import Eraser
from small import model

STATES = torch.randn(60, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CLASSES = np.arange(60) % 3
NAMES = np.array(["red", "green", "blue"])[CLASSES]
FITS = pytest.mark.parametrize("fit", [Eraser.leace, Eraser.means])


@FITS
@pytest.mark.parametrize(
    "states",
    [
        STATES.numpy(), STATES.tolist(), pd.DataFrame(STATES.numpy()), list(STATES),
        STATES.clone().requires_grad_(), pd.DataFrame(STATES.numpy()).astype(object),
    ],
    ids=["numpy", "lists", "pandas", "list of tensors", "gradient", "objects"],
)  # fmt: skip
def test_states_of_any_kind_give_the_same_eraser(fit, states):
    torch.testing.assert_close(fit(states, CLASSES).projection, fit(STATES, CLASSES).projection)


@FITS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_states_of_any_precision_give_nearly_the_same_eraser(fit, dtype):
    low = STATES.to(dtype)
    torch.testing.assert_close(fit(low, CLASSES).projection, fit(low.float(), CLASSES).projection)


@FITS
@pytest.mark.parametrize(
    "labels",
    [
        torch.as_tensor(CLASSES), CLASSES[:, None], CLASSES.tolist(), pd.Series(NAMES),
        pd.DataFrame({"task": NAMES}), pd.Categorical(NAMES), CLASSES.astype(float),
        np.array(NAMES, dtype=object), pd.Series(NAMES, index=range(7, 67)), tuple(NAMES),
    ],
    ids=["tensor", "column", "list", "series", "frame", "categories", "floats", "objects",
         "other index", "tuple"],
)  # fmt: skip
def test_labels_of_any_kind_give_the_same_eraser(fit, labels):
    if isinstance(labels, pd.Categorical):
        labels = pd.Series(labels)
    torch.testing.assert_close(fit(STATES, labels).projection, fit(STATES, CLASSES).projection)


def broken(value: float) -> torch.Tensor:
    states = STATES.clone()
    states[5, 2] = value
    return states


@FITS
@pytest.mark.parametrize(
    ("states", "labels", "said"),
    [
        (broken(float("nan")), CLASSES, r"nan stands in states at \[5, 2\]"),
        (broken(float("inf")).numpy(), CLASSES, r"inf stands in states at \[5, 2\]"),
        (STATES[0], CLASSES, r"states of shape \[8\] are not of one place"),
        (STATES[None], CLASSES, r"states of shape \[1, 60, 8\] are not of one place"),
        ([["a"] * 8] * 60, CLASSES, "states is a list that holds no array of numbers"),
        ([[1.0], [1.0, 2.0]], CLASSES, "states is a list that holds no array of numbers"),
        (STATES, np.eye(3)[CLASSES], r"labels of shape \[60, 3\] do not fit.*one-hot"),
        (STATES, [None, *NAMES[1:]], "row 0 of labels has no label"),
        (STATES, np.where(CLASSES, np.nan, 1.0), "row 1 of labels is NaN"),
        (STATES, NAMES[1:], r"labels of shape \[59\] do not fit states of 60 rows"),
    ],
)
def test_what_cannot_be_erased_is_refused_in_a_sentence(fit, states, labels, said):
    with pytest.raises(nc.BadInput, match=said):
        fit(states, labels)


def test_an_eraser_takes_arrays_and_subspaces_take_lists():
    eraser = Eraser.subspace([[1.0, 0, 0], [0, 2, 0]], np.zeros(3))
    torch.testing.assert_close(
        eraser(np.array([3.0, 4, 5])), torch.tensor([0.0, 0, 5], dtype=torch.float64)
    )
    with pytest.raises(nc.BadInput, match="nan stands in the basis"):
        Eraser.subspace([[float("nan"), 1.0]], [0.0, 0.0])


@pytest.mark.parametrize("kind", ["numpy", "list", "double", "series"])
def test_shifts_and_patches_by_any_kind_of_array_are_those_by_a_tensor(kind):
    net = model().eval()
    by = torch.randn(16, generator=torch.Generator().manual_seed(0))
    given = {"numpy": by.numpy(), "list": by.tolist(), "double": by.double(),
             "series": pd.Series(by.numpy())}[kind]  # fmt: skip
    ids = torch.tensor([[1, 2, 3]])
    place = {"stream": "block.0", "position": "last"}
    for make in (
        lambda v: nc.shift(net, **place, by=v),
        lambda v: nc.patch(net, **place, to=v),
        lambda v: nc.steer(net, **place, by=v, scale=2.0, data=[v, v] if kind != "list" else [v]),
    ):
        with torch.no_grad(), make(by):
            wanted = net(ids).logits
        with torch.no_grad(), make(given):
            torch.testing.assert_close(net(ids).logits, wanted)
    with pytest.raises(nc.BadInput, match="the shift is a str that holds no array of numbers"):
        nc.shift(net, **place, by="up")
    with pytest.raises(nc.BadInput, match=r"nan stands in the patch at \[0\]"):
        nc.patch(net, **place, to=by * float("nan"))


def test_the_gradient_of_a_shift_is_kept():
    net = model().eval()
    by = torch.zeros(16, requires_grad=True)
    with nc.shift(net, stream="block.0", position="last", by=by):
        net(torch.tensor([[1, 2, 3]])).logits[0, -1, 0].backward()
    assert by.grad is not None
    assert by.grad.norm() > 0
