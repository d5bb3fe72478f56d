"""Properties of every pass, for any files and any concurrent changes by other clients."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reconcile.core.changes import Delete, Hold
from reconcile.core.errors import (
    ClusterError,
    ConflictError,
    UnavailableError,
)
from reconcile.core.model import ANNOTATION_RECORD_UID
from reconcile.engine.reconciler import ReconcilerOptions
from tests.builders import ref_of, ref_of_object
from tests.engine.fakes import nth
from tests.engine.installation import EmbeddedInstallation, is_quiet
from tests.properties.session_specs import file_of, free, passes
from tests.session_files import GENEROUS, policy_text, tree_of

NAMES = ("ada", "bob")
NAMESPACES = ("team-a", "team-b")
WORDS = st.text("abcxyz \n\"':{}#é→", max_size=12)
VALUES = st.sampled_from(["", "1", "x", "a b", "é", "{}", "null", "# no"])
PEERS = st.fixed_dictionaries({"namespace": st.sampled_from(["ui", "ops"])})
FIELDS = {
    "displayName": WORDS.map(lambda text: text.replace("\n", "")),
    "initialPrompt": WORDS,
    "interactive": st.booleans(),
    "timeout": st.integers(1, 9999),
    "environmentVariables": st.dictionaries(st.sampled_from(["A", "B", "C"]), VALUES),
    "repos": st.lists(
        st.sampled_from(["https://git.example/a", "https://git.example/b"]), max_size=2, unique=True
    ).map(lambda urls: [{"url": url} for url in urls]),
    "maxDuration": st.sampled_from(["1h", "2h", 3600]),
    "state": st.sampled_from(["Running", "Stopped"]),
    "update": st.fixed_dictionaries({"strategy": st.sampled_from(["Recreate", "WhenStopped"])}),
    "network": st.fixed_dictionaries({"allowFrom": st.lists(PEERS, max_size=2, unique_by=str)}),
    "runner": st.fixed_dictionaries(
        {},
        optional={
            "image": st.sampled_from(["example.com/a:1", "example.com/a:2"]),
            "port": st.sampled_from([8001, 9000]),
            "nodeSelector": st.dictionaries(st.sampled_from(["disk", "zone"]), st.just("x")),
        },
    ),
}
SPECS = st.fixed_dictionaries({}, optional=FIELDS)
PLACES = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
TREES = st.dictionaries(PLACES, SPECS, max_size=4)


def world_of(sessions):
    world = EmbeddedInstallation(options=ReconcilerOptions(concurrency=2))
    world.files["policy.yaml"] = policy_text(GENEROUS, "allowEmpty: true")
    for (namespace, name), spec in sessions.items():
        world.files[f"{namespace}/{name}.yaml"] = file_of(name, spec)
    return world


@passes
@given(TREES)
def test_a_second_pass_has_nothing_to_do(sessions):
    world = world_of(sessions)
    passed = world.apply()
    assert not passed.planned.desired.problems
    assert not passed.bad
    again = world.apply()
    assert is_quiet(again.plan)
    assert world.seen.writes == []


@passes
@given(TREES, TREES)
def test_from_any_state_to_any_other_takes_one_pass(before, after):
    world = world_of(before)
    world.apply()
    world.files = world_of({place: free(spec) for place, spec in after.items()}).files
    passed = world.apply(folders=NAMESPACES)
    assert not passed.bad
    assert not passed.failures
    again = world.apply(folders=NAMESPACES)
    assert is_quiet(again.plan)
    assert world.seen.writes == []
    fresh = world_of({place: free(spec) for place, spec in after.items()})
    fresh.apply(folders=NAMESPACES)
    assert [shape(obj) for obj in world.objects()] == [shape(obj) for obj in fresh.objects()]


def shape(obj):
    """What an object is, whenever it was made."""
    made = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in made}
    owners = [{**owner, "uid": ""} for owner in metadata.pop("ownerReferences", ())]
    annotations = {**metadata.pop("annotations", {})}
    has_uid = bool(annotations.pop(ANNOTATION_RECORD_UID, ""))
    spec = {k: v for k, v in obj.get("spec", {}).items() if not k.startswith("clusterIP")}
    if "volumes" in spec:
        spec["volumes"] = [v for v in spec["volumes"] if not v["name"].startswith("kube-api")]
    data = {
        key: value for key, value in obj.get("data", {}).items() if key not in {"status", "spent"}
    }
    return ref_of_object(obj), {**metadata, **annotations}, has_uid, owners, spec, data


@passes
@given(TREES, st.randoms())
def test_the_order_of_files_does_not_matter(sessions, shuffler):
    world = world_of(sessions)
    tree = tree_of(world.files)
    shuffled = list(tree.files)
    shuffler.shuffle(shuffled)
    other = type(tree)(tree.revision, tree.folders, tuple(shuffled))
    one, two = (world.builder.build(each) for each in (tree, other))
    plans = [world.reconciler().plan(each, {}).plan for each in (one, two)]
    assert plans[0] == plans[1]


@passes
@given(TREES, TREES, TREES)
def test_a_plan_names_only_desired_and_owned_objects(before, theirs, after):
    world = world_of(before)
    world.apply()
    other = world_of(theirs)
    other.cluster = world.cluster
    other.files["policy.yaml"] = policy_text().replace("default", "second")
    other.apply()
    owned = {ref_of_object(obj) for obj in world.ours()}
    world.files = world_of(after).files
    planned = world.plan(folders=NAMESPACES)
    wanted = {m.ref for session in planned.desired.sessions for m in session.manifests}
    for change in planned.plan.changes:
        assert change.ref in owned | wanted
        action = change.change if isinstance(change, Hold) else change
        assert change.ref in (owned if isinstance(action, Delete) else wanted)


class Passes(RuleBasedStateMachine):
    """Files are edited, broken and mended, objects drift, requests fail, passes are made."""

    @initialize(sessions=TREES)
    def begin(self, sessions):
        self.world = EmbeddedInstallation(options=ReconcilerOptions(concurrency=1))
        self.world.files["policy.yaml"] = policy_text(GENEROUS, "allowEmpty: true")
        metadata = {"name": "theirs", "namespace": "team-a"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
        self.world.cluster.create(body, "stranger")
        other = EmbeddedInstallation()
        other.cluster = self.world.cluster
        other.files["policy.yaml"] = policy_text().replace("default", "second")
        other.add("ada", namespace="team-b").apply()
        self.sessions = {}
        self.commits = 0
        self.broken = set()
        self.taken = {("team-b", "ada")}
        self.foreign = self.others()
        for place, spec in sessions.items():
            self.edit_a_file(place, spec)
        self.a_pass()

    def others(self):
        ours = {obj["metadata"]["uid"] for obj in self.world.ours()}
        return [obj for obj in self.world.objects() if obj["metadata"]["uid"] not in ours]

    def tree(self):
        """What a pass is made of; each has a commit of its own, and with it a budget."""
        self.commits += 1
        return {"folders": NAMESPACES, "revision": f"r{self.commits}"}

    def living(self):
        return {ref_of_object(obj): obj["metadata"]["uid"] for obj in self.world.ours()}

    @rule(place=PLACES, spec=SPECS)
    def edit_a_file(self, place, spec):
        if place not in self.taken:
            self.sessions[place] = spec
            self.broken.discard(place)
            self.write(place)

    @rule(place=PLACES)
    def delete_a_file(self, place):
        self.sessions.pop(place, None)
        self.broken.discard(place)
        self.world.files.pop(path_of(place), None)

    @rule(place=PLACES, how=st.sampled_from(["{", "", "kind: Nonsense\n", "a: 1\na: 2\n"]))
    def break_a_file(self, place, how):
        if place not in self.taken:
            self.broken.add(place)
            self.world.files[path_of(place)] = how

    @rule()
    def mend_all_files(self):
        for place in self.broken:
            if place in self.sessions:
                self.write(place)
            else:
                self.world.files.pop(path_of(place))
        self.broken.clear()

    def write(self, place):
        self.world.files[path_of(place)] = file_of(place[1], self.sessions[place])

    @rule(place=PLACES, value=VALUES, key=st.sampled_from(["INITIAL_PROMPT", "theirs"]))
    def drift(self, place, value, key):
        odd = {"op": "add", "path": f"/data/{key}", "value": value}
        self.touch("ConfigMap", f"{place[1]}-inputs", place[0], odd)

    @rule(place=PLACES)
    def drift_of_a_pod(self, place):
        odd = {"op": "replace", "path": "/spec/containers/0/image", "value": "odd:1"}
        self.touch("Pod", f"{place[1]}-runner", place[0], odd)

    def touch(self, kind, name, namespace, operation):
        if ref_of(kind, name, namespace) in self.living():
            with contextlib.suppress(ConflictError):  # a field that is not there
                self.world.edit(kind, name, operation, namespace=namespace)

    @rule(place=PLACES, kind=st.sampled_from(["Service", "Pod", "ConfigMap"]))
    def delete_by_hand(self, place, kind):
        name = {"Service": f"session-{place[1]}", "Pod": f"{place[1]}-runner",
                "ConfigMap": f"{place[1]}-inputs"}[kind]  # fmt: skip
        if ref_of(kind, name, place[0]) in self.living():
            self.world.remove(kind, name, place[0])

    @rule(place=PLACES, code=st.sampled_from([0, 1]))
    def a_pod_ends(self, place, code):
        ref = ref_of("Pod", f"{place[1]}-runner", place[0])
        if ref in self.living():
            pod = self.world.get("Pod", ref.name, ref.namespace)
            if pod["status"]["phase"] == "Running":
                self.world.cluster.finish(ref, code)

    @rule(
        number=st.integers(0, 30),
        error=st.sampled_from([UnavailableError("away"), ConflictError("faster")]),
        late=st.booleans(),
    )
    def a_pass_with_a_failing_request(self, number, error, late):
        self.one_pass(nth(number, error, late=late and isinstance(error, UnavailableError)))

    @rule()
    def a_pass(self):
        self.one_pass()

    def one_pass(self, *faults):
        before = self.living()
        with contextlib.suppress(ClusterError) if faults else contextlib.nullcontext():
            self.world.apply(*faults, **self.tree())
        gone = before.keys() - self.living().keys()
        doubtful = {namespace for namespace, _ in self.broken}
        # A session that is stopped loses its pod; nothing else goes where a file is broken.
        assert not [ref for ref in gone if ref.namespace in doubtful and ref.kind != "Pod"]

    @invariant()
    def strangers_are_left_alone(self):
        assert self.others() == self.foreign

    def teardown(self):
        self.mend_all_files()
        for place, spec in self.sessions.items():
            self.world.files[path_of(place)] = file_of(place[1], free(spec))
        for _ in range(2):
            self.world.cluster.tick(100_000)
            passed = self.world.apply(**self.tree())
        assert not passed.bad
        assert is_quiet(self.world.plan(folders=NAMESPACES).plan)
        wanted = {m.ref for w in passed.planned.desired.sessions for m in w.manifests}
        assert {r for r in self.living() if "inventory" not in r.name} == wanted
        assert self.others() == self.foreign


def path_of(place):
    return f"{place[0]}/{place[1]}.yaml"


TestPasses = Passes.TestCase
TestPasses.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
