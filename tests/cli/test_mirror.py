"""Sessions with a stored workspace, with both kinds of sidecar, on the embedded cluster."""

import pytest

from reconcile.core.model import Kind

POD = Kind("v1", "Pod")
DEFAULTS = """
apiVersion: vteam.ambient-code/v1alpha1
kind: SessionDefaults
spec:
  storage: {mode: shared, sharedSecretName: s3-shared}
  image: 'mirror:%s'
  capabilities: {sidecar: %s}
"""
SHAPES = ["native", "plain"]


def pod(tree):
    return tree.cluster.get(POD, "team-a", "one-runner")


def declare(tree, sidecar, version=1):
    return tree.write("defaults.yaml", DEFAULTS % (version, sidecar))


@pytest.mark.parametrize("sidecar", SHAPES)
def test_after_an_apply_there_is_nothing_to_do_and_the_session_runs(tree, sidecar):
    declare(tree, sidecar)
    assert tree.go("apply").code == 0
    assert tree.go("diff").code == 0
    status = tree.go("status")
    assert "Running" in status.out
    first = [each["name"] for each in pod(tree)["spec"]["initContainers"]]
    assert first == ["hydrate", "prepare", *(["sync", "bridge"] if sidecar == "native" else [])]


@pytest.mark.parametrize("sidecar", SHAPES)
def test_turning_storage_on_or_off_replaces_the_pod(tree, sidecar):
    tree.go("apply")
    declare(tree, sidecar)
    held = tree.go("diff")
    assert held.code == 1
    assert "1 held" in held.out
    tree.add("one", "initialPrompt: work\nupdate: {strategy: Recreate}")
    assert "Pod team-a/one-runner replaced" in tree.go("apply").out
    assert tree.go("diff").code == 0
    tree.add("one", "storage: {mode: none}\ninitialPrompt: work\nupdate: {strategy: Recreate}")
    assert "Pod team-a/one-runner replaced" in tree.go("apply").out
    names = {each["name"] for each in pod(tree)["spec"]["initContainers"]}
    assert names == {"prepare", *(["bridge"] if sidecar == "native" else [])}


@pytest.mark.parametrize("sidecar", SHAPES)
def test_another_mirror_restarts_the_sync_and_not_the_runner(tree, sidecar):
    declare(tree, sidecar).add("one", "initialPrompt: work\nupdate: {strategy: Recreate}")
    tree.go("apply")
    declare(tree, sidecar, version=2)
    plan = tree.go("diff")
    assert "restarts container sync" in plan.out
    assert "restarts container runner" not in plan.out
    before = pod(tree)["metadata"]["uid"]
    assert tree.go("apply").code == 0
    assert pod(tree)["metadata"]["uid"] == before
    assert tree.go("diff").code == 0


def test_a_mode_without_its_secret_stops_that_session_alone(tree):
    declare(tree, "plain").add("two", "storage: {mode: custom}")
    ended = tree.go("apply")
    assert ended.code == 3
    assert "spec.storage.secretName: is missing" in ended.err
    assert "Pod team-a/one-runner created" in ended.out
    assert "two-runner" not in ended.out
