"""After an apply there is nothing to do: no diff, no write, whatever a session uses."""

from typing import Any

import pytest

from reconcile.cli.exit_codes import ExitCode
from reconcile.cli.wiring import find_shipped_templates
from reconcile.core.spec.kinds import DEFAULTS_KIND, KINDS, POLICY_KIND, PROJECT_KIND, SESSION_KIND
from tests.e2e import full_documents
from tests.e2e.site import IMAGE, SHIPPED, Site, session_document

pytestmark = pytest.mark.cluster

STORED: dict[str, Any] = {"storage": {"sharedSecretName": "s3-shared"}}
CUSTOM = {"mode": "custom", "secretName": "s3", "bucket": "my-bucket", "tokenAudience": "sts"}
OVERLAYS = {
    "pvc": """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: "{{ session.name }}-data"}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: "1024Mi"}}
""",
    "deployment": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ session.name }}-proxy"}
spec:
  replicas: 0
  selector: {matchLabels: {app: "{{ session.name }}"}}
  template:
    metadata: {labels: {app: "{{ session.name }}"}}
    spec:
      containers:
      - name: proxy
        image: registry.example/proxy:1
        ports: [{containerPort: 80}]
        env: [{name: A, value: "1"}, {name: B, value: ""}]
        resources: {limits: {cpu: "0.1", memory: 100M}}
""",
}
"""Templates as users write them, for kinds that are not shipped."""


@pytest.fixture
def priority_class(site: Site) -> None:
    body = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": full_documents.PRIORITY},
        "value": 100,
    }
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    assert site.plane.request("POST", path, body).status_code in {201, 409}


def test_every_field_is_tried() -> None:
    assert full_documents.documents("team-a").keys() == KINDS.keys()
    assert full_documents.unused("team-a") == []


def test_every_shipped_template_makes_an_object_that_stays_as_it_is(site: Site) -> None:
    site.session("one")
    site.apply()
    made = {item["kind"] for item in site.ours().values()}
    assert made == SHIPPED.keys()
    site.is_settled()


def test_every_shipped_template_is_used(site: Site) -> None:
    site.defaults(**STORED)
    site.session("one", storage=CUSTOM)
    site.apply()
    templates = len(list(find_shipped_templates().glob("*.yaml.j2")))
    # Record and inventory come from no template.
    assert len(site.ours()) == templates + 2
    site.is_settled()


@pytest.mark.usefixtures("priority_class")
def test_a_session_that_uses_every_field(site: Site) -> None:
    document = full_documents.documents(site.namespace)[SESSION_KIND]
    site.defaults(**STORED)
    site.write(f"{site.namespace}/everything.yaml", dict(document))
    site.apply()
    pod = site.get("Pod", "everything-runner")
    assert pod["spec"]["priority"] == 100
    assert pod["spec"]["containers"][0]["image"] == document["spec"]["runner"]["image"]
    site.is_settled()


@pytest.mark.usefixtures("priority_class")
def test_settings_of_every_level_that_use_every_field(site: Site) -> None:
    documents = full_documents.documents(site.namespace)
    site.write("policy.yaml", dict(documents[POLICY_KIND]))
    site.write("defaults.yaml", dict(documents[DEFAULTS_KIND]))
    site.write(f"{site.namespace}/project.yaml", dict(documents[PROJECT_KIND]))
    site.write(f"{site.namespace}/one.yaml", _session("one", {}))
    site.write(f"{site.namespace}/two.yaml", _session("two", {"runner": {"image": IMAGE}}))
    site.apply()
    assert site.get("Pod", "one-runner")["spec"]["priorityClassName"] == full_documents.PRIORITY
    site.is_settled()


@pytest.mark.usefixtures("priority_class")
def test_sessions_that_use_one_field_each(site: Site) -> None:
    parts = [{name: value} for name, value in full_documents.SPEC.items() if name != "runner"]
    parts += [{"runner": {name: value}} for name, value in full_documents.SPEC["runner"].items()]
    parts += [{"state": "Stopped"}]
    parts = [part for part in parts if "storage" not in part]
    parts += [{name: full_documents.SPEC[name] for name in ("storage", "mirror")}]
    documents = [_session(f"only-{number}", part) for number, part in enumerate(parts)]
    site.defaults(**STORED)
    site.write(f"{site.namespace}/all.yaml", *documents)
    site.apply()
    assert len([name for name in site.ours() if name.startswith("Pod/")]) == len(parts) - 1
    site.is_settled()


@pytest.mark.parametrize("storage", [{"mode": "shared"}, CUSTOM], ids=lambda each: each["mode"])
def test_a_mirrored_session_stays_as_it_is_and_gives_it_up_again(
    site: Site, storage: dict[str, Any]
) -> None:
    site.defaults(**STORED)
    site.session("one", storage=storage)
    site.apply()
    pod = site.get("Pod", "one-runner")["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["hydrate", "prepare"]
    assert [each["name"] for each in pod["containers"]] == ["runner", "sync"]
    site.is_settled()
    site.session("one", storage={"mode": "none"})
    site.apply()
    pod = site.get("Pod", "one-runner")["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["prepare"]
    assert "ConfigMap/one-storage" not in site.ours()
    site.is_settled()


def test_a_server_without_native_sidecars_says_what_to_declare(site: Site) -> None:
    site.defaults(**STORED, capabilities={"sidecar": "native"})
    site.session("one", storage={"mode": "shared"})
    ended = site.apply(expect=ExitCode.PARTIAL)
    assert "set `capabilities.sidecar: plain` in defaults.yaml" in ended.out + ended.err
    assert "Pod/one-runner" not in site.ours()
    site.defaults(**STORED)
    site.apply()
    site.is_settled()


def test_templates_of_ones_own_for_kinds_that_are_not_shipped(site: Site) -> None:
    for name, text in OVERLAYS.items():
        site.template(name, text)
    site.grant("PersistentVolumeClaim")
    site.grant("Deployment")
    site.session("one")
    site.apply()
    assert {"PersistentVolumeClaim", "Deployment"} <= {o["kind"] for o in site.ours().values()}
    site.is_settled()


def test_what_the_cluster_itself_adds_is_no_difference(site: Site) -> None:
    site.session("one")
    site.apply()
    site.start_pod("one-runner")
    site.merge("Pod", "one-runner", {"metadata": {"annotations": {"cni.example/ip": "10.1.2.3"}}})
    secrets = {"secrets": [{"name": "one-token-x"}], "imagePullSecrets": [{"name": "registry"}]}
    site.merge("ServiceAccount", "session-one", secrets)
    site.is_settled()


def _session(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    document = session_document(name)
    return {**document, "spec": spec}
