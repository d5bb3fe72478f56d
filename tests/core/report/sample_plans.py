"""The plans of the golden files, one for each kind of plan."""

import re
from dataclasses import replace

from reconcile.core.changes import (
    ABSENT,
    Commit,
    Create,
    Delete,
    DeleteReason,
    DeliversPrompt,
    Drift,
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    InPlace,
    Keep,
    LiveRef,
    MetadataOnly,
    Patch,
    Plan,
    Replace,
    RestartsContainer,
    SessionPlan,
)
from reconcile.core.errors import Problem
from reconcile.core.fields.field_path import FieldPath, ListItem
from reconcile.core.model import Kind, Manifest, ObjectRef, SessionId
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import Baseline, LiveCluster, PlanReport

LIVE = LiveRef(uid="8f6f0c1e", resource_version="41")
POD = Kind("v1", "Pod")
FIX_LOGIN = SessionId("team-a", "fix-login")
OLD = SessionId("team-a", "old")
NIGHTLY = SessionId("team-b", "nightly")
COMMIT = Commit()
EDITED = Drift(manager="kubectl-edit", time="2026-01-31T12:00:00Z")


def ref(kind: str, name: str, namespace: str = "team-a") -> ObjectRef:
    return ObjectRef("", kind, namespace, name)


def manifest(kind: str, name: str, session: SessionId = FIX_LOGIN, **body) -> Manifest:
    return Manifest(
        ref=ref(kind, name, session.namespace),
        kind=Kind("v1", kind),
        session=session,
        body={"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **body},
        digest="d",
        source=f"{kind.lower()}.yaml.j2",
    )


def pod(name: str = "fix-login-runner", session: SessionId = FIX_LOGIN, token="hunter22-new"):
    env = [{"name": "MODEL", "value": "opus"}, {"name": "API_TOKEN", "value": token}]
    return manifest("Pod", name, session, spec={"containers": [{"name": "runner", "env": env}]})


def field(path, before, after, effect=None, cause=COMMIT) -> FieldChange:
    return FieldChange(path, before, after, effect or InPlace(), cause, at_of(path))


def at_of(path: str) -> FieldPath:
    """Parse a path of the samples; brackets have names of items, or keys with dots."""
    found = re.findall(r"\[([^\]]*)\]|([^.\[]+)", path)
    return tuple(
        name or (bracketed if "." in bracketed else ListItem((("name", bracketed),)))
        for bracketed, name in found
    )


def patch(wanted: Manifest, *fields: FieldChange, **more) -> Patch:
    operations = tuple(
        {"op": "replace", "path": "/" + change.path.replace(".", "/"), "value": change.after}
        for change in fields
        if change.after is not ABSENT
    )
    return Patch(wanted, LIVE, fields, operations, **more)


def delete(kind: str, name: str, reason: DeleteReason) -> Delete:
    return Delete(ref(kind, name), Kind("v1", kind), LIVE, reason)


def keep(kind: str, name: str, namespace: str = "team-a") -> Keep:
    return Keep(ref(kind, name, namespace), LIVE, "d")


def plan(*sessions: SessionPlan) -> Plan:
    return Plan("default", "0123456789abcdef", sessions)


DIGEST = "sha256:" + "5eed" * 16


def report(plan: Plan, findings: Findings = Findings(), against: Baseline = LiveCluster()):  # noqa: B008 - frozen values
    return PlanReport(plan, DIGEST, findings, against, "desired")


ENV = "spec.containers[runner].env"

FIELDS = (
    field("metadata.labels.team", "a", "b", MetadataOnly()),
    field("metadata.annotations[reconcile.ambient-code.io/digest]", "old", "new", MetadataOnly()),
    field(
        "metadata.annotations[example.com/note]", ABSENT, "calm \x1b[2J\u202e seas", MetadataOnly()
    ),
    field("spec.containers[runner].image", "r:1", "r:2", RestartsContainer("runner")),
    field("spec.activeDeadlineSeconds", None, 3600),
    field("metadata.labels.shared", "x", "x", MetadataOnly()),
)

FORCING = (
    field(f"{ENV}[MODEL].value", "sonnet", "opus", ForcesReplace()),
    field(f"{ENV}[API_TOKEN].value", "hunter22-old", "hunter22-new", ForcesReplace()),
    field(f"{ENV}[DEBUG]", {"name": "DEBUG", "value": "true"}, ABSENT, ForcesReplace()),
    field(
        f"{ENV}[PROMPT].value",
        "\n".join(["You mend the login.", *(f"Rule {n}." for n in range(30)), "Be brief."]),
        "\n".join(["You mend the login.", *(f"Rule {n}." for n in range(30)), "Be thorough."]),
        ForcesReplace(),
    ),
    field(
        "spec.volumes",
        [{"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "b", "emptyDir": {}}],
        [{"name": "b", "emptyDir": {"sizeLimit": "2Gi"}}, {"name": "c", "emptyDir": {}}],
        ForcesReplace(),
    ),
)

DRIFTED = (
    field("spec.ports[http].port", 9090, 8080, cause=EDITED),
    field("metadata.labels.team", "z", "a", MetadataOnly(), Drift()),
)

REPLACE = Replace(pod(), LIVE, FORCING)

NOTHING = plan(SessionPlan(FIX_LOGIN, (keep("ConfigMap", "session-fix-login"),)))

DELETES = plan(
    SessionPlan(
        OLD,
        (
            delete("Pod", "old-runner", DeleteReason.SESSION_REMOVED),
            delete("ConfigMap", "session-old", DeleteReason.SESSION_REMOVED),
            delete("Service", "old", DeleteReason.NOT_RENDERED),
        ),
    ),
)

DRIFT = plan(
    SessionPlan(
        FIX_LOGIN,
        (keep("Pod", "fix-login-runner"), patch(manifest("Service", "fix-login"), *DRIFTED)),
    )
)

HOLDS = plan(
    SessionPlan(
        FIX_LOGIN,
        (
            Hold(REPLACE, HoldReason.RUNNING_WORK),
            Hold(Create(manifest("Service", "fix-login")), HoldReason.TAKEN),
            Hold(patch(manifest("ConfigMap", "inputs"), *DRIFTED), HoldReason.CONFLICT),
        ),
    ),
    SessionPlan(
        OLD,
        (
            Hold(
                delete("Pod", "old-runner", DeleteReason.SESSION_STOPPED), HoldReason.DELETE_BUDGET
            ),
        ),
    ),
)

MIXED = plan(
    SessionPlan(
        FIX_LOGIN,
        (
            keep("ConfigMap", "session-fix-login"),
            patch(manifest("Service", "fix-login"), *FIELDS, *DRIFTED),
            patch(manifest("Secret", "adopted"), field("data.key", "b2xk", "bmV3"), adopts=True),
            REPLACE,
        ),
    ),
    *DELETES.sessions,
    SessionPlan(
        NIGHTLY,
        (
            Create(manifest("ConfigMap", "session-nightly", NIGHTLY)),
            Create(pod("nightly-runner", NIGHTLY)),
            Hold(
                patch(
                    pod("other", NIGHTLY),
                    field("spec.containers[runner].image", "r:1", "r:2"),
                    force=True,
                ),
                HoldReason.RESTART_BUDGET,
            ),
        ),
    ),
)

PROMPT = field("data.INITIAL_PROMPT", "Mend the login.", "Mend the logout.", DeliversPrompt())
INPUTS = field(
    "metadata.annotations[reconcile.ambient-code.io/inputs-digest]", "a", "b", MetadataOnly()
)

PROMPTS = plan(
    SessionPlan(
        FIX_LOGIN,
        (
            patch(
                manifest("ConfigMap", "fix-login-inputs"), PROMPT, field("data.TIMEOUT", "1", "2")
            ),
            patch(pod(), INPUTS),
        ),
    ),
    SessionPlan(
        NIGHTLY,
        (
            Hold(
                patch(manifest("ConfigMap", "nightly-inputs", NIGHTLY), PROMPT),
                HoldReason.CONFLICT,
            ),
            patch(pod("nightly-runner", NIGHTLY), replace(INPUTS, cause=EDITED)),
        ),
    ),
)

EMPTY = plan()

PLANS = {
    "nothing": NOTHING,
    "deletes": DELETES,
    "drift": DRIFT,
    "holds": HOLDS,
    "mixed": MIXED,
    "prompts": PROMPTS,
    "errors": EMPTY,
}

FINDINGS = Findings(
    problems=(
        Problem("team-a/x.yaml", 3, 7, "spec.timout", "unknown field; did you mean `timeout`?"),
        Problem("team-a/api-token.yaml", 0, 0, "", "is larger than 1 MiB"),
        Problem(
            "team-b/y.yaml",
            9,
            3,
            "spec.repos[0].url",
            "`https://me:hunter22-url@git.example.com/x` must not carry a password\x1b[1m",
        ),
    ),
    warnings=(Problem("team-a/z.yaml", 2, 1, "spec.interactive", "has no effect yet"),),
)
