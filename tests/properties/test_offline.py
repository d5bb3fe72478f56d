"""The offline diff reads no more than it must, and says what the cluster would say."""

from hypothesis import Phase, assume, event, example, given, settings
from hypothesis import strategies as st

from reconcile.core.errors import SpecError
from reconcile.core.plan.approval import compute_plan_digest
from reconcile.engine.offline_diff import ReadOptions, Revision, compare_revisions
from tests.engine.installation import EmbeddedInstallation
from tests.session_files import SHIPPED, policy_text, session_text, tree_of

NAMES = ("ada", "bob", "ada-inputs", "session-ada")
"""Session `ada-inputs` and session `session-ada` both want the ConfigMap `session-ada-inputs`."""

SPECS = (
    "initialPrompt: work",
    "initialPrompt: 'more \\ work'",
    "displayName: Ada",
    "state: Stopped",
    "update: {strategy: Recreate}\nrunner: {image: 'example.com/a:2'}",
    "update: {strategy: Recreate}\ninitialPrompt: again",
    "runner: {tolerations: [{key: a, operator: Exists}]}",
    "environmentVariables: {DOOR_TOKEN: '4711'}",
    "environmentVariables: {DOOR_TOKEN: '4712', COLOUR: red}",
    "maxDuration: 1h",
    "maxDuration: 2h",
)
SESSIONS = st.builds(session_text, st.sampled_from(NAMES), st.sampled_from(SPECS))
ESCAPED = st.just(session_text('"\\x61d\\u0061"'))
BROKEN = st.sampled_from(["kind: [", session_text("ada", "typo: 1"), "", session_text("bob", "x")])
PAIRS = st.builds("{}---\n{}".format, SESSIONS, SESSIONS)
CONTENTS = st.one_of(SESSIONS, SESSIONS, SESSIONS, PAIRS, ESCAPED, BROKEN)

HEAD = "apiVersion: vteam.ambient-code/v1alpha1\n"
PROJECTS = st.sampled_from(
    [f"{HEAD}kind: ProjectSettings\nspec: {{timeout: {n}}}\n" for n in (60, 90)] + ["kind: no"]
)
POLICIES = st.sampled_from(
    [
        policy_text(),
        policy_text("budgets: {deletes: {percent: 25}}"),
        policy_text("budgets: {deletes: {percent: 50}, restarts: {percent: 50}}"),
        policy_text("allowEmpty: true"),
        policy_text("allowDeletes: [team-a/ada]"),
        policy_text("namespaces: [team-a]"),
        policy_text("namespaces: [team-a, team-b]"),
    ]
)
PATHS = tuple(f"{namespace}/{n}.yaml" for namespace in ("team-a", "team-b") for n in (1, 2, 3, 4))
FILES = st.fixed_dictionaries(
    {"policy.yaml": POLICIES},
    optional={
        **dict.fromkeys(PATHS, CONTENTS),
        "team-a/project.yaml": PROJECTS,
        "misplaced.yaml": st.just(""),
        "No_Namespace/a.yaml": st.just(""),
    },
)
EDITS = st.dictionaries(st.sampled_from(PATHS), CONTENTS | st.none(), min_size=1, max_size=2)
SETTINGS = st.fixed_dictionaries(
    {}, optional={"policy.yaml": POLICIES, "team-a/project.yaml": PROJECTS}
)


@st.composite
def commits(draw, settings_too):
    """The files before and after a commit, which changes few of them."""
    old = draw(FILES)
    changes = {**draw(EDITS), **draw(settings_too)}
    return old, edited(old, changes)


def edited(old, changes):
    return {path: text for path, text in {**old, **changes}.items() if text is not None}


def side(files, revision, templates=SHIPPED):
    return Revision(revision, tree_of(files, revision), templates)


def compared(old, new, *, whole, prune=True):
    """The comparison, or every reason why there is none."""
    reading = ReadOptions(standard_names=True, read_all=whole)
    try:
        return compare_revisions(side(old, "r1"), side(new, "r2"), reading, prune=prune)
    except SpecError as error:
        return error.problems


def planned(of):
    """The plan with its digest, or every reason why there is none."""
    return of if isinstance(of, tuple) else (of.plan, compute_plan_digest(of.plan, of.new))


OTHER = policy_text().replace("default", "other")
ADA = session_text("ada")
quick = settings(max_examples=60, deadline=None, phases=set(Phase) - {Phase.explain})


def four(policy, *, broken=False):
    """Four sessions in two namespaces, one of which may also have a broken file."""
    names = zip(PATHS[:2] + PATHS[4:6], ("ada", "bob", "ada", "bob"), strict=True)
    sessions = {path: session_text(name, "update: {strategy: Recreate}") for path, name in names}
    return {"policy.yaml": policy, **sessions, **({PATHS[2]: "kind: ["} if broken else {})}


ENDS = {PATHS[0]: None}
RESTARTS = dict.fromkeys(PATHS[:1], session_text("ada", "update: {strategy: Recreate}\ntimeout: 9"))
QUARTER = policy_text("budgets: {deletes: {percent: 50}, restarts: {percent: 25}}")
NONE_BUT = policy_text("budgets: {deletes: {percent: 100}, restarts: {percent: 0, atLeast: 0}}")


def example_of(old, changes):
    """One commit that the search may not come upon."""
    return example((old, edited(old, changes)), True)  # noqa: FBT003 - an argument of the test


@quick
@example_of(four(policy_text(), broken=True), ENDS)
@example_of(four(policy_text()), ENDS | {PATHS[1]: None})
@example_of(four(QUARTER), ENDS | {PATHS[1]: None})
@example_of(four(QUARTER), RESTARTS)
@example_of(four(NONE_BUT), RESTARTS)
@given(commits(st.just({})), st.booleans())
def test_what_is_not_read_would_not_change_the_plan(commit, prune):
    old, new = commit
    whole = compared(old, new, whole=True, prune=prune)
    event("no plan" if isinstance(whole, tuple) else f"{len(whole.plan.sessions)} sessions")
    assert planned(compared(old, new, whole=False, prune=prune)) == planned(whole)


@quick
@given(commits(SETTINGS))
@example(({"policy.yaml": policy_text(), "team-a/1.yaml": ADA}, {"policy.yaml": policy_text()}))
@example(
    (
        {"policy.yaml": policy_text(), "team-a/1.yaml": ADA},
        {"policy.yaml": OTHER, "team-a/1.yaml": ADA},
    )
)
def test_the_digest_is_that_of_the_plan_after_the_merge(commit):
    old, new = commit
    offline = compared(old, new, whole=True)
    assume(not isinstance(offline, tuple))
    world = EmbeddedInstallation(files=old)
    applied = world.apply(revision="r1")
    assert applied.bad == []
    world.files = new
    online = world.plan(revision="r2")
    event(f"{len(offline.plan.sessions)} sessions")
    digest = compute_plan_digest(online.plan, online.desired)
    assert digest == compute_plan_digest(offline.plan, offline.new)
