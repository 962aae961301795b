from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest

from fakes.api_server import PODS, ApiServer, Reply, status
from fakes.certificates import Pair, make_certificate
from fakes.deadline import until
from fakes.plugin import FakeAws, aws
from offload.backends.kubernetes.access import Access, User
from offload.backends.kubernetes.api_errors import (
    AlreadyExistsError,
    ApiUnreachableError,
    ConflictError,
    CredentialsError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubernetesError,
    NotFoundError,
    ServerTroubleError,
    TooManyRequestsError,
    UnauthorizedError,
)
from offload.backends.kubernetes.client import Change, Client
from offload.backends.kubernetes.credentials import Credentials
from offload.backends.kubernetes.objects import Pod

JOBS = "/apis/batch/v1/namespaces/analytics/jobs"


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@asynccontextmanager
async def reaching(server: ApiServer, /, **settings: Any) -> AsyncIterator[Client]:
    timeout = settings.pop("timeout", 10.0)
    client = Client(Access(**{"name": "work", "server": server.url, **settings}), timeout=timeout)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
async def client(server) -> AsyncIterator[Client]:
    async with reaching(server) as made:
        yield made


async def first(client: Client, patience: float = 30.0) -> Change[Pod]:
    async with aclosing(client.watch(PODS, Pod, since="100", patience=patience)) as watching:
        return await anext(watching)


# --- objects ---


async def test_an_object_is_read_with_the_fields_that_are_looked_at(server, client) -> None:
    server.at[f"{PODS}/a"] = Reply(200, {"metadata": {"name": "a"}, "status": {"phase": "Failed"}, "new": 1})
    pod = await client.get(f"{PODS}/a", Pod)
    assert (pod.metadata.name, pod.status.phase) == ("a", "Failed")
    assert server.asked[0].headers["accept"] == "application/json"
    assert server.asked[0].headers["user-agent"].startswith("offload/")


async def test_a_list_comes_in_pages(server, client) -> None:
    for n in range(1200):
        server.put(f"pod-{n:04}")
    pods, version = await client.list(PODS, Pod, labels="a=b,c", fields="status.phase=Running")
    assert [pod.metadata.name for pod in pods] == [f"pod-{n:04}" for n in range(1200)]
    assert version == server.version
    assert [asked.query.get("continue") for asked in server.asked] == [None, "500", "1000"]
    assert {asked.query["limit"] for asked in server.asked} == {"500"}
    assert {asked.query["labelSelector"] for asked in server.asked} == {"a=b,c"}
    assert {asked.query["fieldSelector"] for asked in server.asked} == {"status.phase=Running"}


async def test_a_list_whose_next_page_is_forgotten_is_read_again_in_one(server, client) -> None:
    for n in range(600):
        server.put(f"pod-{n:04}")
    page = Reply(200, {"metadata": {"continue": "500", "resourceVersion": "1"}, "items": []})
    server.replies += [page, status(410, "Expired", "The provided continue parameter is too old")]
    pods, _ = await client.list(PODS, Pod)
    assert len(pods) == 600
    assert "limit" not in server.asked[-1].query


async def test_requests_share_a_connection(server, client) -> None:
    for _ in range(5):
        await client.list(PODS, Pod)
    assert {asked.connection for asked in server.asked} == {1}


async def test_an_object_is_created(server, client) -> None:
    server.replies.append(Reply(201, {"metadata": {"uid": "7"}}))
    assert await client.create(JOBS, {"kind": "Job"}) == b'{"metadata": {"uid": "7"}}'
    asked = server.asked[0]
    assert (asked.method, asked.path, asked.query) == ("POST", JOBS, {"fieldManager": "offload"})
    assert asked.headers["content-type"] == "application/json"
    assert asked.content == {"kind": "Job"}


async def test_an_object_is_applied_by_the_server(server, client) -> None:
    server.replies.append(Reply(200))
    await client.apply(f"{JOBS}/a", {"kind": "Job"})
    asked = server.asked[0]
    assert (asked.method, asked.query) == ("PATCH", {"fieldManager": "offload", "force": "true"})
    assert asked.headers["content-type"] == "application/apply-patch+yaml"


async def test_an_object_is_changed_if_it_is_still_what_was_read(server, client) -> None:
    server.replies.append(status(409, "Conflict", "the object has been modified"))
    with pytest.raises(
        ConflictError, match="change jobs a in namespace analytics: the object has been modified"
    ):
        await client.merge(f"{JOBS}/a", {"metadata": {"resourceVersion": "1"}, "spec": {"parallelism": 2}})
    assert server.asked[0].headers["content-type"] == "application/merge-patch+json"


async def test_deleting_tells_whether_it_was_there(server, client) -> None:
    server.replies += [
        Reply(200),
        status(404, "NotFound"),
        status(409, "Conflict", "Precondition failed: UID"),
    ]
    there = [await client.delete(f"{JOBS}/a", uid=uid) for uid in (None, None, "7")]
    assert there == [True, False, False]
    assert server.asked[0].content["propagationPolicy"] == "Background"
    assert server.asked[2].content["preconditions"] == {"uid": "7"}


async def test_a_conflict_at_deleting_that_has_nothing_to_do_with_the_uid_is_an_error(server, client) -> None:
    server.replies.append(status(409, "Conflict", "namespace is terminating"))
    with pytest.raises(ConflictError):
        await client.delete(f"{JOBS}/a")


async def test_a_log_is_read_up_to_a_size(server, client) -> None:
    server.at[f"{PODS}/a/log"] = Reply(200, b"\xff line")
    assert await client.log(f"{PODS}/a", "task", lines=10, limit_bytes=100) == b"\xff line"
    assert server.asked[0].query == {"container": "task", "tailLines": "10", "limitBytes": "100"}


async def test_rights_and_version_are_asked(server, client) -> None:
    server.at["/version"] = Reply(200, {"gitVersion": "v1.35.4"})
    server.at["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] = Reply(
        201, {"status": {"allowed": True}}
    )
    assert await client.version() == "v1.35.4"
    assert await client.allowed("analytics", "get", "pods", subresource="log")
    assert server.asked[1].content["spec"]["resourceAttributes"] == {
        "namespace": "analytics",
        "verb": "get",
        "resource": "pods",
        "group": "",
        "subresource": "log",
    }


# --- errors ---


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (status(401, "Unauthorized"), UnauthorizedError),
        (status(403, "Forbidden", "exceeded quota"), ForbiddenError),
        (status(404, "NotFound"), NotFoundError),
        (status(409, "Conflict"), ConflictError),
        (status(409, "AlreadyExists"), AlreadyExistsError),
        (status(410, "Expired"), GoneError),
        (status(422, "Invalid", causes=[{"field": "spec.x", "message": "no"}]), InvalidError),
        (status(400, "BadRequest"), InvalidError),
        (status(429, "TooManyRequests", retryAfterSeconds=60), TooManyRequestsError),
        (status(500, "InternalError"), ServerTroubleError),
        (status(504, "Timeout"), ServerTroubleError),
        (Reply(502, b"<html>Bad gateway</html>"), ServerTroubleError),
        (Reply(302, b"", {"Location": "/login"}), ServerTroubleError),
    ],
)
async def test_each_answer_has_its_error(server, client, reply: Reply, error: type[KubernetesError]) -> None:
    server.replies.append(reply)
    with pytest.raises(error) as caught:
        await client.create(JOBS, {})
    assert type(caught.value) is error
    assert caught.value.status == reply.status
    assert "create jobs in namespace analytics" in caught.value.sentence
    assert caught.value.code == "cluster"


async def test_an_error_keeps_what_kubernetes_says(server, client) -> None:
    server.replies.append(
        status(422, "Invalid", "Job is invalid", causes=[{"field": "spec.x", "message": "no"}])
    )
    with pytest.raises(InvalidError) as caught:
        await client.create(JOBS, {})
    assert (caught.value.reason, caught.value.message) == ("Invalid", "Job is invalid")
    assert [(cause.field, cause.message) for cause in caught.value.causes] == [("spec.x", "no")]


async def test_a_page_that_is_no_kubernetes_is_told(server, client) -> None:
    server.replies.append(Reply(200, b"<html>Please sign in</html>"))
    with pytest.raises(ServerTroubleError, match="doesn't seem to be a Kubernetes API server"):
        await client.list(PODS, Pod)


async def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(server, client) -> None:
    server.replies.append(Reply(429, status(429, "TooManyRequests").body, {"Retry-After": "1"}))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await client.list(PODS, Pod)
    assert loop.time() - began >= 1
    assert len(server.asked) == 2


async def test_a_server_that_asks_for_too_much_time_is_an_error_that_tells_it(server, client) -> None:
    server.replies.append(Reply(429, status(429, "TooManyRequests").body, {"Retry-After": "60"}))
    with pytest.raises(TooManyRequestsError) as caught:
        await client.list(PODS, Pod)
    assert caught.value.retry_after == 60


async def test_a_server_that_is_not_there_is_told(server, client) -> None:
    await server.__aexit__()
    with pytest.raises(
        ApiUnreachableError, match=r"can't be reached to list pods in namespace analytics: .+"
    ):
        await client.list(PODS, Pod)


async def test_a_server_that_says_nothing_is_given_up(server) -> None:
    server.mute = True
    async with reaching(server, timeout=0.2) as client:
        with pytest.raises(ApiUnreachableError, match=r"nothing was heard for 0\.2 s"):
            await client.version()


# --- watching ---


def told(change: Change[Pod]) -> tuple[str, str, str]:
    return change.type.value, change.object.metadata.name, change.resource_version


async def test_a_watch_tells_every_change_since_a_version_and_ends_when_the_server_ends_it(
    server, client
) -> None:
    server.put("a")
    since = server.version
    server.put("b")
    watching = client.watch(PODS, Pod, since=since, labels="x=y", patience=30.0)
    assert told(await anext(watching)) == ("ADDED", "b", "102")
    server.put("b", more="labels")
    server.remove("a")
    server.bookmark()
    server.end()
    assert [told(change) async for change in watching] == [
        ("MODIFIED", "b", "103"),
        ("DELETED", "a", "104"),
        ("BOOKMARK", "", "105"),
    ]
    assert server.asked[0].query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": "101",
        "timeoutSeconds": "27",
        "labelSelector": "x=y",
    }


async def test_a_line_that_comes_in_parts_is_put_together(server, client) -> None:
    server.put("a")
    async with aclosing(client.watch(PODS, Pod, since="100", patience=30.0)) as watching:
        await anext(watching)
        server.say(b'{"type": "ADDED", "obj')
        await asyncio.sleep(0)
        server.say(b'ect": {"metadata": {"name": "b"}}}\n{"type": "ADD')
        server.say(b'ED", "object": {"metadata": {"name": "c"}}}\n')
        assert [told(await anext(watching))[1] for _ in range(2)] == ["b", "c"]


@pytest.mark.parametrize("end", ["end", "cut"])
async def test_a_watch_that_breaks_amid_a_line_is_unreachable(server, client, end: str) -> None:
    server.put("a")
    async with aclosing(client.watch(PODS, Pod, since="100", patience=30.0)) as watching:
        await anext(watching)
        server.say(b'{"type": "ADDED", "obj')
        getattr(server, end)()
        with pytest.raises(ApiUnreachableError):
            await anext(watching)


async def test_a_silent_watch_is_given_up(server, client) -> None:
    server.silent = True
    with pytest.raises(ApiUnreachableError, match=r"nothing was heard for 0\.3 s"):
        await first(client, 0.3)
    await until(lambda: not server.watching)


@pytest.mark.parametrize(("date", "ahead"), [(3600, 3600), (-3600, -3600), (1, 0)])
async def test_the_time_is_that_of_the_servers_clock(server, client, date, ahead) -> None:
    server.replies.append(Reply(200, headers={"Date": formatdate(time.time() + date, usegmt=True)}))
    await client.version()
    assert abs((client.now() - datetime.now(UTC)).total_seconds() - ahead) < 3


async def test_a_date_that_is_none_changes_nothing(server, client) -> None:
    server.replies.append(Reply(200, headers={"Date": "yesterday"}))
    await client.version()
    assert abs((client.now() - datetime.now(UTC)).total_seconds()) < 1


async def test_a_version_that_is_forgotten_is_told_in_the_stream(server, client) -> None:
    server.put("a")
    server.forget()
    with pytest.raises(GoneError, match="too old resource version: 100"):
        await first(client)


async def test_a_version_that_is_forgotten_is_told_at_once(server, client) -> None:
    server.replies.append(status(410, "Expired"))
    with pytest.raises(GoneError):
        await first(client)


async def test_a_line_that_is_no_change_is_told(server, client) -> None:
    server.put("a")
    async with aclosing(client.watch(PODS, Pod, since="100", patience=30.0)) as watching:
        await anext(watching)
        server.say(b'{"type": "UNHEARD", "object": {}}\n')
        with pytest.raises(ServerTroubleError):
            await anext(watching)


async def test_a_watch_that_is_cancelled_closes_its_connection(server, client) -> None:
    watching = asyncio.ensure_future(first(client))
    await until(lambda: server.watching == 1)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    await until(lambda: server.connected == 0)


async def test_a_watch_does_not_keep_other_requests_waiting(server, client) -> None:
    async with aclosing(client.watch(PODS, Pod, since="100", patience=30.0)) as watching:
        change = asyncio.ensure_future(anext(watching))
        await until(lambda: server.watching == 1)
        await client.list(PODS, Pod)
        server.put("a")
        assert told(await change)[1] == "a"


# --- who we are ---


async def test_a_token_that_expired_meanwhile_is_renewed_and_the_request_sent_again(server, tmp_path) -> None:
    program = FakeAws(tmp_path)
    access = Access(name="eks", server=server.url, user=User(plugin=aws()))
    client = Client(access, credentials=Credentials(access, env=program.env))
    server.accepts = {"token-1"}
    await client.list(PODS, Pod)
    server.accepts = {"token-2"}
    await asyncio.gather(*(client.create(JOBS, {"n": n}) for n in range(5)))
    assert len(program.runs) == 2
    await client.aclose()


async def test_credentials_that_stay_refused_are_an_error_after_one_more_try(server, tmp_path) -> None:
    program = FakeAws(tmp_path)
    access = Access(name="eks", server=server.url, user=User(plugin=aws()))
    client = Client(access, credentials=Credentials(access, env=program.env))
    server.accepts = set()
    with pytest.raises(UnauthorizedError) as caught:
        await client.list(PODS, Pod)
    assert "kubectl auth whoami" in caught.value.next_step
    assert [asked.token for asked in server.asked] == ["token-1", "token-2"]
    await client.aclose()


async def test_a_fixed_token_that_is_refused_is_not_tried_again(server) -> None:
    server.accepts = set()
    async with reaching(server, user=User(token="wrong")) as client:
        with pytest.raises(UnauthorizedError):
            await client.list(PODS, Pod)
    assert len(server.asked) == 1


async def test_acting_as_somebody_else_is_sent(server) -> None:
    user = User(token="t", acts_as=(("Impersonate-User", "ann"),))
    async with reaching(server, user=user) as client:
        await client.list(PODS, Pod)
    assert server.asked[0].headers["impersonate-user"] == "ann"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_certificate(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture
async def secure(ca, tmp_path) -> AsyncIterator[ApiServer]:
    pair = make_certificate(tmp_path, "server", signer=ca, names="IP:127.0.0.1,DNS:kube.test")
    async with ApiServer(pair.context(clients=ca)) as running:
        yield running


def user_of(pair: Pair) -> User:
    return User(certificate=pair.certificate, key=pair.key)


async def test_a_server_is_trusted_if_the_kubeconfig_says_who_signs(secure, ca) -> None:
    async with reaching(secure, ca=ca.certificate.read_bytes()) as client:
        assert await client.list(PODS, Pod) == ([], "100")


@pytest.mark.filterwarnings("error")
async def test_a_request_that_is_cancelled_during_its_handshake_leaves_no_socket_open(secure, ca) -> None:
    trusted = ca.certificate.read_bytes()
    for moments in range(40):
        async with reaching(secure, ca=trusted) as client:
            asking = asyncio.ensure_future(client.list(PODS, Pod))
            for _ in range(moments):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
    await until(lambda: secure.connected == 0)
    gc.collect()


async def test_a_server_with_a_certificate_signed_by_somebody_else_is_not_trusted(secure, tmp_path) -> None:
    other = make_certificate(tmp_path, "other")
    async with reaching(secure, ca=other.certificate.read_bytes()) as client:
        with pytest.raises(ApiUnreachableError) as caught:
            await client.list(PODS, Pod)
    assert "get a fresh kubeconfig" in caught.value.next_step


async def test_without_a_ca_only_the_system_is_trusted(secure) -> None:
    async with reaching(secure) as client:
        with pytest.raises(ApiUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.list(PODS, Pod)


async def test_a_certificate_itself_can_be_what_is_trusted(tmp_path) -> None:
    alone = make_certificate(tmp_path, "alone", names="IP:127.0.0.1")
    async with (
        ApiServer(alone.context()) as server,
        reaching(server, ca=alone.certificate.read_bytes()) as client,
    ):
        assert await client.list(PODS, Pod) == ([], "100")


async def test_any_server_is_trusted_if_the_kubeconfig_says_so(secure) -> None:
    async with reaching(secure, insecure=True) as client:
        assert await client.list(PODS, Pod) == ([], "100")


async def test_a_server_is_known_by_the_name_that_the_kubeconfig_gives_it(secure, ca) -> None:
    trusted = ca.certificate.read_bytes()
    async with reaching(secure, ca=trusted, tls_server_name="kube.test") as client:
        assert await client.list(PODS, Pod) == ([], "100")
    async with reaching(secure, ca=trusted, tls_server_name="else.test") as client:
        with pytest.raises(ApiUnreachableError, match=r"else\.test"):
            await client.list(PODS, Pod)


async def test_a_client_certificate_that_is_renewed_on_disk_is_shown_without_ending_watches(
    secure, ca, tmp_path
) -> None:
    me = make_certificate(tmp_path, "me", signer=ca)
    async with reaching(secure, ca=ca.certificate.read_bytes(), user=user_of(me)) as client:
        watching = asyncio.ensure_future(first(client))
        await until(lambda: secure.watching == 1)
        await client.list(PODS, Pod)
        renewed = make_certificate(tmp_path, "renewed", signer=ca)
        me.key.write_bytes(renewed.key.read_bytes())
        me.certificate.write_bytes(renewed.certificate.read_bytes())
        await client.list(PODS, Pod)
        secure.put("a")
        assert told(await watching)[1] == "a"
        await until(lambda: secure.connected == 1)
    assert [asked.certificate for asked in secure.asked] == ["me", "me", "renewed"]
    await until(lambda: secure.connected == 0)


async def test_a_client_certificate_that_is_none_is_told(secure) -> None:
    async with reaching(secure, insecure=True, user=User(certificate=b"x", key=b"y")) as client:
        with pytest.raises(CredentialsError, match="the client certificate can't be used"):
            await client.list(PODS, Pod)


async def test_a_proxy_is_used_if_the_kubeconfig_names_it_and_not_because_of_the_shell(
    server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with reaching(server) as client:
        await client.list(PODS, Pod)
    async with reaching(server, server="http://kube.invalid", proxy_url=server.url) as client:
        await client.list(PODS, Pod)
    assert [asked.headers["host"] for asked in server.asked] == [f"127.0.0.1:{server.port}", "kube.invalid"]
