"""Checks that an attack has stopped nothing else."""

from tests.mirror.mirror_pod import MirrorPod


def restored(pod, name="later"):
    later = MirrorPod(pod.root.parents[1], name, pod.store, pod.clock)
    later.hydrate()
    return later


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def goes_on(pod):
    """The mirror still stores the harmless files next to the harmful ones."""
    pod.write("harmless", b"work")
    pod.sync()
    assert (restored(pod).root / "harmless").read_bytes() == b"work"
