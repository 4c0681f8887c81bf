"""Requests made up from the OpenAPI: none fails the service, and what it describes holds."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from nucleate.monitor.service import Limits, Token, make_app
from served_atlas import TOKEN, service_of

few = settings(
    max_examples=15, derandomize=True, deadline=None, database=None,
    phases=[Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
ALLOWED = {"authorization": f"Bearer {TOKEN}"}
OPERATIONS = [
    ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("POST", "/v1/score"),
    ("GET", "/v1/drift"), ("GET", "/v1/gate"), ("POST", "/v1/reload"),
]  # fmt: skip


def checks_left_out(*, packed: bool):
    """The token has tests of its own; and no schema can say that bytes must be whole rows."""
    load_all_checks()
    data = ["positive_data_acceptance", "negative_data_rejection"] if packed else []
    return CHECKS.get_by_names(["ignored_auth", *data])


@pytest.fixture(scope="module")
def described(atlas_folder):
    service = service_of(atlas_folder, limits=Limits(rows=20, text=50))
    app = make_app(service, token=Token(TOKEN))
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=ALLOWED)


def test_every_operation_is_described(described):
    found = {(each.ok().method.upper(), each.ok().path) for each in described.get_all_operations()}
    assert found == set(OPERATIONS)


TRIED = [
    *((GenerationMode.POSITIVE, *operation) for operation in OPERATIONS),
    (GenerationMode.NEGATIVE, "POST", "/v1/score"),  # nothing else takes what could be wrong
]


@pytest.mark.parametrize(("mode", "method", "path"), TRIED)
def test_the_answers_are_as_described(described, method, path, mode):
    operation = described[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @few
    def check(case):
        packed = case.media_type == "application/octet-stream"
        case.call_and_validate(headers=ALLOWED, excluded_checks=checks_left_out(packed=packed))

    check()
