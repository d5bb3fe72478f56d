"""Complete passes over an embedded cluster in memory, from the text of files to live objects."""

import functools
import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.embedded.server import EmbeddedSettings
from reconcile.core.changes import Keep, Plan, Status
from reconcile.core.model import LABEL_INSTALLATION, Kind, ObjectRef
from reconcile.core.render.templates import compile_templates
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Tree, TreeFile
from reconcile.engine.reconciler import PassPlan, Reconciler, ReconcilerOptions
from tests.engine.fakes import FakeClock, FlakyCluster, never

SHIPPED = {
    path.name: path.read_text("utf-8")
    for path in (Path(__file__).parents[2] / "templates").glob("*.j2")
}

KINDS = tuple(
    Kind(api_version, name)
    for api_version, name in (
        ("v1", "ConfigMap"),
        ("v1", "ServiceAccount"),
        ("v1", "Secret"),
        ("v1", "PersistentVolumeClaim"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("v1", "Service"),
        ("v1", "Pod"),
    )
)
GENEROUS = "budgets: {deletes: {percent: 100}, restarts: {percent: 100}}"


def session_text(name, spec="initialPrompt: work"):
    """A session's file; `spec` is YAML in flow style or one line."""
    return (
        "apiVersion: vteam.ambient-code/v1alpha1\nkind: AgenticSession\n"
        f"metadata: {{name: {name}}}\nspec:\n  " + "\n  ".join(spec.splitlines()) + "\n"
    )


def policy_text(*lines):
    """A policy of the installation `default`, which allows everything unless `lines` are given."""
    text = "\n".join(f"  {line}" for line in ("installation: default", *(lines or (GENEROUS,))))
    return f"apiVersion: vteam.ambient-code/v1alpha1\nkind: Policy\nspec:\n{text}\n"


def tree_of(files, revision="r1", folders=()):
    """A tree from text, or from a TreeFile's problem where the text is an exception."""
    made = []
    for path in sorted(files):
        content = files[path].encode()
        made.append(TreeFile(path, hashlib.sha256(content).hexdigest(), content))
    seen = {path.partition("/")[0] for path in files if "/" in path}
    return Tree(revision, tuple(sorted(seen | set(folders))), tuple(made))


@dataclass(frozen=True)
class Passed:
    """The result of a pass; `failures` are those that belong to no change."""

    planned: PassPlan
    outcomes: tuple
    failures: tuple

    @property
    def plan(self) -> Plan:
        return self.planned.plan

    def of(self, status):
        """The names of the objects that ended so."""
        return [str(o.change.ref) for o in self.outcomes if o.status is status]

    @property
    def bad(self):
        return [o for o in self.outcomes if o.status in {Status.FAILED, Status.SKIPPED}]

    @property
    def messages(self):
        return [outcome.message for outcome in self.outcomes if outcome.message]


def is_quiet(plan):
    return all(isinstance(change, Keep) for change in plan.changes)


compiled = functools.cache(lambda files: compile_templates(dict(files)))


def builder_of(templates):
    """A builder that knows nothing yet; compiling templates is most of its making."""
    made = DesiredBuilder({})
    made._templates = compiled(tuple(sorted(templates.items())))
    return made


@dataclass
class World:
    """Files, templates, a clock and a cluster whose pods run and end by that clock.

    `exit_s` is how long pods take to end. Passes go through a new FlakyCluster each, `seen`.
    """

    files: dict = field(default_factory=dict)
    templates: dict = field(default_factory=lambda: dict(SHIPPED))
    exit_s: float = 0.0
    options: ReconcilerOptions = field(default_factory=lambda: ReconcilerOptions(concurrency=1))

    def __post_init__(self):
        self.clock = FakeClock()
        numbers = itertools.count(1)
        settings = EmbeddedSettings(
            now=self.clock.now,
            new_uid=lambda: f"uid-{next(numbers)}",
            auto_tick=True,
            exit_seconds=self.exit_s,
        )
        self.cluster = EmbeddedCluster(settings=settings)
        self.builder = builder_of(self.templates)
        self.seen = FlakyCluster(self.cluster)

    def add(self, name, spec="initialPrompt: work", namespace="team-a"):
        """Write a session's file; returns the world."""
        self.files[f"{namespace}/{name}.yaml"] = session_text(name, spec)
        return self

    def desired(self, revision="r1", folders=()):
        return self.builder.build(tree_of(self.files, revision, folders))

    def reconciler(self, faults=never, wrap=lambda cluster: cluster):
        self.seen = FlakyCluster(self.cluster, faults)
        return Reconciler(wrap(self.seen), self.clock, self.options)

    def plan(self, faults=never, memo=None, **desired):
        return self.reconciler(faults).plan(self.desired(**desired), memo or {})

    def apply(self, faults=never, *, wrap=lambda cluster: cluster, **desired):
        """Make one pass."""
        reconciler = self.reconciler(faults, wrap)
        planned = reconciler.plan(self.desired(**desired), {})
        return self.carry_out(reconciler, planned)

    @staticmethod
    def carry_out(reconciler, planned):
        done = list(reconciler.apply(planned))
        assert len({each.session for each in done}) == len(done)
        return Passed(
            planned,
            tuple(outcome for each in done for outcome in each.outcomes),
            tuple(failure for each in done for failure in each.failures),
        )

    def objects(self, namespace=""):
        """All live objects."""
        return [obj for kind in KINDS for obj in self.cluster.list(kind, namespace, {})]

    def ours(self, installation="default"):
        labels = {LABEL_INSTALLATION: installation}
        return [obj for kind in KINDS for obj in self.cluster.list(kind, "", labels)]

    def names(self, namespace=""):
        return sorted(f"{o['kind']} {o['metadata']['name']}" for o in self.objects(namespace))

    def get(self, kind, name, namespace="team-a"):
        found = next(each for each in KINDS if each.name == kind)
        return self.cluster.get(found, namespace, name)

    def edit(self, kind, name, *operations, namespace="team-a", manager="stranger"):
        """Change an object as another client."""
        return self.cluster.edit(ref_of(kind, name, namespace), operations, manager)

    def remove(self, kind, name, namespace="team-a"):
        """Delete an object as another client."""
        live = self.get(kind, name, namespace)
        self.cluster.delete(kind_of(live), ref_of(kind, name, namespace), live["metadata"]["uid"])


def ref_of(kind, name, namespace="team-a"):
    group = next(each for each in KINDS if each.name == kind).group
    return ObjectRef(group, kind, namespace, name)


def ref_of_object(obj):
    metadata = obj["metadata"]
    return ref_of(obj["kind"], metadata["name"], metadata["namespace"])


def kind_of(obj):
    return Kind(obj["apiVersion"], obj["kind"])


def settled(*names, **fields):
    """A world in which these sessions have been applied."""
    world = declared(*names, **fields)
    passed = world.apply()
    assert not passed.bad, passed.messages
    assert not passed.failures
    return world


def declared(*names, **fields):
    """A world in which these sessions, or one called `one`, are declared and may be changed."""
    world = World(**fields)
    world.files["policy.yaml"] = policy_text()
    for name in names or ("one",):
        world.add(name)
    return world
