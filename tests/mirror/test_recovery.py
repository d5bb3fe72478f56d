"""A workspace is recovered as docs/format.md describes, with only tar, jq and curl."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconcile.mirror.model import Directory, File, HardLink, Symlink
from reconcile.mirror.snapshot import chain
from reconcile.mirror.store.s3 import S3Store
from tests.mirror.recovery import environment, serving, toolbox
from tests.mirror.snapshot.example import NOON, PAGE, Bytes, SessionBuilder, example
from tests.s3 import buckets

STEPS = re.compile(r"<!-- recover -->\n```bash\n(.*?)```", re.DOTALL)
SCRIPT = "".join(STEPS.findall(PAGE.read_text(encoding="utf-8")))

ODD = [
    b"tab\tnewline\n",
    b"-rf",
    b"quote'and\"dollar$(touch x)`y`",
    b"back\\slash\\n",
    b"latin-\xfc\xff",
    "zürich-日本-\u0085".encode(),
    b"100%25",
    b"trailing newline\n\n",
    b" blank ",
    b"~",
    b"*",
    b"!x!",
]


def odd_workspace() -> SessionBuilder:
    """Three generations of what makes shells stumble."""
    shop = SessionBuilder()
    names = [os.fsdecode(raw) for raw in ODD]
    files = [Bytes(f"d/{name}", 0o640, NOON, name.encode(errors="replace")) for name in names]
    links = [Symlink(f"l/{name}", name, NOON - 10**9) for name in names]
    hard = [HardLink(f"h/{name}", f"d/{name}") for name in names]
    nested = [Directory(name, 0o755, NOON) for name in (*"dhl", "z", "z/empty")]
    old = Bytes("before 1970", 0o4711, -1, b"x")
    large = Bytes("large", 0o444, 1, bytes(8 << 20) + b"tail")
    shop.commit([*nested, *files, *links, *hard, old, large])
    swapped = [Directory("d/-rf", 0o700, NOON), Bytes("d/-rf/inside", 0o600, 0, b"")]
    kept = [each for each in files if each.path != "d/-rf"]
    hard = [each for each in hard if each.target != "d/-rf"]
    shop.commit([*nested, *kept, *swapped, *links, *hard, old, large], chain.new_delta)
    large = replace(large, data=large.data + b" grows")
    readonly = [replace(each, mode=0o555) if each.path == "z" else each for each in nested]
    shop.commit([*readonly, *kept, *swapped, *links, *hard, old, large], chain.new_delta)
    return shop


def empty_workspace() -> SessionBuilder:
    """One generation of nothing."""
    shop = SessionBuilder()
    shop.commit([])
    return shop


def configuration(region: str, key: str, secret: str) -> str:
    """Return the page's curl.conf with what stands for region and keys filled in."""
    page = PAGE.read_text(encoding="utf-8")
    [text] = re.findall(r"cat > curl.conf\)\n(.*?)```", page, re.DOTALL)
    return text.replace("<region>", region).replace("<key>", key).replace("<secret>", secret)


def recover(folder: Path, base: str, conf: str) -> subprocess.CompletedProcess[bytes]:
    """Run the page's script in a folder, against the objects below an address."""
    tools = toolbox(folder / "tools")
    (folder / "curl.conf").write_text(conf)
    return subprocess.run(
        [tools / "bash", "-c", SCRIPT],
        cwd=folder,
        env=environment(tools, base),
        capture_output=True,
        check=False,
    )


KEYS = configuration("us-east-1", "key", "secret")


@pytest.mark.parametrize("conf", [KEYS, ""], ids=["with keys", "without keys"])
@pytest.mark.parametrize("make", [example, odd_workspace, empty_workspace])
def test_a_workspace_is_recovered_with_only_tar_jq_and_curl(make, conf, tmp_path):
    shop = make()
    with serving(shop.objects) as base:
        done = recover(tmp_path, base, conf)
    assert (done.returncode, done.stderr) == (0, b"")
    assert_is(shop, tmp_path / "workspace")


def test_a_flipped_byte_in_a_pack_stops_the_recovery(tmp_path):
    shop = example()
    key = next(key for key in shop.objects if key.startswith("packs/"))
    flipped = bytearray(shop.objects[key])
    flipped[600] ^= 1
    shop.objects[key] = bytes(flipped)
    with serving(shop.objects) as base:
        done = recover(tmp_path, base, KEYS)
    assert done.returncode != 0
    assert b"pack.tar: FAILED" in done.stdout
    assert not (tmp_path / "workspace").exists()


@pytest.mark.s3
def test_the_page_recovers_a_workspace_from_a_real_server_that_checks_keys(s3_server, tmp_path):
    shop = odd_workspace()
    bucket = buckets.fresh(s3_server)
    store = S3Store(s3_server.location(bucket, "team-a/fix-login/"), s3_server.credentials)
    for key, body in shop.objects.items():
        store.put(key, [body], hashlib.sha256(body).hexdigest())
    keys = configuration("us-east-1", s3_server.keys.access_key, s3_server.keys.secret_key)
    done = recover(tmp_path, f"{s3_server.url}/{bucket}/team-a/fix-login", keys)
    assert done.returncode == 0, done.stderr.decode()
    assert_is(shop, tmp_path / "workspace")


@pytest.mark.s3
def test_a_wrong_key_recovers_nothing(s3_server, tmp_path):
    bucket = buckets.fresh(s3_server)
    keys = configuration("us-east-1", s3_server.keys.access_key, "wrong")
    done = recover(tmp_path, f"{s3_server.url}/{bucket}/team-a/fix-login", keys)
    assert done.returncode != 0
    assert b"403" in done.stderr
    assert not (tmp_path / "workspace").exists()


def assert_is(shop: SessionBuilder, workspace: Path) -> None:
    """Compare a workspace with the tree that was committed last."""
    found = {str(path.relative_to(workspace)): path.lstat() for path in workspace.rglob("*")}
    assert found.keys() == shop.tree.entries.keys()
    for path, entry in shop.tree.entries.items():
        stat, place = found[path], workspace / path
        match entry:
            case File(_, mode, mtime, size, blobs, _):
                assert (stat.st_mode & 0o7777, stat.st_mtime_ns) == (mode & 0o777, mtime), path
                assert place.read_bytes() == b"".join(shop.blobs[blob] for blob in blobs)
                assert stat.st_size == size
            case Directory(_, mode, mtime):
                assert (stat.st_mode & 0o7777, stat.st_mtime_ns) == (mode, mtime), path
            case Symlink(_, target, mtime):
                assert (str(place.readlink()), stat.st_mtime_ns) == (target, mtime)
            case HardLink(_, target):
                assert os.path.samestat(stat, found[target])
