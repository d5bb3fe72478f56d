"""`export` on the command line: a tar keeps everything, losses of objects are reported."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.history.generations import read_generation_tree, select_generation
from reconcile.mirror.import_export import exporter
from reconcile.mirror.snapshot.repack import NEVER_REPACK
from reconcile.runtime.clock import SystemClock
from tests.mirror.memory_store import MemoryStore
from tests.mirror.mirror_pod import MirrorPod, listing

BIG = b"0123456789abcdef" * (1 << 19) + b"tail"


@pytest.fixture
def pod(cli, tmp_path):
    pod = MirrorPod(tmp_path, "pod", cli.store(), SystemClock())
    pod.hydrate()
    pod.write("old", b"old")
    pod.sync()
    (pod.root / "old").unlink()
    pod.write("dir/run", b"#!/bin/sh\n").chmod(0o755)
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


def test_tar_alone_extracts_everything(cli, pod, tmp_path):
    target = tmp_path / "x.tar"
    assert cli.run("export", f"--tar={target}") == MirrorExitCode.OK
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xpf", target, "-C", out], check=True)
    assert listing(out) == listing(pod.root)
    with tarfile.open(target, errors="surrogateescape") as archive:
        assert archive.getmember("empty").pax_headers["mtime"] == "1700000000.123456789"


def test_a_tar_makes_no_program_run_as_the_user_who_extracts_it(cli, pod, tmp_path):
    (pod.root / "dir" / "run").chmod(0o6755)
    (pod.root / "dir").chmod(0o3775)
    pod.sync()
    assert cli.run("export", f"--tar={tmp_path / 'x.tar'}") == MirrorExitCode.OK
    with tarfile.open(tmp_path / "x.tar", errors="surrogateescape") as archive:
        modes = [archive.getmember(name).mode for name in ("dir", "dir/run", "twin")]
    assert modes == [0o3775, 0o755, 0o755]


def read_and_end(path, content):
    """Read a pipe to its end, in a thread."""
    thread = threading.Thread(target=lambda: content.append(path.read_bytes()), daemon=True)
    thread.start()
    return thread


@pytest.mark.usefixtures("pod")
def test_what_is_not_a_regular_file_is_written_to_and_not_replaced(cli, tmp_path):
    pipe, link, content = tmp_path / "pipe", tmp_path / "link.tar", []
    os.mkfifo(pipe)
    thread = read_and_end(pipe, content)
    assert cli.run("export", f"--tar={pipe}") == MirrorExitCode.OK
    thread.join(20)
    assert pipe.is_fifo()
    (tmp_path / "elsewhere").mkdir()
    link.symlink_to("elsewhere/x.tar")
    for _ in range(2):
        assert cli.run("export", f"--tar={link}") == MirrorExitCode.OK
        assert link.is_symlink()
        assert (tmp_path / "elsewhere" / "x.tar").read_bytes() == content[0]
    (tmp_path / "loop").symlink_to("loop")
    for refused in ("/dev/full", tmp_path / "elsewhere", tmp_path / "loop"):
        assert cli.run("export", f"--tar={refused}") == MirrorExitCode.WORKSPACE
    assert Path("/dev/full").is_char_device()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["x.tar"]


@pytest.mark.usefixtures("pod")
def test_a_file_that_is_replaced_is_never_written_through_a_prepared_name(cli, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "x.tar.unfinished").symlink_to(victim)
    assert cli.run("export", f"--tar={tmp_path / 'x.tar'}") == MirrorExitCode.OK
    assert victim.read_bytes() == b"mine"


def test_reading_a_large_blob_takes_time_in_proportion():
    size, started = 128 << 20, time.monotonic()
    stream = exporter._JoinedStream(iter([bytes(size)]))
    while size:
        size -= len(stream.read(min(size, 16 << 10)))
    assert time.monotonic() - started < 30, "copying the rest for each read takes minutes"


def test_files_of_many_packs_in_turn_read_each_pack_once(tmp_path):
    """Sorted paths may visit packs in turn: files that changed together share a pack."""
    store = MemoryStore()
    pod = MirrorPod(tmp_path, "pod", store)
    pod.hydrate()
    for batch in range(8):
        for number in range(20):
            pod.write(f"{number:03}-{batch}", b"%d %d" % (number, batch))
        pod.sync(thrift=NEVER_REPACK)
    tree = read_generation_tree(store, select_generation(store, ""))
    assert len(tree.packs) == 8
    store.bucket.requests.clear()
    out = io.BytesIO()
    assert exporter.write_tar(tree, exporter.ContentReader(store, tree), out) == 160
    assert [request.method for request in store.bucket.requests].count("get") == 8
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.extractfile("019-7").read() == b"19 7"
    victim = next(key for key in store.bucket.objects if key.startswith("packs/"))
    del store.bucket.objects[victim]
    with pytest.raises(DamagedError, match=victim):
        exporter.write_tar(tree, exporter.ContentReader(store, tree), io.BytesIO())


@pytest.mark.usefixtures("pod")
def test_a_tar_of_an_earlier_generation_on_standard_output(cli):
    program = str(Path(sys.executable).parent / "reconcile-mirror")
    options = ["--prefix=ns/s", f"--project-secret={cli.secret}", "--at=1", "--tar=-"]
    done = subprocess.run([program, "export", *options], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert archive.getnames() == ["old"]
    assert b"generation 1" in done.stderr


@pytest.mark.usefixtures("pod")
def test_an_incomplete_tar_file_is_removed(cli, tmp_path):
    cli.store().delete([f"blobs/{hashlib.sha256(b'tail').hexdigest()}"])
    assert cli.run("export", f"--tar={tmp_path / 'x.tar'}") == MirrorExitCode.SNAPSHOT
    assert not list(tmp_path.glob("x.tar*"))
    assert cli.run("export", f"--tar={tmp_path / 'no' / 'x.tar'}") == MirrorExitCode.WORKSPACE


def test_objects_have_the_bytes_and_losses_are_reported(cli, pod):
    assert cli.run("export", "--to-prefix=plain/copy") == MirrorExitCode.INCOMPLETE
    store = cli.store("plain/copy/")
    found = {each.key: store.get(each.key).body for each in store.list("")}
    assert found["large"] == BIG
    assert found["twin"] == found["dir/run"] == b"#!/bin/sh\n"
    assert found["empty"] == b""
    assert found["new%0Aline"] == b"n"
    assert found["no-utf8-%FF"] == b"b"
    assert "link" not in found
    for words in ("link -> /anywhere/é", "hollow", "hard links", "modes of", "new%0Aline"):
        assert words in cli.output
    files = [path for path in pod.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(found) == len(files)


@pytest.mark.usefixtures("pod")
def test_objects_are_never_written_below_a_prefix_with_content(cli):
    for prefix in ("ns/s", "ns", "ns/s/below"):
        assert cli.run("export", f"--to-prefix={prefix}") == MirrorExitCode.SETTINGS
    cli.store("other/").put("x", [b""], hashlib.sha256(b"").hexdigest())
    assert cli.run("export", "--to-prefix=other") == MirrorExitCode.SETTINGS
    assert "other" in cli.errors or "x" in cli.errors


@pytest.mark.parametrize("options", [[], ["--tar=x", "--to-prefix=a/b"], ["--to-prefix=../a"]])
def test_one_target_must_be_given(cli, options):
    assert cli.run("export", *options) == MirrorExitCode.SETTINGS


@pytest.mark.usefixtures("pod")
def test_what_is_exported_can_be_imported_again(cli, tmp_path):
    cli.run("export", "--to-prefix=plain/copy")
    store = cli.store("plain/copy/")
    assert list(store.list(""))
    assert cli.run("import", "--from-prefix=plain/copy", "--replace") == MirrorExitCode.OK
    assert cli.run("restore", tmp_path / "back") == MirrorExitCode.OK
    assert (tmp_path / "back" / "large").read_bytes() == BIG
