"""A tenant with all rights in one namespace of an installation, against the passes for all others.

Whatever is written there, the changes of the other namespaces are shown and made, nothing else of
them changes, and no text of the tenant reaches a terminal or a comment raw.
"""

import json
import re
from dataclasses import dataclass, field

import pytest

from reconcile.core.model import LABEL_INSTALLATION, LABEL_MANAGED_BY, LABEL_SESSION
from reconcile.engine.ports import ApplyOptions
from tests.cli.trees import Tree
from tests.e2e import rights
from tests.e2e import site as sites
from tests.e2e.site import WRITES, Site
from tests.session_files import policy_text

ESCAPES = "\x1b[31m\x9b\u202e\n::error title=x::y\n##[error]z @everyone <img src=x> | `"
CANARY = "c4n4ry-of-team-b"
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")
IMAGE = "registry.example/runner:2"
INVENTORY = "reconcile-inventory-default"
LARGE = "x" * 900_000
EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
OUTPUTS = (
    ("diff",),
    ("diff", "-v"),
    ("diff", "-o", "markdown"),
    ("diff", "-o", "github"),
    ("diff", "-o", "unified"),
    ("diff", "-o", "json"),
    ("status",),
    ("status", "-o", "wide"),
    ("status", "-o", "json"),
)


def ours(session, **metadata):
    labels = {LABEL_INSTALLATION: "default", LABEL_SESSION: session}
    return {"labels": {**labels, LABEL_MANAGED_BY: "reconcile"}, **metadata}


def owner(of, uid):
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": of, "uid": uid, "controller": True}


def config_map(name, metadata, **data):
    metadata = {"name": name, **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(name, metadata, **container):
    spec = {"containers": [{"name": "runner", "image": "x", **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def forge_the_inventory(tenant):
    usage = {"revision": tenant.revision, "living": 1, "restarts": [], "deletes": []}
    usage["deletes"] = [f"{tenant.namespace}/x{number}" for number in range(50)]
    tenant.change(
        "ConfigMap",
        INVENTORY,
        lambda obj: obj.setdefault("data", {}).update(
            namespaces='["kube-system","victim"]',
            kinds='[["v1","Secret"],["apps/v1","Deployment"]]',
            spent=json.dumps(usage),
        ),
    )


def damage_the_inventory(tenant):
    data = {
        "namespaces": "[" * 5000,
        "kinds": LARGE,
        "spent": '{"revision":"","living":1e300,"deletes":[],"restarts":[]}',
    }
    tenant.change("ConfigMap", INVENTORY, lambda obj: obj.update(data=data))


def close_the_inventory(tenant):
    """No client can write it any more."""
    tenant.change("ConfigMap", INVENTORY, lambda obj: obj.update(immutable=True))


def keep_the_inventory_from_ending(tenant):
    tenant.change(
        "ConfigMap", INVENTORY, lambda obj: obj["metadata"].update(finalizers=["tenant.example/x"])
    )
    tenant.delete("ConfigMap", INVENTORY)


def replace_the_inventory(tenant):
    tenant.delete("ConfigMap", INVENTORY)
    tenant.create(config_map(INVENTORY, {}, namespaces="[]"))


def make_sessions(tenant):
    """Objects that look like sessions that are removed: they use up the budget of deletes."""
    for number in range(30):
        name = f"forged{number}"
        tenant.create(config_map(f"session-{name}", ours(name), status=ESCAPES))


def make_pods_that_never_end(tenant):
    for number in range(3):
        metadata = ours(f"stuck{number}", finalizers=["tenant.example/x"])
        tenant.create(config_map(f"session-stuck{number}", metadata))
        tenant.create(pod(f"stuck{number}-runner", metadata))


def name_owners_of_others(tenant):
    """Objects that claim to belong to another namespace's Record."""
    for number, uid in enumerate(tenant.uids):
        references = [owner("session-one", uid)]
        tenant.create(config_map(f"owned{number}", ours("one", ownerReferences=references)))


def take_over_the_record(tenant):
    ended = {"name": "one-runner", "phase": "Completed", "reason": ESCAPES, "digest": ""}
    status = {"revision": ESCAPES, "digest": LARGE[:5000], "pending": [ESCAPES] * 50}
    status |= {"failed": [ESCAPES], "ended": [ended], "failed_starts": 1e300}

    def forge(obj):
        obj["metadata"]["labels"]["tenant"] = "x"
        obj["metadata"].setdefault("annotations", {})["tenant.example/x"] = ESCAPES
        obj.setdefault("data", {})["status"] = json.dumps(status)

    tenant.change("ConfigMap", "session-one", forge)


def write_a_hostile_status(tenant):
    def forge(obj):
        ended = {"exitCode": 1, "reason": "Error", "message": ESCAPES * 50}
        obj["status"] = {
            "phase": "Failed",
            "reason": ESCAPES,
            "message": ESCAPES + LARGE[:100_000],
            "containerStatuses": [
                {
                    "name": "runner",
                    "image": ESCAPES,
                    "imageID": ESCAPES,
                    "ready": False,
                    "restartCount": 0,
                    "state": {"terminated": ended},
                }
            ],
        }

    tenant.change("Pod", "one-runner", forge, status=True)


def make_large_objects(tenant):
    for number in range(20):
        tenant.create(config_map(f"session-large{number}", ours(f"large{number}"), x=LARGE))


def call_everything_a_secret(tenant):
    """A value of a secret name is hidden: those here are the values that others change."""
    words = {"API_TOKEN": IMAGE, "PASSWORD": tenant.other, "KEY_SECRET": "one-runner"}
    env = [{"name": name, "value": value} for name, value in words.items()]
    tenant.create(pod("secrets-runner", ours("secrets"), env=env))
    tenant.create(config_map("session-secrets", ours("secrets"), **words))


def change_what_is_declared(tenant):
    def forge(obj):
        obj["metadata"].setdefault("annotations", {})["x"] = ESCAPES
        obj["spec"]["ports"][0]["targetPort"] = ESCAPES

    tenant.change("Service", "session-one", forge)


ATTACKS = [
    forge_the_inventory,
    damage_the_inventory,
    close_the_inventory,
    keep_the_inventory_from_ending,
    replace_the_inventory,
    make_sessions,
    make_pods_that_never_end,
    name_owners_of_others,
    take_over_the_record,
    write_a_hostile_status,
    make_large_objects,
    call_everything_a_secret,
    change_what_is_declared,
]


@dataclass
class EmbeddedTenant:
    """The tenant of `team-a` on an embedded cluster, who is not even limited by its validation."""

    tree: Tree
    namespace: str = "team-a"
    other: str = "team-b"
    revision: str = ""
    uids: list = field(default_factory=list)

    def create(self, body):
        metadata = {**body["metadata"], "namespace": self.namespace}
        self.tree.cluster.apply({**body, "metadata": metadata}, ApplyOptions("tenant"))

    def change(self, kind, name, forge, **_part):
        self._write(lambda items: forge(self._find(items, kind, name)))

    def delete(self, kind, name):
        def remove(items):
            found = self._find(items, kind, name)
            if found["metadata"].get("finalizers"):
                found["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
            else:
                items.remove(found)

        self._write(remove)

    def _find(self, items, kind, name):
        [found] = [
            each
            for each in items
            if (each["kind"], each["metadata"]["name"], each["metadata"]["namespace"])
            == (kind, name, self.namespace)
        ]
        return found

    def _write(self, deed):
        state = json.loads(self.tree.state.read_text())
        deed(state["items"])
        self.tree.state.write_text(json.dumps(state))


def spec(prompt):
    return (
        f"initialPrompt: {prompt}\nenvironmentVariables: {{API_TOKEN: {CANARY}}}\n"
        "update: {strategy: Recreate}"
    )


POLICY = policy_text(
    "namespaces: [team-a, team-b]", "budgets: {deletes: {atLeast: 2}, restarts: {atLeast: 2}}"
)


def declare(tree):
    tree.write("policy.yaml", POLICY)
    for name in ("one", "two", "three", "four"):
        tree.add(name, spec("work"), namespace="team-b")


def change(tree):
    """What the others do at the same time: change, remove and add a session."""
    tree.add("one", f"{spec('changed')}\nrunner: {{image: {IMAGE}}}", namespace="team-b")
    tree.drop("two", namespace="team-b")
    tree.add("five", spec("new"), namespace="team-b")


@pytest.fixture
def tenant(tree):
    declare(tree)
    assert tree.go("apply").code == 0
    uids = [each["metadata"]["uid"] for each in tree.objects()]
    return EmbeddedTenant(tree, uids=uids)


SHOWN = {"diff": ("two", IMAGE), "status": ("three",)}


def objects_of(tree, namespace, *sessions):
    return {
        f"{each['kind']}/{each['metadata']['name']}": each
        for each in tree.objects()
        if each["metadata"]["namespace"] == namespace
        and each["metadata"].get("labels", {}).get(LABEL_SESSION) in sessions
    }


def assert_presentable(text):
    assert not CONTROLS.search(text), repr(text[:3000])
    assert not re.search(r"^\s*::error title=x|##\[error\]z", text, re.MULTILINE)
    assert CANARY not in text
    assert text.startswith("{") or max(map(len, text.splitlines()), default=0) < 20_000


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_other_namespaces_are_shown_and_applied(tree, tenant, attack):
    kept = objects_of(tree, "team-b", "three", "four")
    attack(tenant)
    change(tree)
    for command in OUTPUTS:
        ended = tree.go(*command)
        assert_presentable(ended.out + ended.err)
        expected = ("two", "one-runner") if "github" in command else ("five", *SHOWN[command[0]])
        assert [word for word in expected if word not in ended.out] == [], command
    ended = tree.go("apply")
    assert_presentable(ended.out + ended.err)
    assert ended.code in {0, 5, 6}, ended
    assert objects_of(tree, "team-b", "three", "four") == kept
    assert objects_of(tree, "team-b", "two") == {}
    assert "Pod/five-runner" in objects_of(tree, "team-b", "five")
    runner = objects_of(tree, "team-b", "one")["Pod/one-runner"]
    assert IMAGE in {each["image"] for each in runner["spec"]["containers"]}
    tree.go("apply")
    before = objects_of(tree, "team-b", "one", "three", "four", "five")
    tree.go("apply")
    assert objects_of(tree, "team-b", "one", "three", "four", "five") == before


@dataclass
class ServerTenant:
    """The tenant on a real server, with a service account that has all rights in one namespace."""

    site: Site
    namespace: str
    other: str
    token: str
    revision: str = ""
    uids: list = field(default_factory=list)

    def send(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}"}
        plane = self.site.plane
        return plane.session.request(method, plane.url + path, json=body, headers=headers)

    def create(self, body):
        answer = self.send("POST", self.site.path(body["kind"], namespace=self.namespace), body)
        assert answer.status_code in {201, 422}, answer.text

    def change(self, kind, name, forge, *, status=False):
        path = self.site.path(kind, name, self.namespace)
        live = self.send("GET", path).json()
        forge(live)
        answer = self.send("PUT", f"{path}/status" if status else path, live)
        assert answer.status_code in {200, 422}, answer.text

    def delete(self, kind, name):
        assert self.send("DELETE", self.site.path(kind, name, self.namespace)).ok


@pytest.fixture
def site(control_plane, tmp_path):
    return sites.make(control_plane, tmp_path)


@pytest.fixture
def on_a_server(site):
    """Two namespaces of one installation, each with sessions, and a tenant of the first."""
    first, second = site.second_namespace(), site.second_namespace()
    site.policy(namespaces=[first, second], budgets={"deletes": {"atLeast": 2}})
    site.session("one", folder=first)
    for name in ("one", "two", "three", "four"):
        site.session(name, folder=second, environmentVariables={"API_TOKEN": CANARY})
    site.apply()
    kubeconfig = rights.account(site.plane, first, EVERYTHING, "/pods")
    token = json.loads(kubeconfig.read_text())["users"][0]["user"]["token"]
    uids = [each["metadata"]["uid"] for each in site.everything(second).values()]
    return ServerTenant(site, first, second, token, uids=uids[:3])


@pytest.mark.cluster
def test_all_attacks_at_once_with_the_rights_of_a_tenant(on_a_server):
    site, other = on_a_server.site, on_a_server.other
    assert on_a_server.send("GET", site.path("ConfigMap", namespace=other)).status_code == 403
    kept = site.everything(other)
    replaced = (close_the_inventory, keep_the_inventory_from_ending, replace_the_inventory)
    for attack in ATTACKS:
        if attack not in replaced:
            attack(on_a_server)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", **ours("one")}}
    on_a_server.send("POST", f"/api/v1/namespaces/{on_a_server.namespace}/secrets", secret)
    (site.tree / other / "two.yaml").unlink()
    site.session("five", folder=other, environmentVariables={"API_TOKEN": CANARY})
    mark = site.plane.audit().mark()
    for command, *options in (("diff",), ("diff", "-o", "markdown"), ("status", "-o", "wide")):
        ended = site.run(command, *options)
        assert_presentable(ended.out + ended.err)
        assert "five" in ended.out
    ended = site.run("apply")
    assert_presentable(ended.out + ended.err)
    assert ended.code in {0, 5, 6}, str(ended)
    now = site.everything(other)
    assert "Pod/five-runner" in now
    assert "Pod/two-runner" not in now
    for name in ("one", "three", "four"):
        for key in (f"Pod/{name}-runner", f"ConfigMap/{name}-inputs", f"Service/session-{name}"):
            assert now[key]["metadata"]["uid"] == kept[key]["metadata"]["uid"]
    asked = site.plane.audit().since(mark, user=site.user)
    written = {event.namespace for event in asked if event.verb in WRITES}
    assert written <= {on_a_server.namespace, other}
