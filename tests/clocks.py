"""A clock that tests turn themselves."""

import pytest


class Clock:
    """Stands for the `time` module: hours pass in no time."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("nucleate.recording._recorder.time", clock)
    return clock
