"""Clusters come, change and go while the launcher works, and the file says so."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from fakes.service import NotingBackend, caught, until
from offload.backends.contract import Capabilities
from offload.errors import (
    BackendUnavailableError,
    ClusterBusyError,
    ClusterExistsError,
    SettingsError,
    UnknownClusterError,
    UsageError,
)
from offload.model.diagnosis import Diagnosis, Finding
from offload.model.ids import pool_id
from offload.model.observation import Observation, Phase
from offload.model.reasons import Reason, ReasonCode
from offload.model.resources import Resources
from offload.server.settings import load_settings

EKS = {"backend": "noting", "settings": {"namespace": "analytics", "profiles": {"gpu": {"gpus": 1}}}}
WAITS = Reason(code=ReasonCode.WAITING_FOR_NODE, sentence="Waits for a node.", words="0/3 nodes")


class StrictBackend(NotingBackend):
    """Refuses a setting, can't be loaded with another, and has profiles and mounts."""

    def __init__(self, context, listing) -> None:
        super().__init__(context, listing)
        if "colour" in context.settings:
            raise SettingsError(
                "Not valid.", next_step="Leave it out.", details={"mistakes": [(["colour"], "there is none")]}
            )
        if context.settings.get("context") == "lost":
            raise BackendUnavailableError("There is no context lost.", next_step="There is: my-eks.")
        self.capabilities = Capabilities(
            profiles={"gpu": "1 GPU"}, mounts={"data": "/data"}, images={"r": "r:4"}
        )

    def admit(self, spec, user):
        cpus = 3.0 if "cpus" in spec.left_open else spec.resources.cpus
        return replace(super().admit(spec, user), resources=Resources(cpus=cpus), image="r:4")

    async def diagnose(self) -> Diagnosis:
        return Diagnosis(
            findings=(Finding(about="rights", works=False, sentence="None.", next_step="Ask."),),
            request="kind: Role",
        )


@pytest.fixture
def strict(service):
    service.stop()
    service.loader = lambda _, context: (
        NotingBackend(context, service.running)
        if context.cluster == "local"
        else StrictBackend(context, service.running)
    )
    service.start()
    return service


def written(service) -> dict:
    return tomllib.loads(service.config.settings_file.read_text()).get("clusters", {})


def names(service) -> list[str]:
    return [cluster["name"] for cluster in service.call("GET", "/v1/clusters")]


def test_a_cluster_that_is_added_takes_jobs_at_once_and_stands_in_the_file(strict):
    view = strict.call("PUT", "/v1/clusters/eks", EKS)
    assert (view["name"], view["available"], view["profiles"]) == ("eks", True, {"gpu": "1 GPU"})
    assert (view["mounts"], view["images"]) == ({"data": "/data"}, {"r": "r:4"})
    assert written(strict) == {"eks": {"backend": "noting", **EKS["settings"]}}
    assert names(strict) == ["local", "eks"]
    job = strict.submit(cluster="eks")
    (scaled,) = until(lambda: strict.backend("eks").scaled)
    assert (scaled[0].id, scaled[0].image) == (pool_id(job.id), "r:4")
    assert strict.backend("local").scaled == []


def test_what_the_added_cluster_sees_is_seen(strict):
    strict.call("PUT", "/v1/clusters/eks", EKS)
    job = strict.submit(cluster="eks").id
    seen = Observation(pool=pool_id(job), phase=Phase.WAITING, reason=WAITS)
    strict.run(lambda: strict.backend("eks").see(seen))
    assert until(lambda: strict.job(job).reason) == WAITS


def test_adding_the_same_again_changes_nothing(strict):
    strict.call("PUT", "/v1/clusters/eks", EKS)
    backend = strict.backend("eks")
    strict.config.settings_file.write_text(strict.config.settings_file.read_text() + "# mine\n")
    strict.call("PUT", "/v1/clusters/eks", EKS)
    assert strict.backend("eks") is backend
    assert "# mine" in strict.config.settings_file.read_text()


def test_another_one_of_the_same_name_is_refused_unless_it_is_to_replace_it(strict):
    strict.call("PUT", "/v1/clusters/eks", EKS)
    other = {"backend": "noting", "settings": {"namespace": "other"}}
    error = caught(lambda: strict.call("PUT", "/v1/clusters/eks", other))
    assert (type(error), "--replace" in error.next_step) == (ClusterExistsError, True)
    assert written(strict)["eks"]["namespace"] == "analytics"
    strict.call("PUT", "/v1/clusters/eks?replace=true", other)
    assert written(strict)["eks"] == {"backend": "noting", "namespace": "other"}
    assert strict.backend("eks").context.settings == {"namespace": "other"}


def test_a_replaced_cluster_is_told_anew_what_its_jobs_want(strict):
    strict.call("PUT", "/v1/clusters/eks", EKS)
    job = strict.submit("1-3", cluster="eks")
    until(lambda: strict.backend("eks").scaled)
    strict.call("PUT", "/v1/clusters/eks?replace=true", {"backend": "noting", "settings": {}})
    (scaled,) = until(lambda: strict.backend("eks").scaled)
    assert (scaled[0].id, scaled[1]) == (pool_id(job.id), 3)


def test_settings_that_the_backend_refuses_are_not_kept(strict):
    for settings, kind, words in (
        ({"colour": "red"}, SettingsError, "colour: there is none"),
        ({"context": "lost"}, BackendUnavailableError, "There is no context lost."),
        ({"key": None}, SettingsError, "None is no value of TOML"),
    ):
        error = caught(
            lambda body={"backend": "noting", "settings": settings}: strict.call(
                "PUT", "/v1/clusters/eks", body
            )
        )
        assert (type(error), words in error.sentence) == (kind, True), error.sentence
    assert names(strict) == ["local"]
    assert not strict.config.settings_file.exists()


@pytest.mark.parametrize("name", ["Big", "a_b", "x" * 64, "%20"])
def test_a_name_that_no_cluster_can_have_is_refused(strict, name):
    error = caught(lambda: strict.call("PUT", f"/v1/clusters/{name}", EKS))
    assert (type(error), "small letters" in error.sentence) == (UsageError, True)


def test_a_removed_cluster_leaves_the_file_as_it_was(strict):
    before = '# mine\nretention = "7d"\n'
    strict.config.settings_file.write_text(before)
    strict.call("PUT", "/v1/clusters/eks", EKS)
    strict.call("DELETE", "/v1/clusters/eks")
    assert strict.config.settings_file.read_text().rstrip() == before.rstrip()
    assert names(strict) == ["local"]
    assert type(caught(lambda: strict.call("GET", "/v1/clusters/eks"))) is UnknownClusterError
    strict.call("DELETE", "/v1/clusters/eks")


def test_a_cluster_with_unfinished_jobs_is_not_removed_unless_forced_and_its_jobs_wait(strict):
    strict.call("PUT", "/v1/clusters/eks", EKS)
    job = strict.submit(cluster="eks").id
    until(lambda: strict.backend("eks").scaled)
    error = caught(lambda: strict.call("DELETE", "/v1/clusters/eks"))
    assert (type(error), error.details) == (ClusterBusyError, {"jobs": [job]})
    strict.call("DELETE", "/v1/clusters/eks?force=true")
    assert strict.job(job).state == "pending"
    strict.call("PUT", "/v1/clusters/eks", EKS)
    (scaled,) = until(lambda: strict.backend("eks").scaled)
    assert scaled[0].id == pool_id(job)


def test_this_machine_is_not_removed(strict):
    error = caught(lambda: strict.call("DELETE", "/v1/clusters/local"))
    assert "local = false" in error.next_step


def test_a_file_that_is_a_link_stays_one(strict, tmp_path):
    real = tmp_path / "dotfiles.toml"
    real.write_text("# mine\n")
    real.chmod(0o640)
    strict.config.settings_file.symlink_to(real)
    strict.call("PUT", "/v1/clusters/eks", EKS)
    assert strict.config.settings_file.is_symlink()
    assert "[clusters.eks]" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_keeps_the_cluster_out(strict):
    strict.config.settings_file.mkdir()
    error = caught(lambda: strict.call("PUT", "/v1/clusters/eks", EKS))
    assert (type(error), str(strict.config.settings_file) in error.sentence) == (SettingsError, True)
    assert names(strict) == ["local"]


def test_a_diagnosis_tells_what_is_missing_and_what_to_ask_for(strict):
    strict.call("PUT", "/v1/clusters/eks", EKS)
    found = strict.call("GET", "/v1/clusters/eks/diagnosis")
    assert found["request"] == "kind: Role"
    assert found["findings"] == [
        {"about": "rights", "works": False, "sentence": "None.", "next_step": "Ask."}
    ]
    strict.backend("eks").diagnose = lambda: strict.nothing
    (finding,) = strict.call("GET", "/v1/clusters/eks/diagnosis")["findings"]
    assert (finding["works"], "AttributeError" in finding["sentence"]) == (False, True)


def test_what_a_job_would_become_is_told_without_keeping_it(strict):
    strict.call("PUT", "/v1/clusters/eks", EKS)
    spec = {
        "command": ["Rscript", "fit.R"], "name": "fit.R", "cluster": "eks", "snapshot": "sha256:" + "0" * 64,
        "home": "file://here/work", "left_open": ["cpus"],
    }  # fmt: skip
    admitted = strict.call("POST", "/v1/jobs/admission", {"spec": spec, "key": "k"})
    assert (admitted["resources"]["cpus"], admitted["image"], admitted["left_open"]) == (3.0, "r:4", [])
    error = caught(
        lambda: strict.call("POST", "/v1/jobs/admission", {"spec": spec | {"cluster": "x"}, "key": "k"})
    )
    assert type(error) is UnknownClusterError
    error = caught(
        lambda: strict.call(
            "POST", "/v1/jobs/admission", {"spec": spec | {"cluster": "local", "image": "i"}, "key": "k"}
        )
    )
    assert "The cluster local has no images." in error.sentence
    assert strict.call("GET", "/v1/jobs")["jobs"] == []


def test_added_clusters_are_there_after_a_restart(strict):
    strict.call("PUT", "/v1/clusters/eks", EKS)
    settings = load_settings(strict.config.settings_file, strict.config.data, {})
    assert [(one.name, one.backend, dict(one.settings)) for one in settings.clusters] == [
        ("local", "local", {}),
        ("eks", "noting", EKS["settings"]),
    ]
