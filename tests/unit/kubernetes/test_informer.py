from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from fakes.api_server import PODS, ApiServer, Reply, status
from fakes.background import in_background
from fakes.deadline import until
from offload.backends.kubernetes.access import Access
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.informer import Backoff, Informer, Listed, Seen
from offload.backends.kubernetes.objects import Pod


class Listener:
    """Notes what an informer says, and keeps the picture that follows from it."""

    def __init__(self, informer: Informer[Pod]) -> None:
        self.informer = informer
        self.told: list[str] = []
        self.there: dict[str, str] = {}

    async def listen(self) -> None:
        async with aclosing(self.informer.follow()) as news:
            async for each in news:
                self._note(each)

    def _note(self, each: Seen[Pod] | Listed) -> None:
        if isinstance(each, Listed):
            self.told.append("listed")
            return
        name, version = each.object.metadata.name, each.object.metadata.resource_version
        self.told.append(f"{'-' if each.deleted else '+'}{name}")
        if each.deleted:
            del self.there[name]
        else:
            self.there[name] = version


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@asynccontextmanager
async def listening(server: ApiServer, **settings: Any) -> AsyncIterator[Listener]:
    client = Client(Access(name="work", server=server.url), timeout=5.0)
    settings = {"backoff": Backoff(0.01, 0.05), **settings}
    listener = Listener(Informer(client, PODS, Pod, **settings))
    try:
        async with in_background(listener.listen()):
            yield listener
    finally:
        await client.aclose()


@pytest.fixture
async def listener(server) -> AsyncIterator[Listener]:
    async with listening(server) as made:
        yield made


def versions(server: ApiServer) -> dict[str, str]:
    return {name: each["metadata"]["resourceVersion"] for name, each in server.objects.items()}


async def watched(server: ApiServer) -> None:
    await until(lambda: server.watching == 1)


async def test_what_there_is_comes_first_and_every_change_after_it(server) -> None:
    server.put("a")
    server.put("b")
    async with listening(server, labels="x=y", fields="f=g") as listener:
        await watched(server)
        assert listener.told == ["+a", "+b", "listed"]
        server.put("c")
        server.put("a", more="labels")
        server.remove("b")
        await until(lambda: listener.told[3:] == ["+c", "+a", "-b"])
        assert {(a.query["labelSelector"], a.query["fieldSelector"]) for a in server.asked} == {
            ("x=y", "f=g")
        }
    assert listener.informer.problem == ""


async def test_a_watch_that_ended_in_order_goes_on_where_it_was_without_a_list(server) -> None:
    async with listening(server, patience=2.0) as listener:
        await watched(server)
        server.put("a")
        server.bookmark()
        await until(lambda: sum(a.watches for a in server.asked) == 3)
        server.put("b")
        await until(lambda: listener.told == ["listed", "+a", "+b"])
    assert [a.query["resourceVersion"] for a in server.asked if a.watches][1] == "102"
    assert server.lists() == 1


async def test_what_vanished_during_a_gap_is_told_as_deleted_and_what_stayed_is_not_told_again(
    server,
) -> None:
    for name in ("stays", "changes", "goes"):
        server.put(name)
    async with listening(server) as listener:
        await watched(server)
        listener.told.clear()
        server.silent = True
        server.remove("goes")
        server.put("changes", more="labels")
        server.put("comes")
        server.cut()
        server.silent = False
        await until(lambda: "listed" in listener.told)
        assert listener.told == ["-goes", "+changes", "+comes", "listed"]


async def test_a_name_that_is_somebody_elses_by_now_is_told_as_deleted_first(server, listener) -> None:
    await watched(server)
    server.put("a")
    await until(lambda: listener.told == ["listed", "+a"])
    server.silent = True
    server.remove("a")
    server.put("a")
    server.cut()
    server.silent = False
    await until(lambda: listener.told == ["listed", "+a", "-a", "+a", "listed"])


async def test_a_version_that_is_forgotten_leads_to_a_new_list(server, listener) -> None:
    await watched(server)
    server.silent = True
    server.put("a")
    server.forget()
    server.silent = False
    server.end()
    await until(lambda: "+a" in listener.told)
    await watched(server)
    assert server.lists() == 2
    assert listener.informer.problem == ""


async def test_a_watch_that_falls_silent_is_given_up_and_nothing_is_missed(server) -> None:
    async with listening(server, patience=0.5) as listener:
        await watched(server)
        server.silent = True
        server.put("a")
        await until(lambda: server.watching == 0)
        server.silent = False
        await until(lambda: listener.told == ["listed", "+a", "listed"])


async def test_trouble_is_shown_as_long_as_it_lasts_and_never_ends_the_informer(server, listener) -> None:
    await watched(server)
    server.at[PODS] = status(403, "Forbidden", "pods is forbidden")
    server.cut()
    await until(lambda: "pods is forbidden" in listener.informer.problem)
    server.at[PODS] = Reply(200, b"<html>")
    await until(lambda: "doesn't seem to be a Kubernetes" in listener.informer.problem)
    server.at[PODS] = status(401, "Unauthorized")
    await until(lambda: "doesn't know who we are" in listener.informer.problem)
    del server.at[PODS]
    heard = listener.informer.last_heard
    await watched(server)
    assert listener.informer.problem == ""
    assert listener.informer.last_heard > heard


async def test_a_server_that_asks_to_be_left_alone_is(server) -> None:
    busy = Reply(429, status(429, "TooManyRequests").body, {"Retry-After": "6"})
    server.at[PODS] = busy
    async with listening(server) as listener:
        await until(lambda: listener.informer.problem)
        asked = len(server.asked)
        await asyncio.sleep(0.3)
        assert len(server.asked) == asked == 1


async def test_watches_that_are_ended_at_once_are_trouble_and_not_asked_for_without_a_pause(server) -> None:
    server.ends_at_once = True
    async with listening(server, backoff=Backoff(30.0)) as listener:
        await until(lambda: listener.informer.problem)
        assert "each watch is ended at once" in listener.informer.problem
        assert len(server.asked) == 2


async def test_an_informer_that_nobody_listens_to_any_more_holds_no_connection(server) -> None:
    client = Client(Access(name="work", server=server.url))
    async with in_background(Listener(Informer(client, PODS, Pod)).listen()):
        await watched(server)
    await until(lambda: server.watching == 0)
    await client.aclose()
    await until(lambda: server.connected == 0)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_the_picture_is_what_there_is(server, seed: int) -> None:
    chance = random.Random(seed)
    async with listening(server, patience=1.5) as listener:
        for step in range(150):
            _happen(chance, server, f"pod-{chance.randrange(6)}")
            if chance.random() < 0.3:
                await asyncio.sleep(chance.choice((0, 0.001, 0.02)))
            server.put("last", step=str(step))
        server.silent = server.ends_at_once = False
        server.replies.clear()
        server.cut()
        await until(lambda: listener.there == versions(server))


def _happen(chance: random.Random, server: ApiServer, name: str) -> None:
    match chance.randrange(10):
        case 0:
            server.cut()
        case 1:
            server.end()
        case 2:
            server.forget()
        case 3:
            server.silent = not server.silent
        case 4:
            server.replies.append(chance.choice((status(410, "Expired"), status(500, "x"), Reply(200, b"<"))))
        case 5:
            server.bookmark()
        case 6 | 7 if name in server.objects:
            server.remove(name)
        case _:
            server.put(name, n=str(chance.random()))


def test_pauses_double_up_to_the_longest_and_differ() -> None:
    backoff = Backoff(1.0, 8.0)
    pauses = [backoff.next() for _ in range(100)]
    for pause, longest in zip(pauses, [1.0, 2.0, 4.0] + [8.0] * 97, strict=True):
        assert longest / 2 <= pause <= longest
    assert len(set(pauses)) == 100
    backoff.reset()
    assert backoff.next() <= 1.0
    assert backoff.next(at_least=20.0) == 20.0


async def test_a_watch_that_ends_soon_but_brought_something_goes_on_without_a_list(server, listener) -> None:
    for name in ("a", "b", "c"):
        await watched(server)
        server.put(name)
        await until(lambda name=name: f"+{name}" in listener.told)
        server.end()
    await watched(server)
    assert server.lists() == 1
