"""Both implementations: the same random writes have the same result, including owners."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcile.core.errors import ClusterError, ConflictError, InvalidError
from reconcile.core.fields.managed_fields import iter_managed_fields, iter_owned_paths
from reconcile.engine.ports import ApplyOptions
from tests.builders import kind_of, ref_of_object
from tests.contracts import clusters
from tests.contracts.bodies import config_map, pod, service
from tests.live_patch import patch_object

pytestmark = pytest.mark.cluster

WORDS = st.sampled_from(["", "1", "2"])
MAPS = st.dictionaries(st.sampled_from(["a", "b", "c.d"]), WORDS, min_size=1)
METADATA = st.fixed_dictionaries({}, optional={"labels": MAPS, "annotations": MAPS})
PORTS = st.lists(
    st.fixed_dictionaries(
        {"port": st.sampled_from([80, 81, 82])},
        optional={"targetPort": st.sampled_from([80, 8080])},
    ).map(lambda port: {**port, "name": f"p{port['port']}", "protocol": "TCP"}),
    unique_by=lambda port: port["port"],
)
CONFIG_MAPS = st.fixed_dictionaries({"metadata": METADATA}, optional={"data": MAPS})
SERVICES = st.fixed_dictionaries(
    {"ports": PORTS}, optional={"selector": MAPS, "sessionAffinity": st.just("ClientIP")}
)
VARIABLES = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("AB"), "value": st.sampled_from("12")}),
    unique_by=lambda each: each["name"],
)
CONTAINERS = st.fixed_dictionaries(
    {"image": st.sampled_from(["a:1", "a:2"])},
    optional={
        "env": VARIABLES,
        "resources": st.sampled_from(["1", "500m"]).map(lambda cpu: {"limits": {"cpu": cpu}}),
    },
)
LABELS = [
    ("add", "/metadata/labels", {"a": "9"}),
    ("remove", "/metadata/labels", None),
    ("add", "/metadata/annotations/a", "9"),
]
DATA = [
    ("add", "/data", {"a": "9", "z": "9"}),
    ("add", "/data/a", "1"),
    ("remove", "/data/a", None),
]
PARTS = [
    ("remove", "/spec/ports/0", None),
    ("replace", "/spec/ports/0/targetPort", 99),
    ("add", "/spec/selector/a", "9"),
]
IMAGES = [("replace", "/spec/containers/0/image", "a:9")]
MANAGERS = st.sampled_from(["reconcile", "another"])
OPTIONS = st.builds(ApplyOptions, MANAGERS, force=st.booleans())


def histories(make, fields, changes):
    edits = st.sampled_from([*LABELS, *changes]).map(
        lambda change: dict(zip(("op", "path", "value"), change, strict=True))
    )
    applies = st.tuples(fields.map(lambda chosen: (make, chosen)), OPTIONS)
    return st.lists(st.one_of(applies, st.tuples(edits, st.none())), min_size=1, max_size=6)


def make_config_map(namespace, fields):
    return config_map(namespace, **fields)


def make_service(namespace, fields):
    return {**service(namespace), "spec": fields}


def make_pod(namespace, container):
    return pod(namespace, container)


HISTORIES = st.one_of(
    histories(make_config_map, CONFIG_MAPS, DATA),
    histories(make_service, SERVICES, PARTS),
    histories(make_pod, CONTAINERS, IMAGES),
)
NUMBERS = itertools.count()


def carried_out(world, history, name):
    """What each write leads to: the object, or the error by type, fields and owners."""
    known = config_map(world.namespace, name)
    for write, options in history:
        try:
            if options is None:
                yield seen(
                    patch_object(world.cluster, kind_of(known), ref_of_object(known), [write])
                )
                continue
            make, fields = write
            known = make(world.namespace, fields)
            known["metadata"]["name"] = name
            yield seen(world.cluster.apply(known, options))
        except ConflictError as error:
            # Servers such as 1.20 name a wrong field where several are contested in one item.
            yield "conflict", {owner.manager for owner in error.owners}
        except InvalidError as error:
            yield "invalid", set(error.fields)
        except ClusterError as error:
            yield type(error)


def seen(obj):
    """An object without what no two servers have alike."""
    metadata = {key: obj["metadata"].get(key) for key in ("labels", "annotations", "finalizers")}
    owned = {
        (owner.manager, owner.operation): set(iter_owned_paths(owner.fields))
        for owner in iter_managed_fields(obj)
    }
    content = {key: value for key, value in obj.items() if key not in {"metadata", "status"}}
    if obj["kind"] == "Service":
        addresses = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}
        newer = {*addresses, "internalTrafficPolicy"}
        content["spec"] = {k: v for k, v in content["spec"].items() if k not in newer}
    return metadata, content, owned


@pytest.fixture(scope="module")
def real(control_plane):
    with clusters.real(control_plane) as world:
        yield world


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(HISTORIES)
def test_the_same_writes_lead_to_the_same_objects(real, history):
    name = f"like-{next(NUMBERS)}"
    assert list(carried_out(clusters.embedded(), history, name)) == list(
        carried_out(real, history, name)
    )
