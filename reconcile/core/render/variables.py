"""What a template is told: one session, the installation's id, names, capabilities.

The revision is not among it, since each commit would then change each object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconcile.core.model import RECORD_PREFIX, Session


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all sessions of an installation.

    `capabilities` are what the cluster is declared to have: `{"sidecar": "native"}`.
    """

    installation: str
    capabilities: Mapping[str, Any] = field(default_factory=dict)


def variables(session: Session, surroundings: Surroundings) -> dict[str, Any]:
    """Return the variables of a template, as plain values."""
    return {
        "session": {
            "name": session.id.name,
            "namespace": session.id.namespace,
            "state": session.state.value,
            "labels": session.labels,
            "annotations": session.annotations,
            "spec": session.spec,
        },
        "installation": surroundings.installation,
        "names": _names(session.id.name),
        "capabilities": surroundings.capabilities,
    }


def namesakes(name: str) -> frozenset[str]:
    """List the sessions of one namespace that may have an object of the same name as this one.

    It goes by the names that templates are told, so it holds for templates that use no other.
    Session `a-inputs` has the Record `session-a-inputs`, which are the inputs of `session-a`.
    """
    patterns = [pattern.split(_HERE) for pattern in set(_names(_HERE).values())]
    objects = set(_names(name).values())
    return frozenset(
        each[len(before) : len(each) - len(after)]
        for each in objects
        for before, after in patterns
        if each.startswith(before) and each.endswith(after) and len(each) > len(before + after)
    )


_HERE: Final = "\0"


def _names(name: str) -> dict[str, str]:
    prefixed = f"{RECORD_PREFIX}{name}"
    return {
        "record": prefixed,
        "serviceAccount": prefixed,
        "service": prefixed,
        "networkPolicy": prefixed,
        "inputs": f"{name}-inputs",
        "storage": f"{name}-storage",
        "pod": f"{name}-runner",
    }
