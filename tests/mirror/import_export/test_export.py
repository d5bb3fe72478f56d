"""`export` as a user types it: a tar that keeps everything, objects that say what they lose."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.runtime.clock import SystemClock
from tests.mirror.mirror_pod import MirrorPod, listing

BIG = b"0123456789abcdef" * (1 << 19) + b"tail"


@pytest.fixture
def pod(desk, tmp_path):
    pod = MirrorPod(tmp_path, "pod", desk.store(), SystemClock())
    pod.hydrate()
    pod.write("old", b"old")
    pod.sync()
    (pod.root / "old").unlink()
    pod.write("dir/run", b"#!/bin/sh\n").chmod(0o4755)
    pod.write("large", BIG)
    pod.write("empty", b"")
    pod.write("new\nline", b"n")
    (pod.root / os.fsdecode(b"no-utf8-\xff")).write_bytes(b"b")
    pod.write("deep/" + "/".join(["d" * 60] * 4) + "/f", b"deep")
    (pod.root / "hollow").mkdir()
    (pod.root / "link").symlink_to("/anywhere/é")
    (pod.root / "twin").hardlink_to(pod.root / "dir" / "run")
    os.utime(pod.root / "empty", ns=(1, 1_700_000_000_123_456_789))
    pod.sync()
    return pod


def test_a_tar_brings_everything_back_with_tar_alone(desk, pod, tmp_path):
    target = tmp_path / "x.tar"
    assert desk.run("export", f"--tar={target}") == MirrorExitCode.OK
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xpf", target, "-C", out], check=True)
    assert listing(out) == listing(pod.root)
    with tarfile.open(target, errors="surrogateescape") as archive:
        assert archive.getmember("empty").pax_headers["mtime"] == "1700000000.123456789"


@pytest.mark.usefixtures("pod")
def test_a_tar_of_an_earlier_generation_on_standard_output(desk):
    program = str(Path(sys.executable).parent / "reconcile-mirror")
    options = ["--prefix=ns/s", f"--project-secret={desk.secret}", "--at=1", "--tar=-"]
    done = subprocess.run([program, "export", *options], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert archive.getnames() == ["old"]
    assert b"generation 1" in done.stderr


@pytest.mark.usefixtures("pod")
def test_a_tar_that_cannot_be_whole_is_none(desk, tmp_path):
    desk.store().delete([f"blobs/{hashlib.sha256(b'tail').hexdigest()}"])
    assert desk.run("export", f"--tar={tmp_path / 'x.tar'}") == MirrorExitCode.SNAPSHOT
    assert not list(tmp_path.glob("x.tar*"))
    assert desk.run("export", f"--tar={tmp_path / 'no' / 'x.tar'}") == MirrorExitCode.WORKSPACE


def test_objects_have_the_bytes_and_what_they_lose_is_said(desk, pod):
    assert desk.run("export", "--to-prefix=plain/copy") == MirrorExitCode.INCOMPLETE
    store = desk.store("plain/copy/")
    found = {each.key: store.get(each.key).body for each in store.list("")}
    assert found["large"] == BIG
    assert found["twin"] == found["dir/run"] == b"#!/bin/sh\n"
    assert found["empty"] == b""
    assert found["new%0Aline"] == b"n"
    assert found["no-utf8-%FF"] == b"b"
    assert "link" not in found
    for words in ("link -> /anywhere/é", "hollow", "hard links", "modes of", "new%0Aline"):
        assert words in desk.said
    files = [path for path in pod.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(found) == len(files)


@pytest.mark.usefixtures("pod")
def test_objects_never_go_where_something_is(desk):
    for prefix in ("ns/s", "ns", "ns/s/below"):
        assert desk.run("export", f"--to-prefix={prefix}") == MirrorExitCode.SETTINGS
    desk.store("other/").put("x", [b""], hashlib.sha256(b"").hexdigest())
    assert desk.run("export", "--to-prefix=other") == MirrorExitCode.SETTINGS
    assert "other" in desk.errors or "x" in desk.errors


@pytest.mark.parametrize("options", [[], ["--tar=x", "--to-prefix=a/b"], ["--to-prefix=../a"]])
def test_one_target_must_be_given(desk, options):
    assert desk.run("export", *options) == MirrorExitCode.SETTINGS


@pytest.mark.usefixtures("pod")
def test_what_is_exported_can_be_imported_again(desk, tmp_path):
    desk.run("export", "--to-prefix=plain/copy")
    store = desk.store("plain/copy/")
    assert list(store.list(""))
    assert desk.run("import", "--from-prefix=plain/copy", "--replace") == MirrorExitCode.OK
    assert desk.run("restore", tmp_path / "back") == MirrorExitCode.OK
    assert (tmp_path / "back" / "large").read_bytes() == BIG
