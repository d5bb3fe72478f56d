"""Passes on a cluster whose admission changes what is applied."""

import copy

from reconcile.core.changes import Status
from tests.engine.installation import EmbeddedInstallation, is_quiet

RECREATE = "update: {strategy: Recreate}"


class RewritingCluster:
    """Applies pods with the images of a mirror registry."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def apply(self, body, options):
        changed = copy.deepcopy(dict(body))
        for container in changed.get("spec", {}).get("containers", ()):
            if not container["image"].startswith("mirror.example/"):
                container["image"] = f"mirror.example/{container['image']}"
        return self._inner.apply(changed, options)


def test_a_rewritten_image_is_remembered_and_a_commit_is_still_a_patch():
    world = EmbeddedInstallation().add("one", f"initialPrompt: work\n{RECREATE}")
    assert not world.apply(wrap=RewritingCluster).bad
    assert is_quiet(world.plan().plan)
    pod = world.get("Pod", "one-runner")
    first = pod["metadata"]["uid"]
    world.add("one", f"initialPrompt: work\nrunner: {{image: other/r}}\n{RECREATE}")
    passed = world.apply(wrap=RewritingCluster)
    assert "Pod team-a/one-runner" in passed.of(Status.CONFIGURED)
    pod = world.get("Pod", "one-runner")
    assert pod["metadata"]["uid"] == first
    assert pod["spec"]["containers"][0]["image"] == "mirror.example/other/r"
    assert is_quiet(world.plan().plan)
