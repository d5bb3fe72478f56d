"""Whatever git does with its objects, and whichever cannot be stored, no repository is broken."""

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.mirror.backup import file_archiver
from reconcile.mirror.backup.syncer import PassResult
from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.history.restore import restore_to_directory
from reconcile.mirror.workspace.reader import FileChanged, FileUnreadable
from tests.mirror.memory_store import MemoryStore
from tests.mirror.mirror_pod import MirrorPod

STEPS = {
    "commit": "echo $RANDOM$RANDOM > file && git add file && git commit -qm x",
    "pack": "git gc -q --prune=now",
    "repack": "git repack -qad",
    "pack refs": "git pack-refs --all",
    "branch": "git checkout -qB side",
    "back": "git checkout -q main",
    "borrow": "test -d ../other || git clone -q --shared . ../other",
    "fetch": "test ! -d ../other || git -C ../other pull -q",
}
LOSSES = {
    "nothing": lambda _path: None,
    "changing packs": lambda path: FileChanged(path) if "/pack/" in path else None,
    "unreadable packs": lambda path: FileUnreadable(path, "EIO") if "/pack/" in path else None,
    "changing objects": lambda path: FileChanged(path) if "/objects/" in path else None,
}
PASSES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(sorted(STEPS)), max_size=3), st.sampled_from(sorted(LOSSES))
    ),
    min_size=2,
    max_size=3,
)


def run(folder: Path, script: str) -> None:
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "n" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "n@example.org" for who in ("AUTHOR", "COMMITTER")},
    }
    subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, check=True)


def lose(patched: pytest.MonkeyPatch, loss: str) -> None:
    real = file_archiver.read_small_file
    patched.setattr(
        file_archiver,
        "read_small_file",
        lambda root, seen: LOSSES[loss](seen.path) or real(root, seen),
    )


@settings(deadline=None, max_examples=6)
@given(PASSES)
def test_each_generation_has_whole_repositories(passes):
    with tempfile.TemporaryDirectory() as folder:
        memory = MemoryStore()
        pod = MirrorPod(Path(folder), "one", memory)
        pod.hydrate()
        repository = pod.root / "repository"
        run(pod.root, "git init -q -b main repository")
        run(repository, STEPS["commit"])
        syncer = pod.syncer()
        generations = [syncer.run(pod.pass_options()).generation]
        for steps, loss in passes:
            for step in steps:
                run(repository, STEPS[step])
            with pytest.MonkeyPatch.context() as patched:
                lose(patched, loss)
                done = syncer.run(pod.pass_options())
            if isinstance(done, PassResult) and loss != "unreadable packs":
                generations.append(done.generation)
        for generation in generations:
            back = Path(folder) / f"back-{generation.number}"
            if not back.exists():
                restore_to_directory(memory, generation, back, WorkerPool(2, "get"), pod.clock)
                # A clone with alternates names the repository by its place in the workspace.
                places = back.rglob("alternates")
                for place in places:
                    place.write_text(place.read_text().replace(str(pod.root), str(back)))
                for each in back.glob("*/.git/HEAD"):
                    run(
                        each.parents[1],
                        "git fsck --connectivity-only --no-dangling && git log -1 --format=",
                    )


def test_objects_stay_while_the_pack_that_replaced_them_is_unreadable(pod, successor, monkeypatch):
    run(pod.root, "git init -q -b main repository")
    repository = pod.root / "repository"
    run(repository, STEPS["commit"])
    pod.sync()
    run(repository, STEPS["pack"])
    lose(monkeypatch, "unreadable packs")
    assert pod.sync().is_committed
    successor.hydrate()
    run(successor.root / "repository", "git cat-file -p HEAD:file > /dev/null")
