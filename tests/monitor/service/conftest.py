"""One atlas for all tests of the service."""

from pathlib import Path

import pytest

from served_atlas import client_of, make_atlas, service_of


@pytest.fixture(scope="session")
def atlas_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "atlas"
    make_atlas(folder)
    return folder


@pytest.fixture
def client(atlas_folder):
    with client_of(service_of(atlas_folder)) as client:
        yield client
