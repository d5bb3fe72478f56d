"""What a template is told: one session, the installation's id, names, capabilities.

The revision is not among it, since each commit would then change each object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconcile.core.model import Session
from reconcile.core.names import RECORD_PREFIX


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


def _names(name: str) -> dict[str, str]:
    prefixed = f"{RECORD_PREFIX}{name}"
    return {
        "record": prefixed,
        "serviceAccount": prefixed,
        "service": prefixed,
        "networkPolicy": prefixed,
        "inputs": f"{name}-inputs",
        "pod": f"{name}-runner",
    }
