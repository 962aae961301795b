"""The client and the informer, against a real API server, with exactly the rights that Offload asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cluster import access, control

from fakes.background import in_background
from fakes.deadline import until
from fakes.plugin import FakeAws, aws
from fakes.relay import Relay
from offload.backends.kubernetes.access import Access, User
from offload.backends.kubernetes.answers import decoded
from offload.backends.kubernetes.api_errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
    UnauthorizedError,
)
from offload.backends.kubernetes.client import ChangeType, Client
from offload.backends.kubernetes.credentials import Credentials
from offload.backends.kubernetes.informer import Backoff, Informer, Listed
from offload.backends.kubernetes.kubeconfig import in_cluster, read_access
from offload.backends.kubernetes.objects import Job, Node, Pod


def job(name: str, **spec: Any) -> dict[str, Any]:
    """A Job that never starts a pod."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "task", "image": "x"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"test": "yes"}},
        "spec": {"suspend": True, "parallelism": 1, "template": {"spec": pod}, **spec},
    }


@pytest.fixture
def reach(account_kubeconfig: Path) -> Access:
    return read_access(account_kubeconfig, None, {})


@pytest.fixture
async def client(reach: Access) -> AsyncIterator[Client]:
    made = Client(reach)
    yield made
    await made.aclose()


@pytest.fixture
def jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


@asynccontextmanager
async def through(relay: Relay, reach: Access) -> AsyncIterator[Client]:
    """A client that reaches the real API server through a relay, and knows it by its real name."""
    name = urlsplit(reach.server).hostname
    client = Client(replace(reach, server=f"https://127.0.0.1:{relay.port}", tls_server_name=name))
    try:
        yield client
    finally:
        await client.aclose()


def address(reach: Access) -> tuple[str, int]:
    parts = urlsplit(reach.server)
    assert parts.hostname
    return parts.hostname, parts.port or 443


class Listener:
    """The names that an informer of Jobs knows, and how often it listed."""

    def __init__(self, client: Client, jobs: str, patience: float = 60.0) -> None:
        self.informer = Informer(
            client, jobs, Job, labels="test=yes", patience=patience, backoff=Backoff(0.05, 0.5)
        )
        self.there: dict[str, Job] = {}
        self.lists = 0

    async def listen(self) -> None:
        async with aclosing(self.informer.follow()) as news:
            async for each in news:
                if isinstance(each, Listed):
                    self.lists += 1
                elif each.deleted:
                    del self.there[each.object.metadata.name]
                else:
                    self.there[each.object.metadata.name] = each.object


@asynccontextmanager
async def listening(client: Client, jobs: str, **settings: Any) -> AsyncIterator[Listener]:
    listener = Listener(client, jobs, **settings)
    async with in_background(listener.listen()):
        yield listener


async def test_the_server_says_its_version(client) -> None:
    assert (await client.version()).startswith("v1.")


async def test_rights_are_told_as_the_role_gives_them(client, namespace) -> None:
    assert await client.allowed(namespace, "create", "jobs", "batch")
    assert await client.allowed(namespace, "get", "pods", subresource="log")
    assert not await client.allowed(namespace, "create", "pods", subresource="exec")
    assert not await client.allowed("kube-system", "list", "pods")


async def test_what_is_not_allowed_says_who_may_not_do_what(client) -> None:
    with pytest.raises(ForbiddenError, match=r"list nodes: .*offload.* cannot list resource") as caught:
        await client.list("/api/v1/nodes", Node)
    assert caught.value.reason == "Forbidden"


async def test_a_job_is_applied_twice_changed_and_deleted(client, jobs) -> None:
    made = decoded(await client.apply(f"{jobs}/a", job("a")), Job, "x")
    again = decoded(await client.apply(f"{jobs}/a", job("a")), Job, "x")
    assert (made.metadata.uid, made.spec.suspend) == (again.metadata.uid, True)
    await client.merge(f"{jobs}/a", {"spec": {"parallelism": 3}})
    read = await client.get(f"{jobs}/a", Job)
    assert read.spec.parallelism == 3
    old = {"metadata": {"resourceVersion": made.metadata.resource_version}, "spec": {"parallelism": 4}}
    with pytest.raises(ConflictError, match="the object has been modified"):
        await client.merge(f"{jobs}/a", old)
    with pytest.raises(AlreadyExistsError):
        await client.create(jobs, job("a"))
    assert not await client.delete(f"{jobs}/a", uid="00000000-0000-0000-0000-000000000000")
    assert await client.delete(f"{jobs}/a", uid=read.metadata.uid)
    assert not await client.delete(f"{jobs}/a")
    with pytest.raises(NotFoundError):
        await client.get(f"{jobs}/a", Job)


async def test_what_is_not_valid_is_named_field_by_field(client, jobs) -> None:
    with pytest.raises(InvalidError) as caught:
        await client.apply(f"{jobs}/a", job("a", parallelism=-1, backoffLimit=-1))
    assert {cause.field for cause in caught.value.causes} == {"spec.parallelism", "spec.backoffLimit"}


async def test_a_list_with_more_than_a_page_is_whole(client, jobs) -> None:
    names = [f"job-{n:03}" for n in range(510)]
    for begin in range(0, len(names), 30):
        await asyncio.gather(*(client.create(jobs, job(name)) for name in names[begin : begin + 30]))
    listed, version = await client.list(jobs, Job, labels="test=yes")
    assert sorted(each.metadata.name for each in listed) == names
    assert int(version) > 0


async def test_a_watch_tells_changes_and_bookmarks_and_ends_in_order(client, jobs) -> None:
    _, version = await client.list(jobs, Job)
    await client.create(jobs, job("a"))
    await client.delete(f"{jobs}/a")
    seen = []
    async with aclosing(client.watch(jobs, Job, since=version, labels="test=yes", patience=12.0)) as changes:
        async for change in changes:
            seen.append((change.type, change.object.metadata.name))
            version = change.resource_version
    assert seen[0] == (ChangeType.ADDED, "a")
    assert (ChangeType.DELETED, "a") in seen
    assert seen[-1] == (ChangeType.BOOKMARK, "")
    async with aclosing(client.watch(jobs, Job, since=version, labels="test=yes", patience=1.5)) as changes:
        assert [change.type async for change in changes if change.type is not ChangeType.BOOKMARK] == []


async def test_a_watch_of_pods_gets_bookmarks_although_their_pod_has_no_containers(client, namespace) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    _, version = await client.list(pods, Pod)
    async with aclosing(client.watch(pods, Pod, since=version, patience=12.0)) as changes:
        seen = [change async for change in changes]
    assert {change.type for change in seen} == {ChangeType.BOOKMARK}
    assert int(seen[-1].resource_version) >= int(version)


async def test_a_version_from_before_the_history_is_gone(client, jobs) -> None:
    async with aclosing(client.watch(jobs, Job, since="1", patience=5.0)) as changes:
        with pytest.raises(GoneError, match="too old resource version"):
            await anext(changes)


async def test_a_connection_that_breaks_loses_nothing(client, reach, jobs) -> None:
    async with (
        Relay(*address(reach)) as relay,
        through(relay, reach) as indirect,
        listening(indirect, jobs) as listener,
    ):
        await client.create(jobs, job("stays"))
        await client.create(jobs, job("goes"))
        await until(lambda: set(listener.there) == {"stays", "goes"})
        relay.cut()
        await client.delete(f"{jobs}/goes")
        await client.create(jobs, job("comes"))
        await until(lambda: set(listener.there) == {"stays", "comes"} and listener.lists >= 2)


async def test_a_network_that_swallows_everything_is_noticed_and_loses_nothing(client, reach, jobs) -> None:
    async with (
        Relay(*address(reach)) as relay,
        through(relay, reach) as indirect,
        listening(indirect, jobs, patience=3.0) as listener,
    ):
        await client.create(jobs, job("a"))
        await until(lambda: set(listener.there) == {"a"})
        relay.swallows = True
        await client.create(jobs, job("b"))
        await until(lambda: "nothing was heard" in listener.informer.problem, seconds=30.0)
        assert set(listener.there) == {"a"}
        relay.swallows = False
        relay.cut()
        await until(lambda: set(listener.there) == {"a", "b"})
        assert listener.informer.problem == ""


@pytest.mark.own_cluster
async def test_a_restart_of_the_api_server_loses_nothing(client, jobs) -> None:
    async with listening(client, jobs) as listener:
        await client.create(jobs, job("goes"))
        await until(lambda: set(listener.there) == {"goes"})
        with control.stopped("kube-apiserver"):
            await until(lambda: "can't be reached" in listener.informer.problem)
        await _eventually(lambda: client.create(jobs, job("comes")))
        await client.delete(f"{jobs}/goes")
        await until(lambda: set(listener.there) == {"comes"}, seconds=30.0)
        assert listener.informer.problem == ""


async def _eventually(call: Callable[[], Awaitable[object]]) -> None:
    """A server that has just started can still say no to an account that it doesn't know yet."""

    async def works() -> bool:
        with suppress(ForbiddenError, UnauthorizedError):
            await call()
            return True
        return False

    deadline = asyncio.get_running_loop().time() + 30
    while not await works():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)


def bound_token(namespace: str, secret: str) -> str:
    """A real token that ends when a Secret does: Kubernetes gives none that lives for less than 600 s."""
    access.kubectl("create", "secret", "generic", secret, "--namespace", namespace)
    bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
    return access.kubectl("create", "token", access.ACCOUNT, "--namespace", namespace, *bound).strip()


async def ended(reach: Access, token: str, jobs: str) -> None:
    """Wait until the server, which remembers for 10 s, doesn't accept a token any more."""
    client = Client(replace(reach, user=User(token=token)))
    deadline = asyncio.get_running_loop().time() + 60
    with suppress(UnauthorizedError):
        while asyncio.get_running_loop().time() < deadline:
            await client.list(jobs, Job)
            await asyncio.sleep(0.5)
        pytest.fail("the token didn't end")
    await client.aclose()


async def test_a_program_aws_hands_out_a_token_that_ends_while_jobs_are_watched(
    reach, namespace, jobs, tmp_path
) -> None:
    first, second = (bound_token(namespace, f"token-{n}") for n in (1, 2))
    program = FakeAws(tmp_path / "bin")
    program.plan(status={"token": first}, life=3600)
    eks = replace(reach, user=User(plugin=aws()))
    client = Client(eks, credentials=Credentials(eks, env=program.env))
    async with listening(client, jobs) as listener:
        await client.create(jobs, job("before"))
        await until(lambda: set(listener.there) == {"before"})
        access.kubectl("delete", "secret", "token-1", "--namespace", namespace)
        await ended(reach, first, jobs)
        program.plan(status={"token": second}, life=3600)
        await client.create(jobs, job("after"))
        await until(lambda: set(listener.there) == {"before", "after"})
        assert listener.informer.problem == ""
    assert len(program.runs) == 2
    await client.aclose()


async def test_the_token_of_a_service_account_is_followed_through_its_rotation(
    reach, namespace, jobs, tmp_path
) -> None:
    first, second = (bound_token(namespace, f"token-{n}") for n in (1, 2))
    for name, content in (("token", first), ("namespace", namespace)):
        (tmp_path / name).write_text(content)
    (tmp_path / "ca.crt").write_bytes(reach.ca or b"")
    host, port = address(reach)
    pod = in_cluster(tmp_path, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)})
    client = Client(pod)
    await client.create(jobs, job("before"))
    (tmp_path / "next").write_text(second)
    (tmp_path / "next").rename(tmp_path / "token")
    access.kubectl("delete", "secret", "token-1", "--namespace", namespace)
    await ended(reach, first, jobs)
    await client.create(jobs, job("after"))
    assert pod.namespace == namespace
    await client.aclose()


async def test_the_log_of_a_container_is_read_up_to_a_size(client, namespace) -> None:
    manifest = _printing_pod("hello from a pod")
    access.kubectl("create", "--namespace", namespace, "-f", "-", given=manifest)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    access.kubectl(
        "wait", "--namespace", namespace, "--for=jsonpath={.status.phase}=Succeeded", "pod/prints", seconds=90
    )
    assert await client.log(f"{pods}/prints", "task", lines=10, limit_bytes=5) == b"hello"
    pod = await client.get(f"{pods}/prints", Pod)
    assert pod.status.container_statuses[0].state.terminated is not None


def _printing_pod(text: str) -> str:
    security = """{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, runAsNonRoot: true,
      runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}"""
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: prints}}
spec:
  restartPolicy: Never
  containers:
  - name: task
    image: offload-test-busybox:test
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "echo '{text}'"]
    securityContext: {security}
"""
