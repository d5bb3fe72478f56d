"""Whole passes over an embedded cluster in memory, from the text of the files to live objects."""

import functools
import itertools
from dataclasses import dataclass, field

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.embedded.server import EmbeddedSettings
from reconcile.core.changes import Keep, Plan, Status
from reconcile.core.model import LABEL_INSTALLATION
from reconcile.core.render.templates import compile_templates
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.reconciler import PassPlan, Reconciler, ReconcilerOptions
from tests.builders import KINDS, kind_of, ref_of
from tests.clocks import NOON, FakeClock
from tests.engine.fakes import FlakyCluster, never
from tests.session_files import SHIPPED, policy_text, session_text, tree_of


@dataclass(frozen=True)
class PassResult:
    """The result of a pass; `failures` are those that belong to no single change."""

    planned: PassPlan
    outcomes: tuple
    failures: tuple

    @property
    def plan(self) -> Plan:
        return self.planned.plan

    def of(self, status):
        """The names of the objects whose change has this status."""
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
    """A builder with an empty cache; templates are compiled once for all builders."""
    builder = DesiredBuilder({})
    builder._templates = compiled(tuple(sorted(templates.items())))
    return builder


@dataclass
class EmbeddedInstallation:
    """A desired tree, templates, a clock, and an embedded cluster whose pods run by that clock.

    `exit_s` is how many seconds pods take to terminate. Each pass uses a new FlakyCluster, `seen`.
    """

    files: dict = field(default_factory=dict)
    templates: dict = field(default_factory=lambda: dict(SHIPPED))
    exit_s: float = 0.0
    options: ReconcilerOptions = field(default_factory=lambda: ReconcilerOptions(concurrency=1))

    def __post_init__(self):
        self.clock = FakeClock(wall_offset=NOON)
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
        """Write a session file; returns the installation."""
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
        """One pass; an exception ends it."""
        reconciler = self.reconciler(faults, wrap)
        planned = reconciler.plan(self.desired(**desired), {})
        return self.carry_out(reconciler, planned)

    @staticmethod
    def carry_out(reconciler, planned):
        done = list(reconciler.apply(planned))
        assert len({each.session for each in done}) == len(done)
        return PassResult(
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
        [wanted] = [each for each in KINDS if each.name == kind]
        return self.cluster.get(wanted, namespace, name)

    def edit(self, kind, name, *operations, namespace="team-a", manager="stranger"):
        """Change an object as another manager."""
        return self.cluster.edit(ref_of(kind, name, namespace), operations, manager)

    def resize(self, name, cpu, namespace="team-a", manager="vpa-updater"):
        """Change the CPU that a pod's first container requests, in place."""
        path = "/spec/containers/0/resources/requests/cpu"
        operation = {"op": "replace", "path": path, "value": cpu}
        return self.cluster.resize(ref_of("Pod", name, namespace), [operation], manager)

    def remove(self, kind, name, namespace="team-a"):
        """Delete an object as another client does."""
        live = self.get(kind, name, namespace)
        self.cluster.delete(kind_of(live), ref_of(kind, name, namespace), live["metadata"]["uid"])


def settled(*names, **fields):
    """An installation to which these sessions have been applied."""
    installation = declared(*names, **fields)
    result = installation.apply()
    assert not result.bad, result.messages
    assert not result.failures
    return installation


def declared(*names, **fields):
    """An installation that declares these sessions, by default `one`, and limits no change."""
    installation = EmbeddedInstallation(**fields)
    installation.files["policy.yaml"] = policy_text()
    for name in names or ("one",):
        installation.add(name)
    return installation
