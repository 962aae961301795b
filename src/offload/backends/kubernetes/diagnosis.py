"""A thorough look at a cluster for whoever sets it up: what works, what doesn't, and what to ask for.

Everything is looked at in the way in which it will be used: rights are asked of the API server one by one,
and the very objects of a job are sent to it as a dry run, so that quotas, Pod Security and webhooks have
their say before the first job does.
"""

from __future__ import annotations

import time
from typing import Final

from offload.backends.contract import Diagnosis, Finding, Pool
from offload.backends.kubernetes.api_errors import (
    ForbiddenError,
    InvalidError,
    KubernetesError,
    NotFoundError,
)
from offload.backends.kubernetes.callback import GATEWAY, Callback
from offload.backends.kubernetes.client import Client
from offload.backends.kubernetes.job import build_job
from offload.backends.kubernetes.names import job_name
from offload.backends.kubernetes.rights import Right, rights, role_yaml
from offload.backends.kubernetes.settings import KubernetesSettings
from offload.backends.kubernetes.why import explain_denial
from offload.model.ids import PoolId
from offload.model.resources import Resources

_PROBE: Final = PoolId("check-0")


async def diagnose(
    client: Client, settings: KubernetesSettings, *, launcher: str, callback: Callback
) -> Diagnosis:
    """Look at the API server, the rights, a job as a dry run, and the way back."""
    findings = [await _server(client)]
    if not findings[0].works:
        return Diagnosis(findings=tuple(findings))
    needed = rights(gateway=settings.callback == GATEWAY)
    missing = [right for right in needed if not await _has(client, settings, right)]
    findings.append(_rights(missing, settings))
    if not missing:
        findings.append(await _dry_run(client, settings, launcher))
        findings.append(await callback.look())
    return Diagnosis(findings=tuple(findings), request=role_yaml(settings.namespace) if missing else "")


async def _server(client: Client) -> Finding:
    began = time.perf_counter()
    try:
        version = await client.version()
    except KubernetesError as error:
        return Finding(
            about="API server", works=False, sentence=error.sentence, next_step=error.next_step or ""
        )
    took = 1000 * (time.perf_counter() - began)
    return Finding(about="API server", works=True, sentence=f"Kubernetes {version} answers in {took:.0f} ms.")


async def _has(client: Client, settings: KubernetesSettings, right: Right) -> bool:
    for verb in right.verbs:
        if not await client.allowed(settings.namespace, verb, right.resource, right.group, right.subresource):
            return False
    return True


def _rights(missing: list[Right], settings: KubernetesSettings) -> Finding:
    if not missing:
        return Finding(
            about="rights", works=True, sentence=f"All that is needed in the namespace {settings.namespace}."
        )
    names = ", ".join(right.name for right in missing)
    return Finding(
        about="rights",
        works=False,
        sentence=f"In the namespace {settings.namespace} these are missing: {names}.",
        next_step="Send the YAML below to the cluster's administrator.",
    )


async def _dry_run(client: Client, settings: KubernetesSettings, launcher: str) -> Finding:
    pool = Pool(
        id=_PROBE,
        user="check",
        resources=Resources(memory=settings.default.amounts.memory),
        token="",
        launcher="https://localhost",
        submitted=time.time(),
        grace=10.0,
        image=settings.any_image,
    )
    body = build_job(pool, settings, launcher=launcher, generation=0, runners=1)
    path = f"/apis/batch/v1/namespaces/{settings.namespace}/jobs/{job_name(_PROBE, 0)}"
    try:
        await client.apply(path, body, dry_run=True)
    except (ForbiddenError, InvalidError, NotFoundError) as error:
        said = explain_denial(error.message).reason
        return Finding(about="a job", works=False, sentence=f"{said.sentence} ({error.message})")
    except KubernetesError as error:
        return Finding(about="a job", works=False, sentence=error.sentence, next_step=error.next_step or "")
    return Finding(about="a job", works=True, sentence="The API server takes a job as it would be sent.")
