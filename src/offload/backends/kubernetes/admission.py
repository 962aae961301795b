"""What a cluster makes of a request: profile, sizes, image, mounts, queue. Pure; settings decide alone.

What a person says wins, then the profile, then the cluster's default. What is not allowed, or not there, is
told at once and all together, with the names that are right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from offload.backends.contract import Capabilities
from offload.backends.kubernetes.images import image_for, is_allowed
from offload.backends.kubernetes.keys import is_image
from offload.backends.kubernetes.mounts import place, together
from offload.backends.kubernetes.profiles import Amounts, Profile
from offload.backends.kubernetes.settings import KubernetesSettings
from offload.errors import TooLargeForClusterError, UsageError
from offload.model.resources import Resources
from offload.model.spec import Spec


def admit(settings: KubernetesSettings, spec: Spec, user: str) -> Spec:
    """The spec with what it leaves open filled in.

    Raises:
        UsageError: the cluster doesn't have, or doesn't allow, what is asked; all of it is named.
        TooLargeForClusterError: one task needs more than may be asked for.
    """
    mistakes: list[UsageError] = []
    profile = Profile()
    try:
        profile = profile_of(settings, spec.profile)
    except UsageError as error:
        mistakes.append(error)
    resources = _resources(settings, profile, spec)
    mistakes += _too_large(settings, profile, spec, resources)
    mistakes += _image_mistakes(settings, spec)
    mistakes += _queue_mistakes(settings, spec)
    try:
        place(settings.mounts, spec.mounts, user)
    except UsageError as error:
        mistakes.append(error)
    if mistakes:
        raise together(mistakes)
    return replace(
        spec,
        resources=resources,
        memory_limit=most_of(settings, profile).memory,
        image=spec.image or image_for(spec.command, settings.images),
        queue=spec.queue or profile.queue or settings.queue,
        left_open=(),
    )


def profile_of(settings: KubernetesSettings, name: str | None) -> Profile:
    """A profile of the cluster by its name; without a name one that says nothing.

    Raises:
        UsageError: there is no such profile.
    """
    if name is None:
        return Profile()
    if name not in settings.profiles:
        names = ", ".join(sorted(settings.profiles))
        raise UsageError(
            f"There is no profile {name!r}.",
            next_step=f"The profiles are: {names}."
            if names
            else "Leave out --profile; the cluster has none.",
        )
    return settings.profiles[name]


def amounts_of(settings: KubernetesSettings, profile: Profile, resources: Resources) -> Amounts:
    """The size of a task: what is asked for, and what the profile and the cluster say besides."""
    return Amounts.of(resources).over(profile.amounts).over(settings.default.amounts)


def most_of(settings: KubernetesSettings, profile: Profile) -> Amounts:
    """The most that may be asked for with a profile."""
    return profile.maximum.over(settings.maximum)


def _resources(settings: KubernetesSettings, profile: Profile, spec: Spec) -> Resources:
    asked = spec.resources
    said = Amounts(
        cpus=None if "cpus" in spec.left_open else asked.cpus,
        memory=None if "memory" in spec.left_open else asked.memory,
        gpus=None if "gpus" in spec.left_open else asked.gpus,
    )
    size = said.over(profile.amounts).over(settings.default.amounts)
    return Resources(
        cpus=asked.cpus if size.cpus is None else size.cpus, memory=size.memory, gpus=size.gpus or 0
    )


def _too_large(
    settings: KubernetesSettings, profile: Profile, spec: Spec, resources: Resources
) -> Iterable[UsageError]:
    most = most_of(settings, profile)
    if excess := list(Amounts.of(resources).excess(most)):
        with_profile = f" with the profile {spec.profile}" if spec.profile else ""
        yield TooLargeForClusterError(
            f"One task may not ask for so much on {spec.cluster}{with_profile}: {', '.join(excess)}.",
            next_step="Ask for less, or choose another profile." if settings.profiles else "Ask for less.",
            details={"capacity": {"cpus": most.cpus, "memory": most.memory, "gpus": most.gpus}},
        )


def _image_mistakes(settings: KubernetesSettings, spec: Spec) -> Iterable[UsageError]:
    if spec.image is None:
        return
    if not is_image(spec.image):
        yield UsageError(
            f"{spec.image!r} isn't the name of a container image.",
            next_step="Write it like rocker/r-ver:4.4.",
        )
    elif not is_allowed(spec.image, settings.images.values(), settings.allowed_images):
        allowed = ", ".join(dict.fromkeys([*settings.images.values(), *settings.allowed_images]))
        yield UsageError(
            f"The image {spec.image} isn't allowed on {spec.cluster}.", next_step=f"Allowed are: {allowed}."
        )


def _queue_mistakes(settings: KubernetesSettings, spec: Spec) -> Iterable[UsageError]:
    profiles = [profile.queue for profile in settings.profiles.values()]
    known = sorted({queue for queue in (settings.queue, *settings.queues, *profiles) if queue})
    if spec.queue is not None and spec.queue not in known:
        step = f"The queues are: {', '.join(known)}." if known else "Leave out --queue; the cluster has none."
        yield UsageError(f"There is no queue {spec.queue!r}.", next_step=step)


def capabilities(settings: KubernetesSettings) -> Capabilities:
    """What the cluster can do, as its settings say."""
    cpus = (
        "the kernel holds a task to them" if settings.cpu_limit else "at least these; more when more are free"
    )
    patterns = {"others": ", ".join(settings.allowed_images)} if settings.allowed_images else {}
    size = settings.default
    return Capabilities(
        enforces={
            "memory": "by the kernel, for the whole task",
            "time": "wall time, by the runner",
            "cpus": cpus,
            "gpus": "the cluster gives whole GPUs to one task at a time",
        },
        default=Resources(cpus=size.cpus, memory=size.memory),
        profiles={name: profile.describe() for name, profile in settings.profiles.items()},
        mounts={name: mount.describe(name) for name, mount in settings.mounts.items()},
        images={**settings.images, **patterns},
    )
