"""A thorough look at a cluster, for whoever sets it up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: what, in two or three words.
        works: whether it does; None when it can't be told or doesn't matter.
        sentence: what was seen, in plain words.
        next_step: what to do about it; empty when nothing has to be done.
    """

    about: str
    works: bool | None
    sentence: str
    next_step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A thorough look at a cluster, for whoever sets it up.

    Attributes:
        findings: everything that was looked at.
        request: what to send to the cluster's administrator, such as YAML; empty when nothing is missing.
    """

    findings: tuple[Finding, ...]
    request: str = ""
