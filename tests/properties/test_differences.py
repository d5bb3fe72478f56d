"""Whatever is edited, the JSON Patch leads to what is declared and leaves what is others'."""

import copy

import orjson
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import ABSENT
from reconcile.core.fields.diff import build_json_patch, covers, find_differences
from reconcile.core.fields.managed_fields import build_field_set, iter_owned_paths
from reconcile.core.fields.merge_schema import merge_schema_for
from tests.builders import body, co_owned, live, manifest, owned
from tests.json_patch import patched

WORDS = st.sampled_from(["", "0", "1", "a", "b", "a/b~c"])
TEXTS = st.dictionaries(st.sampled_from(["a", "b", "c/d~e", "9", "10"]), WORDS, max_size=3)
CPU = st.sampled_from(["1", "1000m", "2", "0.5", "500m"])
FLAG = st.booleans()


def some(**fields):
    """A map that has any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def keyed(key, names, **fields):
    """A list of items that one field distinguishes."""
    items = [st.fixed_dictionaries({key: st.just(name)}, optional=fields) for name in names]
    return st.lists(st.one_of(items), max_size=4, unique_by=lambda item: item[key])


ENV = keyed("name", "ABC", value=WORDS)
PORTS = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.sampled_from([80, 81]), "protocol": st.sampled_from(["TCP", "UDP"])},
        optional={"name": WORDS},
    ),
    max_size=3,
    unique_by=lambda port: (port["containerPort"], port["protocol"]),
)
CONTAINER = {
    "image": st.sampled_from(["i:1", "i:2"]),
    "args": st.lists(WORDS, max_size=2),
    "env": ENV,
    "ports": PORTS,
    "volumeMounts": keyed("mountPath", ["/a&b", "/c<d>"], name=WORDS, readOnly=FLAG),
    "resources": some(limits=some(cpu=CPU), requests=some(cpu=CPU)),
    "securityContext": some(privileged=FLAG, runAsUser=st.integers(0, 2)),
}
POD_SPEC = some(
    automountServiceAccountToken=FLAG,
    hostNetwork=FLAG,
    nodeSelector=TEXTS,
    containers=keyed("name", ["runner", "mirror"], **CONTAINER),
    volumes=keyed("name", ["w", "x"], emptyDir=some(medium=WORDS, sizeLimit=CPU)),
    tolerations=st.lists(some(key=WORDS, tolerationSeconds=st.integers(0, 1)), max_size=2),
)
SERVICE_SPEC = some(
    selector=TEXTS,
    type=st.sampled_from(["ClusterIP", "NodePort"]),
    ports=st.lists(
        st.fixed_dictionaries(
            {"port": st.sampled_from([80, 81]), "protocol": st.just("TCP")},
            optional={"targetPort": st.sampled_from([80, "web"]), "name": WORDS},
        ),
        max_size=2,
        unique_by=lambda port: port["port"],
    ),
)
METADATA = some(labels=TEXTS, annotations=TEXTS, finalizers=st.just(["x/a"]) | st.just(["x/b"]))
BODIES = {
    "Pod": some(spec=POD_SPEC),
    "Service": some(spec=SERVICE_SPEC),
    "ConfigMap": some(data=TEXTS, binaryData=TEXTS, immutable=FLAG),
}


@st.composite
def edits(draw):
    """What was declared before, what others made of it, and what is declared now."""
    kind = draw(st.sampled_from(sorted(BODIES)))
    now, before, theirs = (
        body(kind, "a", metadata=draw(METADATA), **draw(BODIES[kind])) for _ in range(3)
    )
    before = draw(st.sampled_from([before, now]))
    return manifest(before), manifest(now), theirs


def merged(one, other):
    """Lay others' edits over an object: their fields win, lists are others' or ours in turn."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            name: merged(one[name], other[name])
            if name in one and name in other
            else copy.deepcopy(one.get(name, other.get(name)))
            for name in {**one, **other}
        }
    if isinstance(one, list) and isinstance(other, list) and other and isinstance(other[0], dict):
        return [*copy.deepcopy(one), *(item for item in other if not in_list(item, one))]
    return copy.deepcopy(other)


def in_list(item, items):
    """Whether a list has an item of the same key, whichever field that is."""
    keys = ({"name"}, {"containerPort", "protocol"}, {"port", "protocol"}, {"mountPath"})
    used = next((each for each in keys if each <= item.keys()), set(item))
    return any(all(known.get(key) == item[key] for key in used) for known in items)


def edited(before, theirs):
    """A live object over which others have laid their edits; both are said to own what they set."""
    obj = live(before)
    result = {**merged(obj, theirs), "metadata": merged(obj["metadata"], theirs["metadata"])}
    return co_owned(
        result, build_field_set(theirs, merge_schema_for(before.kind)), "theirs", operation="Apply"
    )


def patch_of(now, obj):
    return build_json_patch(find_differences(merge_schema_for(now.kind), now.body, obj), obj)


def without_empty(value):
    """Leave out empty lists and maps, as the server does where they say nothing."""
    if isinstance(value, dict):
        below = {name: without_empty(item) for name, item in value.items()}
        return {name: item for name, item in below.items() if item not in ({}, [])}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def touches(path, others):
    """Whether a path leads to, into or past one of the others."""
    return any(path[: len(other)] == other[: len(path)] for other in others)


@given(edits())
def test_the_patch_leads_to_what_is_declared_and_a_second_one_is_empty(case):
    before, now, theirs = case
    obj = edited(before, theirs)
    result = owned(patched(obj, patch_of(now, obj)), now.body)
    assert patch_of(now, result) == ()


def lookup(body, path):
    """Look up the value at the keys of a field set; `ABSENT` if there is none."""
    for key in path:
        body = descend(body, key)
    return body


def descend(body, key):
    kind, name = key[0], key[2:]
    match kind, body:
        case "f", dict():
            return body.get(name, ABSENT)
        case "k", list():
            wanted = orjson.loads(name).items()
            return next((item for item in body if has_keys(item, wanted)), ABSENT)
        case "v", list():
            wanted_value = orjson.loads(name)
            return wanted_value if wanted_value in body else ABSENT
        case _:
            return ABSENT


def has_keys(item, wanted):
    return isinstance(item, dict) and all(item.get(key) == value for key, value in wanted)


@given(edits())
def test_fields_that_others_set_stay(case):
    before, now, theirs = case
    schema = merge_schema_for(now.kind)
    obj = edited(before, theirs)
    result = patched(obj, patch_of(now, obj))
    declared = list(iter_owned_paths(build_field_set(now.body, schema)))
    for path in iter_owned_paths(build_field_set(theirs, schema)):
        found, left = lookup(obj, path), lookup(result, path)
        if isinstance(found, dict):
            assert isinstance(left, dict)
        elif not touches(path, declared):
            assert left == found


@given(edits())
def test_without_others_exactly_what_is_declared_is_left(case):
    before, now, _ = case
    schema = merge_schema_for(now.kind)
    result = patched(live(before), patch_of(now, live(before)))
    del result["metadata"]["managedFields"]
    assert covers(schema, now.body, result)
    assert covers(schema, without_empty(result), live(now))


@given(edits())
def test_covers_is_never_true_for_a_difference(case):
    before, now, theirs = case
    obj = edited(before, theirs)
    if covers(merge_schema_for(now.kind), now.body, obj):
        assert patch_of(now, obj) == ()
