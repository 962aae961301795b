"""config.toml: what it may say, and what is told when it says something else."""

from __future__ import annotations

import pytest

from offload.errors import SettingsError
from offload.launcher.clusters import ClusterSettings
from offload.server.settings import SETTINGS, load_settings


@pytest.fixture
def load(tmp_path):
    def read(text: str | None = None, **env: str):
        path = tmp_path / "config.toml"
        if text is not None:
            path.write_text(text)
        return load_settings(path, tmp_path, env)

    return read


def test_without_a_file_the_defaults_hold(load, tmp_path):
    settings = load()
    assert settings.store == f"sqlite:///{tmp_path}/store.sqlite"
    assert (settings.retention, settings.idle_limit, settings.listen) == (30 * 86400, 15 * 60, ())
    assert [(cluster.name, cluster.backend) for cluster in settings.clusters] == [("local", "local")]


def test_every_setting_is_read(load):
    settings = load(
        """
        store = "postgresql://me@db/offload"
        retention = "7d"
        idle_limit = 90
        listen = ["127.0.0.1:8750", "[::1]:8750"]
        [clusters.big]
        backend = "local"
        cpus = 4
        """
    )
    assert settings.store == "postgresql://me@db/offload"
    assert (settings.retention, settings.idle_limit) == (7 * 86400, 90)
    assert settings.listen == ("127.0.0.1:8750", "[::1]:8750")
    local, big = settings.clusters
    assert local == ClusterSettings(name="local", backend="local")
    assert (big.name, big.backend, dict(big.settings)) == ("big", "local", {"cpus": 4})


def test_this_machine_is_a_cluster_unless_the_file_says_otherwise(load):
    def names(text: str) -> list[str]:
        return [cluster.name for cluster in load(text).clusters]

    assert names("[clusters.big]\nbackend = 'local'") == ["local", "big"]
    assert names("[clusters]\nlocal = false\n[clusters.big]\nbackend = 'local'") == ["big"]
    (local,) = load("[clusters.local]\nbackend = 'local'\ncpus = 1").clusters
    assert dict(local.settings) == {"cpus": 1}


def test_false_turns_retention_and_idle_limit_off(load):
    settings = load("retention = false\nidle_limit = false")
    assert (settings.retention, settings.idle_limit) == (None, None)


def test_a_launcher_that_others_reach_stays_unless_told_otherwise(load):
    assert load("listen = ['127.0.0.1:1']").idle_limit is None
    assert load("listen = ['127.0.0.1:1']\nidle_limit = '5m'").idle_limit == 300


def test_the_environment_wins_for_the_store(load):
    assert load("store = 'sqlite:////a'", OFFLOAD_STORE="sqlite:////b").store == "sqlite:////b"


def test_all_mistakes_are_told_at_once_with_their_lines_and_the_valid_keys(load):
    with pytest.raises(SettingsError) as caught:
        load(
            "retension = '7d'\nretention = 'soon'\nidle_limit = true\nlisten = ['here']\nstore = 5\n"
            "[clusters.Big]\nbackend = 'local'\n[clusters.small]\ncpus = 4\n"
        )
    sentence = caught.value.sentence
    for part in (
        "line 1: there is no setting 'retension'.",
        "line 2: retention: 'soon' is not a duration.",
        "line 3: idle_limit = True isn't valid",
        "line 4: listen = ['here'] isn't valid: 'here' is not an address",
        "line 5: store = 5 isn't valid",
        "line 6: 'Big' can't be the name of a cluster",
        "line 8: cluster small doesn't say which backend it has",
    ):
        assert part in sentence
    for key in SETTINGS:
        assert key in caught.value.next_step


def test_a_file_that_is_no_toml_is_told_with_the_place(load):
    with pytest.raises(SettingsError, match="line 1"):
        load("retention = = 1")


def test_clusters_that_are_no_table_are_told(load):
    with pytest.raises(SettingsError, match=r"write \[clusters.NAME\]"):
        load("clusters = 3")
