"""The API does what its description says: generated requests, and answers as described."""

from __future__ import annotations

import functools
from typing import Any, Final

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings

from fakes.service import Service
from offload.server.app import api_of

CALLS: Final = (
    "GET /v1/healthz",
    "POST /v1/jobs",
    "GET /v1/jobs",
    "POST /v1/jobs/admission",
    "POST /v1/jobs/history",
    "GET /v1/jobs/{job}",
    "GET /v1/jobs/{job}/usage",
    "GET /v1/jobs/{job}/tasks",
    "GET /v1/jobs/{job}/tasks/{index}",
    "POST /v1/jobs/{job}/cancel",
    "POST /v1/jobs/{job}/pause",
    "POST /v1/jobs/{job}/resume",
    "POST /v1/jobs/{job}/rerun",
    "GET /v1/jobs/{job}/events",
    "GET /v1/events",
    "GET /v1/jobs/{job}/logs",
    "POST /v1/blobs/missing",
    "PUT /v1/blobs",
    "POST /v1/blobs/fetch",
    "HEAD /v1/manifests/{digest}",
    "GET /v1/manifests/{digest}",
    "PUT /v1/manifests/{digest}",
    "GET /v1/clusters",
    "GET /v1/clusters/{name}",
    "PUT /v1/clusters/{name}",
    "DELETE /v1/clusters/{name}",
    "GET /v1/clusters/{name}/diagnosis",
    "GET /v1/launcher",
)
"""All but the one that ends the launcher."""


@functools.cache
def schema() -> Any:
    """The description, for generating requests.

    It takes seconds to import and to prepare what does that, so only who runs these tests pays for it.
    """
    import schemathesis  # noqa: PLC0415

    schemathesis.serializer.alias("application/vnd.offload.pack", "application/octet-stream")
    schemathesis.serializer.alias("text/vnd.offload.manifest", "text/plain")
    return schemathesis.openapi.from_dict(api_of(None).openapi())


def checks() -> list[Any]:
    from schemathesis.checks import not_a_server_error  # noqa: PLC0415
    from schemathesis.specs.openapi import checks as described  # noqa: PLC0415

    return [
        not_a_server_error,
        described.status_code_conformance,
        described.content_type_conformance,
        described.response_schema_conformance,
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


def test_every_call_is_listed_here():
    found = {
        f"{method.upper()} {path}"
        for path, calls in api_of(None).openapi()["paths"].items()
        for method in calls
    }
    assert found - {"POST /v1/launcher/stop"} == set(CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_generated_requests_are_answered_as_described(call, client):
    method, path = call.split()

    @given(schema()[path][method].as_strategy())
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(case):
        options = case.as_transport_kwargs(base_url="http://launcher")
        del options["cookies"]
        if isinstance(options.get("data"), bytes):
            options["content"] = options.pop("data")
        options["params"] = {**(options.get("params") or {}), "follow": "false"}
        case.validate_response(client.request(**options), checks=checks())

    check()
