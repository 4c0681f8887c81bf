"""What looks on while a recorder reads sees everything and cannot touch the training."""

import random

import numpy as np
import pytest
import torch

from nucleate import BadInput, Recorder, Run, Schedule, capture
from nucleate.recording import Observer
from nucleate.recording._observers import check_observers
from small import material, model

EVERY = Schedule.every(1).within(None)


class Seen:
    """Keeps what it is told; leaves an event at each reading."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.read: list[tuple[int, torch.Tensor, set[str], dict[str, float]]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []

    def begin(self, _, step):
        self.begun.append(step)

    def reading(self, step, states, scores, scalars):
        self.read.append((step, states.values.clone(), set(scores), dict(scalars)))
        return [{"name": "seen", "count": len(self.read)}]

    def log(self, step, scalars):
        self.logged.append((step, dict(scalars)))


class Raises(Seen):
    """Breaks at its second reading."""

    def reading(self, step, states, scores, scalars):
        super().reading(step, states, scores, scalars)
        if len(self.read) == 2:
            raise ValueError("broken")


class Draws(Seen):
    """Draws from every global generator, and wants gradients."""

    def reading(self, _step, states, _scores, _scalars):
        torch.randn(3), np.random.rand(3), random.random()
        torch.manual_seed(5)
        states.values.mul_(0)


def train(where, *observers, steps: int = 4) -> tuple[list[torch.Tensor], Recorder]:
    """A training whose batches, and dropout, come from the global generators."""
    torch.manual_seed(0)
    np.random.seed(0)
    net = model(dropout=0.1).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Recorder(where, material()[2], EVERY, observers=observers) as recorder:
        for step in range(steps):
            recorder.step(net, step, loss=0.5)
            ids = torch.from_numpy(np.random.randint(1, 20, (4, 6)))
            loss = net(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            recorder.log(step, loss=loss)
    return [p.detach().clone() for p in net.parameters()], recorder


def events(folder) -> list[dict]:
    return [r for r in Run(folder).journal.live("event") if r["name"] == "seen"]


def test_an_observer_is_given_what_is_read_and_what_the_training_says(tmp_path):
    seen, net = Seen(), model()
    with Recorder(tmp_path / "run", material()[2], EVERY, observers=[seen]) as recorder:
        recorder.step(net, 0, loss=float("nan"), rate=torch.tensor(2.0))
        recorder.log(0, loss=1.5)
    assert isinstance(seen, Observer)
    assert seen.begun == [0]
    ((step, values, scores, scalars),) = seen.read
    assert step == 0
    assert torch.equal(values, capture(net, material()[2]).values)
    assert scores == {"correct", "nll", "predicted"}
    assert np.isnan(scalars["loss"])  # which the journal leaves out
    assert scalars["rate"] == 2
    assert seen.logged == [(0, {"loss": 1.5})]


def test_what_it_returns_stands_in_the_journal_until_a_rewind(tmp_path):
    net, prompts = model(), material()[2]
    with Recorder(tmp_path / "run", prompts, EVERY, observers=[Seen()]) as recorder:
        for step in range(4):
            recorder.step(net, step)
        assert [event["step"] for event in events(tmp_path / "run")] == [0, 1, 2, 3]
        recorder.rewind(1)
    assert [event["step"] for event in events(tmp_path / "run")] == [0, 1]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A training that nobody looks on at."""
    where = tmp_path_factory.mktemp("alone") / "run"
    return train(where)[0], Run(where).states(3).values


@pytest.mark.parametrize("observer", [Raises, Draws])
def test_the_training_is_the_same_bit_for_bit(tmp_path, observer, alone):
    plain, states = alone
    watched, recorder = train(tmp_path / "watched", observer())
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert recorder.error is None
    assert torch.equal(Run(tmp_path / "watched").states(3).values, states)


def test_one_that_raises_is_logged_once_and_called_no_more_and_the_others_go_on(tmp_path, caplog):
    broken, sound = Raises(), Seen()
    train(tmp_path / "run", broken, sound)
    assert len(broken.read) == 2
    assert len(sound.read) == 4
    said = [r for r in caplog.records if "is switched off, the training goes on" in r.message]
    assert len(said) == 1
    assert "Raises" in said[0].message


@pytest.mark.parametrize(
    "event", [{"count": 1}, {"name": "x", "kind": "step"}, {"name": "x", "what": object()}]
)
def test_an_event_that_a_journal_cannot_hold_switches_off_the_observer_alone(tmp_path, event):
    class Odd(Seen):
        def reading(self, *given):
            super().reading(*given)
            return [event]

    odd = Odd()
    _, recorder = train(tmp_path / "run", odd)
    assert len(odd.read) == 1
    assert recorder.error is None
    assert Run(tmp_path / "run").steps == list(range(4))


def test_a_training_that_resumes_tells_from_where(tmp_path):
    train(tmp_path / "run")
    seen, net = Seen(), model()
    with Recorder(
        tmp_path / "run", material()[2], EVERY, observers=[seen], overwrite=True
    ) as recorder:
        recorder.step(net, 2)
    assert seen.begun[0] == 2
    assert seen.begun[-1] <= 2


@pytest.mark.parametrize("observers", [[object()], 3, [print]])
def test_what_cannot_look_on_is_refused(observers):
    with pytest.raises(BadInput, match="cannot look on"):
        check_observers(observers)
