"""Images: what other registries, runtimes and versions say.

The words are those of the sources and the documentation of the programs that write them.
"""

from __future__ import annotations

import pytest

from fakes.pods import event, waiting
from offload.model.observation import Phase
from offload.model.reasons import ReasonCode

HUB = (
    'failed to pull and unpack image "docker.io/library/nope:1": failed to resolve reference '
    '"docker.io/library/nope:1": pull access denied, repository does not exist or may require authorization: '
    "server message: insufficient_scope: authorization failed"
)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (HUB, "doesn't exist, or its registry doesn't show it"),
        (
            "reading manifest 1 in quay.io/x/tool: unauthorized: access is not authorized",
            "show",
        ),
        ("failed to authorize: failed to fetch oauth token: unexpected status: 403 Forbidden", "show"),
        ("no basic auth credentials", "show"),
        ("manifest unknown: manifest unknown", "doesn't exist in its registry"),
        ("no match for platform in manifest: not found", "isn't made for the processors"),
    ],
)
def test_an_answer_of_a_registry_is_final_once_the_cluster_pauses(words, problem):
    first = waiting("ErrImagePull", words, event("Failed", f'Failed to pull image "tool:1": {words}'))
    again = waiting(
        "ErrImagePull", words, event("Failed", f'Failed to pull image "tool:1": {words}', count=2)
    )
    paused = waiting("ImagePullBackOff", f'Back-off pulling image "tool:1": ErrImagePull: {words}')
    assert [first.final, again.final, paused.final] == [False, True, True]
    assert problem in paused.reason.sentence


def test_an_older_kubernetes_tells_the_answer_in_the_event_alone():
    told = event("Failed", f'Failed to pull image "nope:1": rpc error: code = Unknown desc = {HUB}')
    seen = waiting("ImagePullBackOff", 'Back-off pulling image "nope:1"', told, image="nope:1")
    assert seen.final
    assert "insufficient_scope" in seen.reason.words


@pytest.mark.parametrize(
    "words",
    [
        "toomanyrequests: You have reached your pull rate limit",
        "unexpected status code [manifests 1]: 503 Service Unavailable",
        "Get https://r.example.com/v2/: net/http: TLS handshake timeout",
        "Get https://r.example.com/v2/: EOF",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "a word that nobody has seen yet",
    ],
)
def test_a_registry_that_is_away_is_waited_for(words):
    assert not waiting("ImagePullBackOff", words, seconds=10**6).final


@pytest.mark.parametrize(
    "image", ["geofence:1", "r.example.com/denied/timeout-401:404", "r.example.com/x509@sha256:00"]
)
def test_the_name_of_an_image_is_no_answer(image):
    away = f'failed to resolve reference "{image}": Head "https://r/v2/{image}": dial tcp: i/o timeout'
    absent = f'failed to resolve reference "{image}": {image}: not found'
    assert not waiting("ImagePullBackOff", away, image=image).final
    seen = waiting("ImagePullBackOff", absent, image=image)
    assert seen.final
    assert "doesn't exist in its registry" in seen.reason.sentence


@pytest.mark.parametrize(
    "words",
    [
        'exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown',
        "executable file `/bin/sh` not found in $PATH: No such file or directory",
        'OCI runtime create failed: exec: "/bin/sh": executable file not found in $PATH',
    ],
)
@pytest.mark.parametrize("reason", ["RunContainerError", "CreateContainerError"])
def test_every_runtime_says_in_its_own_way_that_there_is_no_shell(reason, words):
    seen = waiting(reason, words)
    assert (seen.phase, seen.reason.code, seen.final) == (Phase.WAITING, ReasonCode.IMAGE_UNAVAILABLE, True)
    assert "no shell" in seen.reason.sentence


def test_a_file_that_is_missing_elsewhere_is_no_missing_shell():
    seen = waiting("CreateContainerError", 'error mounting "/data" to rootfs: no such file or directory')
    assert not seen.final
    assert "shell" not in seen.reason.sentence
