"""Settings that are valid alone and contradict each other."""

import pytest

from reconcile.core.model import SessionId
from tests.core.spec.documents import document, session
from tests.core.spec.trees import names, tree

SHARED_STORE = "storage: {mode: shared, sharedSecretName: ours}\nmirror: {image: m}"


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
        ("team-a/x.yaml:1:1: spec.runner.resources.requests.cpu: is more than the limit")
    ]


OURS = "storage: {sharedSecretName: ours}\n"
IMAGE = "mirror: {image: m}\n"


@pytest.mark.parametrize(
    ("defaults", "spec", "field", "message"),
    [
        (
            IMAGE,
            "storage: {mode: shared}",
            "storage.sharedSecretName",
            "is missing: `mode: shared` needs the installation's Secret by name, in defaults.yaml",
        ),
        (
            OURS + IMAGE,
            "storage: {mode: custom}",
            "storage.secretName",
            "is missing: `mode: custom` needs the project's own Secret; the shared one is not used",
        ),
        (
            OURS + IMAGE,
            "storage: {mode: custom, secretName: ours}",
            "storage.secretName",
            "is the installation's Secret: write `mode: shared`",
        ),
        (
            OURS,
            "storage: {mode: shared}",
            "mirror.image",
            "is missing: a stored workspace needs the image with `reconcile-mirror`",
        ),
        (
            OURS + IMAGE,
            "storage: {mode: shared}\nmirror: {port: 8001}",
            "mirror.port",
            "is also the runner's port: choose another one",
        ),
        (
            OURS + IMAGE,
            "storage: {mode: shared}\nmirror: {resources: {requests: {memory: 1Gi}}}",
            "mirror.resources.requests.memory",
            "is more than the limit",
        ),
    ],
)
def test_contradictory_storage_is_refused(defaults, spec, field, message):
    found = tree(
        defaults=document("SessionDefaults", defaults),
        team_a__x=session(spec),
        team_a__y=session("timeout: 1", name="y"),
    )
    assert names(found) == ["team-a/y"]
    assert [str(problem) for problem in found.problems] == [
        f"team-a/x.yaml:1:1: spec.{field}: {message}"
    ]


def test_storage_may_be_set_by_installation_and_project():
    found = tree(
        defaults=document(
            "SessionDefaults",
            "storage: {mode: shared, sharedSecretName: ours}\nmirror: {image: 'm:1'}",
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
        f"team-a/x.yaml:1:1: spec.storage.bucket: has no effect with `mode: {mode}`",
        f"team-a/x.yaml:1:1: spec.storage.secretName: has no effect with `mode: {mode}`",
    ]


@pytest.mark.parametrize(
    ("files", "memory", "warned"),
    [(250_000, "512Mi", False), (250_000, "256Mi", True), (1_000_000, "1Gi", True)],
)
def test_a_mirror_with_less_memory_than_its_files_need_is_warned_about(files, memory, warned):
    spec = session(
        "storage: {mode: shared}\n"
        f"mirror: {{maxFiles: {files}, resources: {{limits: {{memory: {memory}}}}}}}"
    )
    needed = f"{128 + -(-files * 3 // 2048)}Mi"
    text = f"is {files}: a workspace with so many files may need {needed} of memory"
    line = f"team-a/x.yaml:1:1: spec.mirror.maxFiles: {text}, and the limit is {memory}"
    defaults = document("SessionDefaults", OURS + IMAGE)
    found = tree(defaults=defaults, team_a__x=spec)
    assert [str(warning) for warning in found.warnings] == [line] * warned


def test_repositories_that_share_a_folder_are_warned_about():
    found = tree(
        team_a__x=session(
            "repos:\n- url: https://h/a/x\n- url: https://h/y\n- url: git@h:b/x.git\n- url: git@h:x"
        )
    )
    assert [str(warning) for warning in found.warnings] == [
        "team-a/x.yaml:1:1: spec.repos[2].url: is cloned into the same folder as spec.repos[0]",
        "team-a/x.yaml:1:1: spec.repos[3].url: is cloned into the same folder as spec.repos[0]",
    ]
    assert found.problems == ()
