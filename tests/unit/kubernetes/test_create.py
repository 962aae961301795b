"""A cluster from its settings: what is wrong with the kubeconfig is the cluster's trouble alone."""

from __future__ import annotations

import pytest

from offload.backends.contract import BackendContext
from offload.backends.kubernetes import create, identity
from offload.errors import BackendUnavailableError, SettingsError


def test_a_kubeconfig_that_is_not_there_makes_the_cluster_unavailable_and_nothing_else(tmp_path):
    absent = str(tmp_path / "kubeconfig")
    with pytest.raises(BackendUnavailableError, match="kubeconfig") as caught:
        create(BackendContext(cluster="work", directory=tmp_path, settings={"kubeconfig": absent}))
    assert absent in caught.value.sentence


def test_a_key_that_is_unknown_is_a_mistake_in_the_settings(tmp_path):
    with pytest.raises(SettingsError, match="contxt"):
        create(BackendContext(cluster="work", directory=tmp_path, settings={"contxt": "a"}))


def test_a_launcher_keeps_its_identity_for_as_long_as_its_data(tmp_path):
    first = identity(tmp_path)
    assert len(first) == 10
    assert identity(tmp_path) == first
