"""What is made for a gateway belongs to one launcher, asks for little, and leaves a node that is lost."""

from __future__ import annotations

import tomllib

from offload.backends.kubernetes.gateway.objects import (
    build_job,
    build_policy,
    build_service,
    selector,
    service_name,
)
from offload.backends.kubernetes.names import labels
from offload.backends.kubernetes.names import selector as selector_of_pools
from offload.backends.kubernetes.settings import read_settings
from offload.model.ids import PoolId

LAUNCHER = "abcdef2345"
OWNER = ("offload-gateway-abcdef2345-0a1b2c3d", "some-uid")


def settings(text=""):
    return read_settings(tomllib.loads(f'namespace = "analytics"\n{text}'), "eks")


def job(text="", *, launcher=LAUNCHER, proof="0" * 64):
    return build_job(settings(text), launcher, proof)


def chosen(selector, labels):
    return all(
        labels.get(key) == value for key, _, value in (one.partition("=") for one in selector.split(","))
    )


def test_each_launcher_and_each_version_of_one_has_a_job_of_its_own():
    names = {
        job()["metadata"]["name"],
        job(launcher="zyxwvu9876")["metadata"]["name"],
        job('runner_image = "offload-runner:9.9.9"')["metadata"]["name"],
        job(proof="1" * 64)["metadata"]["name"],
    }
    assert len(names) == 4
    assert job() == job()


def test_service_and_policy_lead_to_the_pods_and_go_with_the_job():
    template = job()["spec"]["template"]["metadata"]["labels"]
    service = build_service(settings(), LAUNCHER, OWNER, "10.96.0.7")
    policy = build_policy(settings(), LAUNCHER, OWNER)
    assert service["spec"]["selector"].items() <= template.items()
    assert service["spec"]["clusterIP"] == "10.96.0.7"
    assert "clusterIP" not in build_service(settings(), LAUNCHER, OWNER)["spec"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= template.items()
    for made in (service, policy):
        assert made["metadata"]["name"] == service_name(LAUNCHER)
        assert made["metadata"]["ownerReferences"][0]["uid"] == "some-uid"


def test_the_policy_lets_in_runners_of_this_launcher_and_nothing_out():
    spec = build_policy(settings(), LAUNCHER, OWNER)["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    (rule,) = spec["ingress"]
    wanted = rule["from"][0]["podSelector"]["matchLabels"].items()
    assert wanted <= labels(PoolId("k7m2q9x-0"), LAUNCHER).items()
    assert not wanted <= labels(PoolId("k7m2q9x-0"), "zyxwvu9876").items()
    assert [port["port"] for port in rule["ports"]] == [8750]


def test_a_gateway_is_never_taken_for_a_runner():
    template = job()["spec"]["template"]["metadata"]["labels"]
    assert chosen(selector(LAUNCHER), template)
    assert not chosen(selector_of_pools(LAUNCHER), template)
    assert not chosen(selector(LAUNCHER), labels(PoolId("k7m2q9x-0"), LAUNCHER))


def test_it_runs_as_tasks_do_and_holds_no_secret():
    text = """
        image_pull_policy = "Always"
        image_pull_secrets = ["registry"]
        service_account = "tasks"
        cpu_limit = true
        security = { run_as_user = 4711 }
    """
    spec = job(text)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert (container["imagePullPolicy"], spec["imagePullSecrets"]) == ("Always", [{"name": "registry"}])
    assert (spec["serviceAccountName"], spec["securityContext"]["runAsUser"]) == ("tasks", 4711)
    assert container["resources"]["limits"]["cpu"] == "1"
    assert spec["automountServiceAccountToken"] is False
    assert container["env"] == [{"name": "OFFLOAD_GATEWAY_PROOF", "value": "0" * 64}]
    assert "volumes" not in spec


def test_it_leaves_a_lost_node_soon_and_is_started_again_however_it_ended():
    spec = job()["spec"]
    lost = {one["key"]: one["tolerationSeconds"] for one in spec["template"]["spec"]["tolerations"]}
    assert lost == {"node.kubernetes.io/not-ready": 15, "node.kubernetes.io/unreachable": 15}
    assert spec["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert spec["backoffLimit"] > 1000
    assert spec["ttlSecondsAfterFinished"] == 60
