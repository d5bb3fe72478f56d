"""Policies that change what is applied: no drift, no write, no replacement afterwards."""

import pytest

from tests.e2e.site import Object, Site
from tests.e2e.webhooks import Mutate, mutating

pytestmark = pytest.mark.cluster

DIGEST = f"@sha256:{'0' * 64}"


def _containers(body: Object) -> list[Object]:
    spec = body.get("spec", {})
    return [*spec.get("initContainers", []), *spec.get("containers", [])]


def rewrite_registry(body: Object) -> None:
    for container in _containers(body):
        if not container["image"].startswith("mirror.example/"):
            container["image"] = f"mirror.example/{container['image']}"


def pin_digest(body: Object) -> None:
    for container in _containers(body):
        if "@" not in container["image"]:
            container["image"] += DIGEST


def raise_cpu(body: Object) -> None:
    for container in _containers(body):
        if container["name"] == "runner":
            container["resources"]["requests"]["cpu"] = "1500m"


def add_sidecar(body: Object) -> None:
    containers = body["spec"]["containers"]
    if all(each["name"] != "proxy" for each in containers):
        containers.insert(0, {"name": "proxy", "image": "mirror.example/proxy:1"})


MUTATIONS = [rewrite_registry, pin_digest, raise_cpu, add_sidecar]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
@pytest.mark.parametrize("strategy", ["WhenStopped", "Recreate"])
def test_what_admission_changes_is_no_drift(site: Site, mutate: Mutate, strategy: str) -> None:
    update = {"strategy": strategy}
    with mutating(site, mutate, "pods"):
        site.session("one", update=update)
        site.apply()
        site.start_pod("one-runner")
        first = site.get("Pod", "one-runner")
        site.is_settled()
        site.session("one", metadata={"labels": {"topic": "changed"}}, update=update)
        site.apply()
        second = site.get("Pod", "one-runner")
        assert second["metadata"]["uid"] == first["metadata"]["uid"]
        assert second["metadata"]["labels"]["topic"] == "changed"
        site.is_settled()
