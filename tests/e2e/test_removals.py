"""What goes from a file goes from the cluster, and nothing else does; what others set stays."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from reconcile.core.model import ANNOTATION_INPUTS_DIGEST
from tests.e2e.site import Object, Site
from tests.e2e.states import bare, changed

pytestmark = pytest.mark.cluster

RECORD = "ConfigMap/session-one"
INPUTS = "ConfigMap/one-inputs"
POLICY = "NetworkPolicy/session-one"
POD = "Pod/one-runner"
SERVICE = "Service/session-one"
ACCOUNT = "ServiceAccount/session-one"
ENV = "spec.containers[runner].env"

SERVICE_TEMPLATE = """
apiVersion: v1
kind: Service
metadata: {name: {{ names.service | tojson }}}
spec:
  selector: {app: one}
  ports:
  - {name: agui, port: 8001}
  - {name: extra, port: 8001, protocol: UDP}
  - {name: metrics, port: 9090}
"""
DEPLOYMENT_TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ session.name }}-proxy"}
spec:
  replicas: 0
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec:
      containers:
      - name: proxy
        image: registry.example/proxy:1
        env:
        - {name: KEPT, value: "1"}
        - {name: DROPPED, value: "1"}
        - {name: LAST, value: "1"}
"""

FULL: Object = {
    "initialPrompt": "Do it",
    "displayName": "One",
    "environmentVariables": {"KEPT": "1", "DROPPED": "1"},
    "repos": [{"url": "https://git.example/a.git"}, {"url": "https://git.example/b.git"}],
    "runner": {"image": "registry.example/runner:1", "imagePullSecrets": ["a", "b"]},
    "maxDuration": "1h",
    "network": {"allowFrom": [{"namespace": "a"}, {"namespace": "b"}]},
}
METADATA: Object = {
    "labels": {"kept": "1", "dropped": "1"},
    "annotations": {"kept": "1", "dropped": "1"},
}


@dataclass(frozen=True, slots=True)
class Removal:
    """A session with something removed from it, and every leaf that this may change, by object."""

    spec: Object = field(default_factory=dict)
    metadata: Object = field(default_factory=dict)
    goes: Object = field(default_factory=dict)
    recounted: tuple[str, ...] = ()


def without(name: str) -> Object:
    return {key: value for key, value in FULL.items() if key != name}


def env(name: str) -> str:
    return f"{ENV}[{name}]"


REMOVALS = {
    "an env entry": Removal(
        spec=FULL | {"environmentVariables": {"KEPT": "1"}},
        goes={POD: {f"{env('DROPPED')}.name", f"{env('DROPPED')}.value"}},
    ),
    "all env entries": Removal(
        spec=without("environmentVariables"),
        goes={POD: {f"{env(n)}.{leaf}" for n in ("KEPT", "DROPPED") for leaf in ("name", "value")}},
    ),
    "a field of the pod": Removal(
        spec=without("maxDuration"), goes={POD: {"spec.activeDeadlineSeconds"}}
    ),
    "an item of a keyed list": Removal(
        spec=FULL | {"runner": FULL["runner"] | {"imagePullSecrets": ["a"]}},
        goes={POD: {"spec.imagePullSecrets[b].name"}},
    ),
    "a field of the record": Removal(
        spec=without("displayName"), goes={RECORD: {"data.displayName"}}
    ),
    "the prompt": Removal(
        spec=without("initialPrompt"),
        goes={
            INPUTS: {"data.INITIAL_PROMPT"},
        },
        recounted=(f"metadata.annotations.{ANNOTATION_INPUTS_DIGEST}",),
    ),
    "an admitted peer": Removal(
        spec=FULL | {"network": {"allowFrom": [{"namespace": "a"}]}},
        goes={
            POLICY: {
                "spec.ingress[1].from[0].namespaceSelector.matchLabels.kubernetes.io/metadata.name",
                "spec.ingress[1].from[0].podSelector",
                "spec.ingress[1].ports[0].port",
                "spec.ingress[1].ports[0].protocol",
            }
        },
    ),
    "a label": Removal(
        metadata={**METADATA, "labels": {"kept": "1"}},
        goes={
            name: {"metadata.labels.dropped"}
            for name in (RECORD, INPUTS, POLICY, POD, SERVICE, ACCOUNT)
        },
    ),
    "an annotation": Removal(
        metadata={**METADATA, "annotations": {"kept": "1"}},
        goes={
            name: {"metadata.annotations.dropped"}
            for name in (RECORD, INPUTS, POLICY, POD, SERVICE, ACCOUNT)
        },
    ),
}
NOTED = {RECORD: {"data.specDigest", "data.status"}}
"""The Record changes with every pass that changes something."""

NEW_OBJECT = {"metadata.uid", "metadata.creationTimestamp"}
"""What differs between two pods of one name."""


@pytest.fixture
def others(site: Site) -> Site:
    """A session with everything, and a label, an annotation and a field of others on each part."""
    site.session("one", METADATA, **FULL)
    site.apply()
    for kind, name in (each.split("/") for each in site.ours()):
        theirs = {"labels": {"theirs": "1"}, "annotations": {"theirs.example/x": "1"}}
        site.merge(kind, name, {"metadata": theirs})
    site.merge("ConfigMap", "one-inputs", {"data": {"THEIRS": "1"}})
    site.merge("Service", "session-one", {"spec": {"sessionAffinity": "ClientIP"}})
    site.is_settled()
    return site


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=REMOVALS.keys())
def test_what_goes_from_a_file_goes_from_the_objects_and_nothing_else(
    others: Site, removal: Removal
) -> None:
    before = others.ours()
    others.session("one", removal.metadata or METADATA, **(removal.spec or FULL))
    others.apply()
    after = others.ours()
    assert after.keys() == before.keys()
    for name in before:
        found = changed(before[name], after[name])
        gone = {path for path, (_, new) in found.items() if new is None}
        rest = found.keys() - gone - NOTED.get(name, set()) - set(removal.recounted)
        if before[name]["metadata"]["uid"] != after[name]["metadata"]["uid"]:
            # A new pod has nothing of what others had put on the old one.
            gone -= {"metadata.labels.theirs", "metadata.annotations.theirs.example/x"}
            rest -= NEW_OBJECT
        assert (gone, rest) == (removal.goes.get(name, set()), set()), name
    others.is_settled()


def test_a_repository_goes_from_the_list_that_the_runner_reads(others: Site) -> None:
    before = others.get("ConfigMap", "one-inputs")
    others.session("one", METADATA, **(FULL | {"repos": FULL["repos"][1:]}))
    others.apply()
    after = others.get("ConfigMap", "one-inputs")
    assert changed(before, after).keys() == {"data.REPOS_JSON"}
    old, new = (json.loads(each["data"]["REPOS_JSON"]) for each in (before, after))
    assert new == old[1:]
    others.is_settled()


def test_the_last_repository_takes_its_entry_with_it(others: Site) -> None:
    before = others.get("ConfigMap", "one-inputs")
    others.session("one", METADATA, **without("repos"))
    others.apply()
    gone = changed(before, others.get("ConfigMap", "one-inputs"))
    assert gone.keys() == {"data.REPOS_JSON"}
    assert gone["data.REPOS_JSON"][1] is None


def test_a_port_goes_from_a_service_and_those_of_others_stay(site: Site) -> None:
    site.template("service", SERVICE_TEMPLATE)
    site.session("one")
    site.apply()
    theirs = {"name": "theirs", "port": 7000, "protocol": "TCP"}
    site.edit("Service", "session-one", {"op": "add", "path": "/spec/ports/0", "value": theirs})
    before = site.get("Service", "session-one")
    # TCP and UDP have the same number: the key is of two parts.
    site.template("service", SERVICE_TEMPLATE.replace("  - {name: agui, port: 8001}\n", ""))
    site.apply()
    after = site.get("Service", "session-one")
    assert ports(after) == [port for port in ports(before) if port[0] != "agui"]
    for service in (before, after):
        del service["spec"]["ports"]
    assert changed(before, after) == {}
    site.is_settled()


def test_an_env_entry_goes_in_place_and_those_of_others_stay(site: Site) -> None:
    site.template("deployment", DEPLOYMENT_TEMPLATE)
    site.grant("Deployment")
    site.session("one")
    site.apply()
    entries = "/spec/template/spec/containers/0/env"
    theirs = {"name": "THEIRS", "value": "1"}
    site.edit("Deployment", "one-proxy", {"op": "add", "path": f"{entries}/1", "value": theirs})
    before = site.get("Deployment", "one-proxy")
    shorter = DEPLOYMENT_TEMPLATE.replace('        - {name: DROPPED, value: "1"}\n', "")
    site.template("deployment", shorter)
    site.apply()
    gone = changed(before, site.get("Deployment", "one-proxy"))
    where = "spec.template.spec.containers[proxy].env[DROPPED]"
    assert gone == {f"{where}.name": ("DROPPED", None), f"{where}.value": ("1", None)}
    site.is_settled()


def test_what_people_set_with_kubectl_stays_whatever_changes_in_the_file(others: Site) -> None:
    def kubectl(*arguments: str) -> None:
        others.plane.kubectl("-n", others.namespace, *arguments)

    kubectl("label", "service", "session-one", "people=1")
    kubectl("annotate", "service", "session-one", "people=1")
    kubectl("patch", "service", "session-one", "-p", '{"spec":{"publishNotReadyAddresses":true}}')
    others.is_settled()
    before = others.get("Service", "session-one")
    others.session("one", {"labels": {"new": "1"}, "annotations": {"kept": "2"}}, **FULL)
    others.apply()
    assert changed(before, others.get("Service", "session-one")) == {
        "metadata.annotations.dropped": ("1", None),
        "metadata.annotations.kept": ("1", "2"),
        "metadata.labels.dropped": ("1", None),
        "metadata.labels.kept": ("1", None),
        "metadata.labels.new": (None, "1"),
    }
    others.is_settled()


def test_a_value_that_somebody_else_declares_too_stays_when_we_give_it_up(others: Site) -> None:
    theirs: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "session-one", "labels": {"dropped": "1"}},
    }
    answer = others.plane.request(
        "PATCH",
        others.path("ServiceAccount", "session-one"),
        theirs,
        content_type="application/apply-patch+yaml",
        params={"fieldManager": "another"},
    )
    assert answer.status_code == 200
    before = others.get("ServiceAccount", "session-one")
    others.session("one", {**METADATA, "labels": {"kept": "1"}}, **FULL)
    others.apply()
    after = others.get("ServiceAccount", "session-one")
    assert bare(after) == bare(before)
    assert owners_of(after, "dropped") == {"another"}
    others.is_settled()


def ports(service: Object) -> list[tuple[str, int, str]]:
    return sorted((p["name"], p["port"], p["protocol"]) for p in service["spec"]["ports"])


def owners_of(obj: Object, label: str) -> set[str]:
    return {
        entry["manager"]
        for entry in obj["metadata"]["managedFields"]
        if f"f:{label}" in entry["fieldsV1"].get("f:metadata", {}).get("f:labels", {})
    }
