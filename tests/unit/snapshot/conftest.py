"""A launcher for blobs, and a working directory that is known to it."""

from __future__ import annotations

import pytest

from fakes.blob_launcher import blob_launcher
from offload.snapshot.take import take_snapshot


@pytest.fixture
def launcher(tmp_path):
    with blob_launcher(tmp_path / "launcher") as launcher:
        yield launcher


@pytest.fixture
def take(launcher, tmp_path):
    """Takes snapshots through one connection, with one cache."""
    sink = launcher.connect()
    return lambda root, **more: take_snapshot(root, cache_dir=tmp_path / "cache", sink=sink, **more)
