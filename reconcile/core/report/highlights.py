"""Fields that a reviewer must see in a plan of any size, equal ones of many sessions together.

These are images, Secrets, rights, network, priority, scheduling, privileges, and new prompts for
work that runs.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import Any, Final

from reconcile.core.changes import ABSENT, FieldChange
from reconcile.core.mask.masker import Masker
from reconcile.core.mask.objects import split_field_path, strip_brackets
from reconcile.core.model import LABEL_MANAGED_BY, LABEL_PREFIX, RECORD_PREFIX, KubeObject
from reconcile.core.report.escape import format_code_span
from reconcile.core.report.view import ChangeView, SessionView


class Concern(Enum):
    """What a field is about, the most important first."""

    PRIVILEGES = "privileges"
    RIGHTS = "rights"
    CREDENTIALS = "Secret"
    IDENTITY = "service account"
    NETWORK = "network"
    PRIORITY = "priority"
    PROMPT = "prompt"
    IMAGE = "image"
    PROGRAM = "command"
    DEVICES = "devices"
    SCHEDULING = "scheduling"
    LABELS = "labels and annotations"


def _by_field() -> Iterator[tuple[str, Concern]]:
    listed = {
        Concern.PRIVILEGES: "hostPath hostNetwork hostPID hostIPC hostPort hostUsers privileged "
        "allowPrivilegeEscalation capabilities procMount sysctls runAsUser runAsGroup runAsNonRoot "
        "fsGroup supplementalGroups seccompProfile appArmorProfile seLinuxOptions windowsOptions "
        "shareProcessNamespace devices resourceClaims",
        Concern.RIGHTS: "rules roleRef subjects aggregationRule",
        Concern.CREDENTIALS: "secretRef secretKeyRef secretName secret imagePullSecrets secrets "
        "nodePublishSecretRef configMapRef",
        Concern.IDENTITY: "serviceAccountName serviceAccount automountServiceAccountToken "
        "serviceAccountToken clusterTrustBundle",
        Concern.NETWORK: "ingress egress externalIPs externalName loadBalancerIP "
        "loadBalancerSourceRanges hostAliases dnsConfig dnsPolicy",
        Concern.PRIORITY: "priorityClassName priority preemptionPolicy",
        Concern.IMAGE: "image",
        Concern.PROGRAM: "command",
        Concern.DEVICES: "limits",
        Concern.SCHEDULING: "nodeSelector nodeName tolerations affinity schedulerName "
        "runtimeClassName",
    }
    for concern, names in listed.items():
        for name in names.split():
            yield name, concern


_BY_FIELD: Final = dict(_by_field())
_BY_KIND: Final[Mapping[tuple[str, str], Concern]] = {
    ("Secret", "data"): Concern.CREDENTIALS,
    ("Secret", "stringData"): Concern.CREDENTIALS,
    ("Service", "type"): Concern.NETWORK,
    ("Service", "selector"): Concern.NETWORK,
    ("NetworkPolicy", "podSelector"): Concern.NETWORK,
    ("NetworkPolicy", "policyTypes"): Concern.NETWORK,
    ("Ingress", "spec"): Concern.NETWORK,
    ("Pod", "labels"): Concern.LABELS,
    ("ServiceAccount", "annotations"): Concern.RIGHTS,
}

_PRE_STOP: Final = (
    'python3 -I -c with __import__("contextlib").suppress(Exception): '
    'bridge = __import__("http.client").client.HTTPConnection("127.0.0.1", 8095, timeout=3); '
    'bridge.request("POST", "/prestop"); bridge.getresponse().read()'
)
"""The runner's hook in the shipped templates, which tells the bridge that the pod ends."""

_USUAL: Final = frozenset(
    {"allowPrivilegeEscalation=false", "automountServiceAccountToken=false", "hostNetwork=false"}
    | {"hostPID=false", "hostIPC=false", "privileged=false", "runAsNonRoot=true", "type=ClusterIP"}
    | {"seccompProfile=type=RuntimeDefault", "capabilities=drop=ALL", "dnsPolicy=ClusterFirst"}
    | {"runAsUser=1001", "runAsGroup=0", "fsGroup=1001", "shareProcessNamespace=false"}
    | {"labels=app.kubernetes.io/name=agent-session", "labels=app.kubernetes.io/component=runner"}
    | {f"labels={LABEL_MANAGED_BY}=reconcile", "policyTypes=Ingress"}
    | {f"command=reconcile-mirror {name}" for name in ("hydrate", "prestop", "sync")}
    | {f"command=reconcile-runner {name}" for name in ("prepare", "bridge")}
    | {f"command={_PRE_STOP}"}
)
"""What the shipped templates create: as little as possible, so a new object need not show it."""

_NEW_PROMPT: Final = "a new prompt is delivered to running work"

_MAX_SESSIONS: Final = 3

_COMMON_LIMITS: Final = ("cpu=", "memory=", "ephemeral-storage=")
"""All containers have these; the limits of devices are what matters of a new object."""

_SELECTORS: Final = frozenset({"selector", "podSelector"})


@dataclass(frozen=True, slots=True, order=True)
class Highlight:
    """A field with a value that is new (`before` empty), changed, or removed (`after` empty)."""

    rank: int
    field: str
    before: str
    after: str


_CONCERNS: Final = tuple(Concern)


def collect_highlights(
    sessions: Iterable[SessionView], masker: Masker
) -> dict[Highlight, tuple[str, ...]]:
    """Return the highlights of all changes, each with the sessions that have it.

    The order takes one of each concern in turn, so that many of one do not displace the others;
    within a concern, what the fewest sessions have comes first.
    """
    found: dict[Highlight, dict[str, None]] = {}
    for session in sessions:
        for change in session.changes:
            for highlight in _find_highlights(change, session.session.name):
                found.setdefault(highlight, {})[str(session.session)] = None
    taken: Counter[int] = Counter()
    turns: dict[Highlight, tuple[int, int]] = {}
    for each in sorted(found, key=lambda each: (len(found[each]), each)):
        turns[each] = taken[each.rank], each.rank
        taken[each.rank] += 1
    in_turn = sorted(turns, key=turns.__getitem__)
    return {_mask(each, masker): tuple(found[each]) for each in in_turn}


def _mask(highlight: Highlight, masker: Masker) -> Highlight:
    # Values of created objects are not masked yet; masking all objects would take too long.
    before, after = map(masker.mask_text, (highlight.before, highlight.after))
    return replace(highlight, before=before, after=after)


def format_highlights(changed: Sequence[SessionView], masker: Masker) -> Iterator[str]:
    """Yield the highlights as Markdown list items, the first ones the most important."""
    for highlight, sessions in collect_highlights(changed, masker).items():
        named = ", ".join(map(format_code_span, sessions[:_MAX_SESSIONS]))
        more = len(sessions) - _MAX_SESSIONS
        rest = f" and {more:,} more" if more > 0 else ""
        field = format_code_span(highlight.field)
        yield f"- {field} {_format_sides(highlight)}: {named}{rest}"


def _format_sides(highlight: Highlight) -> str:
    before, after = map(format_code_span, (highlight.before, highlight.after))
    if not highlight.after:
        return f"{before} removed"
    return f"{after}, was {before}" if highlight.before else after


def _find_highlights(change: ChangeView, session: str) -> Iterator[Highlight]:
    if change.created_object is not None:
        for concern, field, value in _walk_object(change.ref.kind, change.created_object.body):
            if not _is_usual(field, value, session):
                yield Highlight(_CONCERNS.index(concern), field, "", value)
    if change.delivers_prompt:
        yield Highlight(_CONCERNS.index(Concern.PROMPT), "prompt", "", _NEW_PROMPT)
    for each in change.fields:
        yield from _compare_field(change.ref.kind, each)


def _is_usual(field: str, value: str, session: str) -> bool:
    return (
        f"{field}={value}" in _USUAL
        or field in _SELECTORS
        or (field == "limits" and value.startswith(_COMMON_LIMITS))
        or (field == "serviceAccountName" and value == f"{RECORD_PREFIX}{session}")
    )


_Found = tuple[Concern, str, str]


def _compare_field(kind: str, change: FieldChange) -> Iterator[Highlight]:
    before, after = (
        list(dict.fromkeys(_walk_field(kind, _field_names(change), side)))
        for side in (change.before, change.after)
    )
    removed = [each for each in before if each not in set(after)]
    added = [each for each in after if each not in set(before)]
    if len(removed) == len(added) == 1 and removed[0][:2] == added[0][:2]:
        concern, field, value = added[0]
        yield Highlight(_CONCERNS.index(concern), field, removed[0][2], value)
        return
    for concern, field, value in removed:
        yield Highlight(_CONCERNS.index(concern), field, value, "")
    for concern, field, value in added:
        yield Highlight(_CONCERNS.index(concern), field, "", value)


def _field_names(change: FieldChange) -> list[str]:
    if change.field_path:
        return [segment for segment in change.field_path if isinstance(segment, str)]
    # In the text of a path, brackets have the key of a list's item, or a key of a map.
    names = ("", *split_field_path(change.path))
    return [
        strip_brackets(name)
        for before, name in pairwise(names)
        if not name.startswith("[") or before in _MAPS
    ]


def _walk_field(kind: str, path: Sequence[str], value: Any) -> Iterator[_Found]:
    if value is ABSENT or not path:
        return
    top, *names = path
    nested: Any = value
    for name in reversed(names):
        nested = {name: nested}
    yield from _walk_object(kind, {top: nested})


def _walk_object(kind: str, body: KubeObject) -> Iterator[_Found]:
    if kind == "ConfigMap":
        return
    for name in ("labels", "annotations"):
        concern = _BY_KIND.get((kind, name))
        if concern is not None:
            values = body.get("metadata", {}).get(name)
            yield from ((concern, field, text) for field, text in _leaves(name, values))
    yield from _walk(kind, {name: item for name, item in body.items() if name != "metadata"})


def _walk(kind: str, value: Any) -> Iterator[_Found]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            concern = _find_concern(kind, name)
            if concern is None:
                yield from _walk(kind, item)
            else:
                yield from ((concern, field, text) for field, text in _leaves(name, item))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _walk(kind, item)


def _find_concern(kind: str, name: str) -> Concern | None:
    return _BY_FIELD.get(name) or _BY_KIND.get((kind, name))


def _leaves(field: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield a field's values one by one: the items of a list, the entries of a map."""
    if field == "command" and isinstance(value, list):
        yield field, " ".join(map(str, value))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _leaves(field, item)
    elif isinstance(value, Mapping) and field in _MAPS:
        names = [name for name in value if not name.startswith(LABEL_PREFIX)]
        for name in names:
            # The values of a Secret are never shown, its keys are.
            yield field, name if field in _DATA else f"{name}={_format_scalar(value[name])}"
    elif isinstance(value, Mapping) and value:
        yield field, _format_mapping(value)
    elif value not in (None, ""):
        yield field, _format_scalar(value)


_DATA: Final = frozenset({"data", "stringData"})
_MAPS: Final = _DATA | {"nodeSelector", "labels", "annotations", "limits"}


def _format_mapping(value: Mapping[str, Any]) -> str:
    """Format a small structure: a reference by its name, others as they are."""
    name = value.get("name") or value.get("secretName")
    if isinstance(name, str):
        rest = value.get("key")
        return f"{name}/{rest}" if isinstance(rest, str) else name
    return ", ".join(f"{key}={_format_scalar(item)}" for key, item in value.items())


def _format_scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return json.dumps(value, ensure_ascii=False, default=dict, sort_keys=True)
