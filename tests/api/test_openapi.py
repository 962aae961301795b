"""The API does what its description says: generated requests, and answers as described."""

from __future__ import annotations

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fakes.service import Service
from offload.server.app import api_of

schemathesis.serializer.alias("application/vnd.offload.pack", "application/octet-stream")
schemathesis.serializer.alias("text/vnd.offload.manifest", "text/plain")
SCHEMA = schemathesis.openapi.from_dict(api_of(None).openapi())
CALLS = SCHEMA.exclude(path="/v1/launcher/stop")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_every_call_is_described_for_a_newcomer():
    description = api_of(None).openapi()
    for path, calls in description["paths"].items():
        for method, call in calls.items():
            assert call["summary"], (path, method)
            assert call["description"], (path, method)
            assert "422" in call["responses"], (path, method)
            for parameter in call.get("parameters", ()):
                assert parameter["description"], (path, parameter["name"])
    for schema in ("SubmissionBody", "DigestsBody"):
        assert description["components"]["schemas"][schema]["examples"]


def test_the_launcher_serves_its_description(service):
    assert service.call("GET", "/v1/openapi.json")["info"]["title"] == "Offload"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("home"))
    service.start()
    service.submit()
    transport = httpx2.HTTPTransport(uds=str(service.socket))
    with httpx2.Client(transport=transport, base_url="http://launcher", timeout=20) as made:
        yield made
    service.stop()


@CALLS.parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_generated_requests_are_answered_as_described(case, client):
    options = case.as_transport_kwargs(base_url="http://launcher")
    del options["cookies"]
    if isinstance(options.get("data"), bytes):
        options["content"] = options.pop("data")
    options["params"] = {**(options.get("params") or {}), "follow": "false"}
    response = client.request(**options)
    case.validate_response(response, checks=CHECKS)
