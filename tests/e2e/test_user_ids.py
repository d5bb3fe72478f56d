"""Clusters that judge or assign the user ids of pods, as `restricted` and OpenShift do."""

from collections.abc import Iterator

import pytest

from reconcile.cli.exit_codes import ExitCode
from tests.e2e.site import Object, Site
from tests.e2e.webhooks import DeniedError, mutating, validating
from tests.podsecurity import violations

pytestmark = pytest.mark.cluster

ID_FIELDS = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"}
REFUSAL = "unable to validate against any security context constraint"
EVERYTHING: Object = {
    "initialPrompt": "work",
    "repos": [{"url": "https://git.example/a.git"}],
    "credentials": [{"provider": "github", "secretName": "git-keys"}],
    "runner": {"image": "registry.example/runner:1", "caConfigMapName": "authorities"},
    "storage": {"mode": "shared"},
}
"""A session with every container and volume that a pod can have."""

STORED: Object = {"storage": {"sharedSecretName": "s3-shared"}}


def deny(reason: str) -> DeniedError:
    status = {"status": "Failure", "reason": "Forbidden", "code": 403, "message": reason}
    return DeniedError(status)


def contexts(pod: Object) -> Iterator[Object]:
    spec = pod["spec"]
    for owner in (spec, *spec.get("initContainers", []), *spec["containers"]):
        yield owner.setdefault("securityContext", {})


def refuse_fixed_ids(pod: Object) -> None:
    """Refuse ids as the default constraint of OpenShift does."""
    if any(ID_FIELDS & context.keys() for context in contexts(pod)):
        raise deny(REFUSAL)


def assign_ids(pod: Object) -> None:
    """Assign ids as OpenShift does: the user to each container, the groups to the pod."""
    of_pod, *of_containers = contexts(pod)
    if "fsGroup" not in of_pod:
        refuse_fixed_ids(pod)
        of_pod |= {"fsGroup": 1000660000, "seLinuxOptions": {"level": "s0:c26,c5"}}
        for context in of_containers:
            context["runAsUser"] = 1000660000


def enforce_restricted(pod: Object) -> None:
    if found := violations(pod["spec"]):
        raise deny(f"violates PodSecurity restricted: {', '.join(found)}")


@pytest.mark.parametrize("user_ids", ["fixed", "assigned"])
def test_a_session_with_every_container_passes_the_restricted_profile(
    site: Site, user_ids: str
) -> None:
    site.defaults(**STORED, capabilities={"userIds": user_ids})
    with validating(site, enforce_restricted, "pods"):
        site.session("one", **EVERYTHING)
        site.apply()
        spec = site.get("Pod", "one-runner")["spec"]
        assert [each["name"] for each in spec["initContainers"]] == ["hydrate", "prepare"]
        assert [each["name"] for each in spec["containers"]] == ["runner", "sync", "bridge"]
        site.is_settled()


def test_a_cluster_that_refuses_fixed_ids_takes_pods_that_leave_them_out(site: Site) -> None:
    with validating(site, refuse_fixed_ids, "pods"):
        site.defaults(**STORED)
        site.session("one", **EVERYTHING)
        refused = site.apply(expect=ExitCode.PARTIAL)
        assert REFUSAL in refused.out + refused.err
        assert "Pod/one-runner" not in site.ours()
        site.defaults(**STORED, capabilities={"userIds": "assigned"})
        site.apply()
        assert "Pod/one-runner" in site.ours()
        site.is_settled()


def test_ids_that_the_cluster_assigns_are_no_drift(site: Site) -> None:
    site.defaults(**STORED, capabilities={"userIds": "assigned"})
    with mutating(site, assign_ids, "pods"):
        site.session("one", **EVERYTHING)
        site.apply()
        spec = site.get("Pod", "one-runner")["spec"]
        assert spec["securityContext"]["fsGroup"] == 1000660000
        assert all(each["securityContext"]["runAsUser"] for each in spec["containers"])
        site.start_pod("one-runner")
        site.is_settled()
