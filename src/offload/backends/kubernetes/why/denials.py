"""Why the API server, or a program that it asks, doesn't let a pod or a Job in.

The same words come back from a call of ours and, later, in events of the Job controller.
"""

from __future__ import annotations

import re
from typing import Final

from offload.backends.kubernetes.why.evidence import Verdict, joined, verdict
from offload.backends.kubernetes.why.quantities import amount, bare, noun, number, read_quantity
from offload.model.reasons import ReasonCode

_QUOTA: Final = re.compile(
    r"exceeded quota: (\S{1,300}), requested: (\S{1,2000}), used: (\S{1,2000}), limited: (\S{1,2000})"
)
_UNSAID: Final = re.compile(r"failed quota: (\S{1,300}): must specify (\S{1,500})")
_RANGE: Final = re.compile(
    r"(maximum|minimum) (\S{1,100}) usage per (Container|Pod) is ([\w.]{1,40}), "
    r"but (?:limit|request) is ([\w.]{1,40})"
)
_SECURITY: Final = re.compile(r'violates PodSecurity "([^"]{1,100})": (.{1,2000})', re.DOTALL)
_WEBHOOK: Final = re.compile(
    r'admission webhook "([^"]{1,300})" denied the request:? ?(.{0,2000})', re.DOTALL
)
_POLICY: Final = re.compile(
    r"ValidatingAdmissionPolicy '([^']{1,300})'.{0,300} denied request: (.{1,2000})", re.DOTALL
)
_SILENT: Final = re.compile(r'failed calling webhook "([^"]{1,300})"')
_ABSENT: Final = (
    (re.compile(r'error looking up service account \S{1,300}: serviceaccount "([^"]{1,300})" not found'),
     "The service account {}, which the cluster's settings name, doesn't exist."),
    (re.compile(r"no PriorityClass with name (\S{1,300}) was found"),
     "The priority class {}, which the profile names, doesn't exist on the cluster."),
    (re.compile(r'RuntimeClass(?:\.node\.k8s\.io)? "([^"]{1,300})" not found'),
     "The runtime class {}, which the profile names, doesn't exist on the cluster."),
    (re.compile(r'namespaces "([^"]{1,300})" not found'),
     "The namespace {} doesn't exist on the cluster."),
    (re.compile(r"in namespace (\S{1,300}) because it is being terminated"),
     "The namespace {} is being removed from the cluster."),
)  # fmt: skip
_RIGHT: Final = re.compile(r'cannot (\w{1,20}) resource "([\w/]{1,100})"')
_FINAL: Final = re.compile(r"is forbidden|is invalid|denied the request|denied request|admission denied")
_ASK: Final = "Ask the cluster's administrator."


def explain_denial(words: str) -> Verdict:
    """What a refusal means, and whether asking again is of no use."""
    return (
        _quota(words)
        or _limits(words)
        or _security(words)
        or _program(words)
        or _absent(words)
        or _rights(words)
        or _plainly(words)
    )


def _quota(words: str) -> Verdict | None:
    if match := _UNSAID.search(words):
        what = match[2].partition(";")[0]
        sentence = f"The cluster's quota {match[1]} wants every runner to say its {what}. {_ASK}"
        return verdict(ReasonCode.REFUSED, sentence, words, final=True)
    match = _QUOTA.search(words)
    if match is None:
        return None
    asked, used, limited = (_pairs(match[index]) for index in (2, 3, 4))
    never = [name for name, wish in asked.items() if wish > limited.get(name, wish)]
    if never:
        shares = joined(
            [
                f"{amount(name, asked[name])}, and the whole quota is {number(name, limited[name])}"
                for name in never
            ]
        )
        sentence = f"The quota {match[1]} never allows it: one runner needs {shares}. Ask for less."
        return verdict(ReasonCode.REFUSED, sentence, words, final=True)
    shares = joined([_share(name, wish, used.get(name), limited.get(name)) for name, wish in asked.items()])
    sentence = f"Waits until the quota {match[1]} has room{f': it needs {shares}' if shares else ''}."
    return verdict(ReasonCode.WAITING_FOR_QUOTA, sentence, words)


def _share(name: str, wish: float, used: float | None, limited: float | None) -> str:
    if used is None or limited is None:
        return amount(name, wish)
    return f"{amount(name, wish)} ({number(name, used)} of {number(name, limited)} are in use)"


def _pairs(text: str) -> dict[str, float]:
    found = (part.partition("=") for part in text.rstrip(".").split(","))
    read = {name: read_quantity(value) for name, _, value in found}
    return {name: value for name, value in read.items() if value is not None}


def _limits(words: str) -> Verdict | None:
    match = _RANGE.search(words)
    if match is None:
        return None
    bound, asked = (read_quantity(match[index]) for index in (4, 5))
    most = "at most" if match[1] == "maximum" else "at least"
    allowed = amount(match[2], bound) if bound is not None else match[4]
    wish = amount(match[2], asked) if asked is not None else match[5]
    sentence = f"The cluster gives one {match[3].lower()} {most} {allowed}, and it asks for {wish}."
    change = "less" if match[1] == "maximum" else f"more {noun(bare(match[2]))}"
    return verdict(ReasonCode.REFUSED, f"{sentence} Ask for {change}.", words, final=True)


def _security(words: str) -> Verdict | None:
    match = _SECURITY.search(words)
    if match is None:
        return None
    level = match[1].partition(":")[0]
    sentence = (
        f"The namespace allows only pods of the security level {level}, and the cluster's settings ask for "
        f"more. {_ASK}"
    )
    return verdict(ReasonCode.REFUSED, sentence, words, final=True)


def _program(words: str) -> Verdict | None:
    if match := _SILENT.search(words):
        sentence = (
            f"The cluster's program {match[1]}, which checks all pods, doesn't answer; it is asked again."
        )
        return verdict(ReasonCode.WAITING_FOR_CAPACITY, sentence, words)
    match = _WEBHOOK.search(words) or _POLICY.search(words)
    if match is None:
        return None
    sentence = f"A rule of the cluster ({match[1]}) doesn't allow it. {_ASK}"
    return verdict(ReasonCode.REFUSED, sentence, words, final=True)


def _absent(words: str) -> Verdict | None:
    for pattern, sentence in _ABSENT:
        if match := pattern.search(words):
            return verdict(ReasonCode.REFUSED, f"{sentence.format(match[1])} {_ASK}", words, final=True)
    return None


def _rights(words: str) -> Verdict | None:
    match = _RIGHT.search(words)
    if match is None:
        return None
    allowed = f"Offload may not {match[1]} {match[2]} on this cluster"
    sentence = f"{allowed}. `offload clusters check` says what to ask its administrator for."
    return verdict(ReasonCode.WAITING_FOR_CAPACITY, sentence, words)


def _plainly(words: str) -> Verdict:
    if _FINAL.search(words):
        sentence = f"The cluster doesn't allow it; its own words say why. {_ASK}"
        return verdict(ReasonCode.REFUSED, sentence, words, final=True)
    sentence = "The cluster can't start the runner now; its own words say why, and it tries again."
    return verdict(ReasonCode.WAITING_FOR_CAPACITY, sentence, words)
