"""Settings that are valid alone and contradict each other."""

import pytest

from reconcile.core.model import SessionId
from tests.core.spec.documents import document, session
from tests.core.spec.trees import names, tree


def test_a_request_above_the_limit_is_refused():
    found = tree(
        defaults=document("SessionDefaults", "runner: {resources: {limits: {cpu: 1}}}"),
        team_a__x=session("runner: {resources: {requests: {cpu: 1500m, gpu: 1}}}"),
        team_a__y=session("runner: {resources: {requests: {cpu: 1000m}}}", name="y"),
    )
    assert names(found) == ["team-a/y"]
    assert found.broken == {SessionId("team-a", "fix-login")}
    assert found.unreadable == {"team-a"}
    assert [str(problem) for problem in found.problems] == [
        (
            "team-a/x.yaml:6:35: spec.runner.resources.requests.cpu: the request of 1500m is more "
            "than the limit of 1: set both"
        )
    ]


OURS = "storage: {sharedSecretName: ours}\n"
IMAGE = "image: m\n"
SHARED = "storage: {mode: shared}\n"


@pytest.mark.parametrize(
    ("defaults", "spec", "place", "message"),
    [
        (
            IMAGE,
            SHARED,
            "6:13: spec.storage.sharedSecretName",
            "is missing: `mode: shared` needs the installation's Secret by name, in defaults.yaml",
        ),
        (
            OURS + IMAGE,
            "storage: {mode: custom}",
            "6:13: spec.storage.secretName",
            "is missing: `mode: custom` needs the project's own Secret; the shared one is not used",
        ),
        (
            OURS + IMAGE,
            "storage: {mode: custom, secretName: ours}",
            "6:27: spec.storage.secretName",
            "is the installation's Secret: write `mode: shared`",
        ),
        (
            OURS + IMAGE,
            f"{SHARED}mirror: {{port: 8001}}",
            "7:12: spec.mirror.port",
            "the mirror's port is also the runner's port: choose another one",
        ),
        (
            OURS + IMAGE,
            f"{SHARED}mirror: {{resources: {{requests: {{memory: 1Gi}}}}}}",
            "7:35: spec.mirror.resources.requests.memory",
            "the request of 1Gi is more than the limit of 512Mi: set both",
        ),
    ],
)
def test_contradictory_storage_is_refused(defaults, spec, place, message):
    found = tree(
        defaults=document("SessionDefaults", defaults),
        team_a__x=session(spec),
        team_a__y=session("timeout: 1", name="y"),
    )
    assert names(found) == ["team-a/y"]
    assert [str(problem) for problem in found.problems] == [f"team-a/x.yaml:{place}: {message}"]


def test_storage_may_be_set_by_installation_and_project():
    found = tree(
        defaults=document(
            "SessionDefaults",
            "storage: {mode: shared, sharedSecretName: ours}\nimage: 'm:1'",
        ),
        team_b__project=document("ProjectSettings", "storage: {mode: custom, secretName: mine}"),
        team_a__x=session("timeout: 1", name="a"),
        team_b__x=session("timeout: 1", name="b"),
    )
    assert found.problems == ()
    assert [one.spec["storage"]["mode"] for one in found.sessions] == ["shared", "custom"]


def test_settings_of_a_mirror_are_ignored_without_one():
    found = tree(team_a__x=session("mirror: {port: 8001, resources: {requests: {cpu: 9}}}"))
    assert found.problems == ()
    assert names(found) == ["team-a/fix-login"]


@pytest.mark.parametrize("mode", ["none", "shared"])
def test_settings_of_custom_storage_are_warned_about_in_other_modes(mode):
    defaults = document("SessionDefaults", OURS + IMAGE)
    spec = session(f"storage: {{mode: {mode}, secretName: x, bucket: abc}}")
    found = tree(defaults=defaults, team_a__x=spec)
    assert [str(warning) for warning in found.warnings] == [
        f"team-a/x.yaml:6:{column}: spec.storage.{name}: has no effect with `mode: {mode}`"
        for name, column in (("secretName", 21 + len(mode)), ("bucket", 36 + len(mode)))
    ]


@pytest.mark.parametrize(
    ("files", "memory", "warned"),
    [(250_000, "512Mi", False), (250_000, "256Mi", True), (1_000_000, "1Gi", True)],
)
def test_a_mirror_with_less_memory_than_its_files_need_is_warned_about(files, memory, warned):
    limits = f"resources: {{limits: {{memory: {memory}}}}}"
    spec = session(f"{SHARED}mirror: {{maxFiles: {files}, {limits}}}")
    needed = f"{128 + -(-files * 3 // 2048)}Mi"
    text = f"maxFiles is {files}: a workspace with so many files may need {needed} of memory"
    line = f"team-a/x.yaml:7:12: spec.mirror.maxFiles: {text}, and the limit is {memory}"
    found = tree(defaults=document("SessionDefaults", OURS + IMAGE), team_a__x=spec)
    assert [str(warning) for warning in found.warnings] == [line] * warned


def test_a_contradiction_points_at_what_is_written():
    limits = "runner:\n  resources:\n    limits:\n      memory: 256Mi"
    text = "the request of 512Mi is more than the limit of 256Mi: set both"
    field = "spec.runner.resources.limits.memory"
    assert [str(one) for one in tree(team_a__x=session(limits)).problems] == [
        f"team-a/x.yaml:9:9: {field}: {text}"
    ]
    found = tree(
        defaults=document("SessionDefaults", limits), team_a__x=session("timeout: 1", name="x")
    )
    assert [str(one) for one in found.problems] == [
        f"defaults.yaml:7:9: {field}: {text}; session team-a/x"
    ]
    found = tree(
        team_a__project=document("ProjectSettings", limits),
        team_a__x=session("runner: {resources: {requests: {memory: 1Gi}}}", name="x"),
    )
    assert [str(one).partition(": ")[0] for one in found.problems] == ["team-a/x.yaml:6:35"]


@pytest.mark.parametrize("name", ["memory", "ephemeral-storage", "hugepages-2Mi"])
@pytest.mark.parametrize("amount", ["512m", "0.5", "1500m", "1u"])
def test_a_part_of_a_byte_is_warned_about(name, amount):
    spec = f"runner: {{resources: {{requests: {{{name}: {amount}}}, limits: {{{name}: 1Gi}}}}}}"
    (warning,) = tree(team_a__x=session(spec)).warnings
    assert str(warning) == (
        f"team-a/x.yaml:6:35: spec.runner.resources.requests.{name}: {amount} is not a whole "
        "number of bytes: write `M` or `Mi` for millions"
    )


@pytest.mark.parametrize("amount", ["512M", "1.5Gi", "2000m", "1e3", "0.5k", "7"])
def test_whole_numbers_of_bytes_are_not_warned_about(amount):
    spec = f"runner: {{resources: {{requests: {{memory: {amount}, cpu: 5m}}}}}}"
    assert tree(team_a__x=session(spec)).warnings == ()


def test_fractions_of_a_byte_of_the_mirror_are_warned_about_only_with_a_mirror():
    mirror = "mirror: {resources: {limits: {ephemeral-storage: 1m}}}\n"
    defaults = document("SessionDefaults", OURS + IMAGE)
    assert tree(defaults=defaults, team_a__x=session(mirror)).warnings == ()
    stored = session(f"{mirror}{SHARED}")
    assert len(tree(defaults=defaults, team_a__x=stored).warnings) == 1
