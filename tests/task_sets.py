"""Sets that many tests look at and none changes."""

import pytest

from nucleate.tasks import TaskSet, geo, synthetic


@pytest.fixture(scope="session")
def own() -> TaskSet:
    return synthetic(seed=0)


@pytest.fixture(scope="session")
def shared() -> TaskSet:
    return synthetic(seed=0, outputs="shared")


@pytest.fixture(scope="session")
def places() -> TaskSet:
    return geo(seed=0)
