import pytest

from reconcile.core.changes import ABSENT, ForcesReplace, InPlace, MetadataOnly, RestartsContainer
from reconcile.core.fields.diff import Difference
from reconcile.core.fields.effects import classify_effect, is_container_resource
from reconcile.core.fields.field_path import ListItem
from reconcile.core.fields.managed_fields import FieldOwnership
from reconcile.core.model import Kind

POD = Kind("v1", "Pod")
CLAIM = Kind("v1", "PersistentVolumeClaim")
SERVICE = Kind("v1", "Service")
CONFIG_MAP = Kind("v1", "ConfigMap")
SECRET = Kind("v1", "Secret")
BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding")
POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
STORAGE = ("spec", "resources", "requests", "storage")
RUNNER = ListItem((("name", "runner"),))
GPU = {"key": "gpu", "operator": "Exists"}
SLOW = {"key": "slow", "operator": "Exists"}


def effect(kind, path, before, after, live=None):
    return classify_effect(
        kind, Difference(path, before, after, FieldOwnership(None, ())), live or {}
    )


@pytest.mark.parametrize("kind", [POD, CLAIM, SERVICE, CONFIG_MAP, POLICY])
def test_labels_and_annotations_are_metadata(kind):
    assert effect(kind, ("metadata", "labels", "a"), "1", ABSENT) == MetadataOnly()


def test_a_claim_that_is_given_up_costs_nothing():
    assert effect(POD, ("spec", "nodeName"), "n", "n") == MetadataOnly()


def test_a_new_image_restarts_its_container():
    path = ("spec", "containers", RUNNER, "image")
    assert effect(POD, path, "a:1", "a:2") == RestartsContainer("runner")


def test_a_new_image_of_an_init_container_restarts_nothing():
    path = ("spec", "initContainers", RUNNER, "image")
    assert effect(POD, path, "a:1", "a:2") == InPlace()


def test_a_new_image_of_a_native_sidecar_restarts_it():
    path = ("spec", "initContainers", ListItem((("name", "sync"),)), "image")
    hydrate, sync = {"name": "hydrate"}, {"name": "sync", "restartPolicy": "Always"}
    native = {"spec": {"initContainers": [hydrate, sync]}}
    assert effect(POD, path, "a:1", "a:2", native) == RestartsContainer("sync")
    plain = {"spec": {"initContainers": [sync | {"name": "other"}, {"name": "sync"}]}}
    assert effect(POD, path, "a:1", "a:2", plain) == InPlace()


IN_PLACE = [
    (POD, ("spec", "activeDeadlineSeconds"), 600, 60, {}),
    (POD, ("spec", "activeDeadlineSeconds"), ABSENT, 60, {}),
    (POD, ("spec", "tolerations"), ABSENT, [GPU], {}),
    (POD, ("spec", "tolerations"), [GPU], [SLOW, GPU], {}),
    (POD, ("spec", "tolerations"), [{**GPU, "tolerationSeconds": 1}], [GPU], {}),
    (CLAIM, STORAGE, "1Gi", "2Gi", {}),
    (CLAIM, STORAGE, "1000Mi", "1Gi", {}),
    (SERVICE, ("spec", "ports"), ABSENT, [], {"spec": {"clusterIP": "10.0.0.1"}}),
    (SERVICE, ("spec", "clusterIP"), ABSENT, "10.0.0.1", {"spec": {"type": "ExternalName"}}),
    (SERVICE, ("spec", "clusterIP"), ABSENT, "10.0.0.1", {}),
    (CONFIG_MAP, ("data", "a"), "1", "2", {}),
    (CONFIG_MAP, ("immutable",), ABSENT, True, {"immutable": False}),
    (SECRET, ("data", "a"), "MQ==", "Mg==", {}),
    (POLICY, ("spec", "ingress"), [], [{}], {}),
    (BINDING, ("subjects",), [], [{"kind": "User"}], {}),
    (Kind("example.com/v1", "Pod"), ("spec", "anything"), 1, 2, {}),
]


@pytest.mark.parametrize(("kind", "path", "before", "after", "live"), IN_PLACE)
def test_what_the_server_lets_change_changes_in_place(kind, path, before, after, live):
    assert effect(kind, path, before, after, live) == InPlace()


FORCES = [
    (POD, ("spec", "containers", RUNNER, "env"), ABSENT, [], {}),
    (POD, ("spec", "containers", RUNNER), ABSENT, {"name": "runner"}, {}),
    (POD, ("spec", "ephemeralContainers", RUNNER, "image"), "a:1", "a:2", {}),
    (POD, ("spec", "nodeSelector"), {"a": "1"}, ABSENT, {}),
    (POD, ("spec", "activeDeadlineSeconds"), 60, 600, {}),
    (POD, ("spec", "activeDeadlineSeconds"), 60, ABSENT, {}),
    (POD, ("spec", "tolerations"), [GPU], [], {}),
    (POD, ("spec", "tolerations"), [GPU], ABSENT, {}),
    (POD, ("spec", "tolerations"), [GPU], [{**GPU, "operator": "Equal"}], {}),
    (POD, ("spec", "tolerations"), [GPU], ["nonsense"], {}),
    (POD, ("spec", "tolerations"), [GPU], "nonsense", {}),
    (CLAIM, STORAGE, "2Gi", "1Gi", {}),
    (CLAIM, STORAGE, "1Gi", "nonsense", {}),
    (CLAIM, STORAGE, ABSENT, "1Gi", {}),
    (CLAIM, ("spec", "storageClassName"), "a", "b", {}),
    (SERVICE, ("spec", "clusterIP"), "10.0.0.1", "None", {"spec": {"clusterIP": "10.0.0.1"}}),
    (SERVICE, ("spec", "clusterIPs"), ["a"], ["b"], {"spec": {"clusterIP": "a"}}),
    (CONFIG_MAP, ("data", "a"), "1", "2", {"immutable": True}),
    (CONFIG_MAP, ("immutable",), True, ABSENT, {"immutable": True}),
    (SECRET, ("type",), "Opaque", "kubernetes.io/tls", {}),
    (BINDING, ("roleRef", "name"), "a", "b", {}),
]


@pytest.mark.parametrize(("kind", "path", "before", "after", "live"), FORCES)
def test_what_the_server_never_lets_change_needs_a_new_object(kind, path, before, after, live):
    assert effect(kind, path, before, after, live) == ForcesReplace()


@pytest.mark.parametrize(
    ("path", "is_resource"),
    [
        (("spec", "containers", RUNNER, "resources", "limits", "cpu"), True),
        (("spec", "initContainers", RUNNER, "resources"), True),
        (("spec", "containers", RUNNER, "env"), False),
        (("spec", "resources", "requests", "storage"), False),
    ],
)
def test_only_requests_and_limits_of_containers_are_resized(path, is_resource):
    assert is_container_resource(path) is is_resource
