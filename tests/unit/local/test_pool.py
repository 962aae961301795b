"""How many runners a pool of the local cluster still asks for."""

from __future__ import annotations

import os

import pytest

from offload.backends.local.pool import LocalPool, LocalRunner, restore
from offload.backends.local.state import Admitted, Over, PoolFiles, Wish
from offload.model.observation import Phase
from offload.model.resources import Resources


def _pool(tmp_path, wanted: int) -> LocalPool:
    wish = Wish(
        pool="k7m2q9x-0",
        user="ada",
        resources=Resources(),
        launcher="unix:/nowhere",
        submitted=0.0,
        grace=1.0,
        wanted=wanted,
    )
    return LocalPool(PoolFiles(tmp_path), wish)


@pytest.mark.parametrize("phase", [Phase.ENDED, Phase.GONE])
def test_a_runner_that_is_wanted_is_replaced_however_it_ended(tmp_path, phase) -> None:
    pool = _pool(tmp_path, wanted=1)
    pool.runners[0] = LocalRunner(0, Admitted(at=1.0), over=Over(at=2.0, phase=phase))
    request = pool.request(now=100.0)
    assert request is not None
    assert (request.missing, request.live) == (1, 0)


def test_a_pool_with_more_runners_than_are_wanted_asks_for_none(tmp_path) -> None:
    pool = _pool(tmp_path, wanted=1)
    pool.runners |= {number: LocalRunner(number, Admitted(at=1.0)) for number in range(3)}
    assert pool.request(now=100.0) is None
    assert len(pool.alive()) == 3


@pytest.mark.parametrize("left", [(), ("token",)])
def test_what_a_killed_launcher_left_of_a_pool_without_a_wish_is_removed(tmp_path, left) -> None:
    directory = tmp_path / "k7m2q9x-0"
    directory.mkdir()
    for name in left:
        (directory / name).write_text("secret")
    assert restore(PoolFiles(directory)) is None
    assert not directory.exists()


def test_the_wish_of_a_pool_goes_last(tmp_path, monkeypatch) -> None:
    pool = _pool(tmp_path / "k7m2q9x-0", wanted=1)
    pool.files.write_wish(pool.wish, "secret")
    seen: list[list[str]] = []
    unlink = os.unlink

    def note(path, *args, **kwargs):
        seen.append(sorted(one.name for one in pool.files.directory.iterdir()))
        unlink(path, *args, **kwargs)

    monkeypatch.setattr(os, "unlink", note)
    pool.files.remove()
    assert seen == [["token", "wish.json"], ["wish.json"]]
    assert not pool.files.directory.exists()
