"""Objects and answers of an attacker against every command that reads a bucket.

The attacker may write all objects of a session's prefix, or is the endpoint itself. A command ends
with a code of its table, within a bound of memory; it writes nothing outside of its target, leaves
other sessions' objects alone, and shows neither keys nor raw control characters.
"""

import itertools
import os
import re
import stat

import pytest

from reconcile.mirror.exit_codes import MEANINGS, MirrorExitCode
from reconcile.mirror.workspace.writer import STAGING_DIR
from tests.security import hostile_endpoint
from tests.security.forged_bucket import (
    FORMAT,
    NEIGHBOUR,
    ForgedBucket,
    compressed_run,
    directory,
    file,
    hardlink,
    line,
    sha,
    symlink,
)
from tests.security.mirror_commands import (
    READERS,
    SECRET_KEY,
    TOKEN,
    CommandResult,
    MirrorCommands,
)

MAX_MIB = 200
"""Peak memory of a command: what it needs without an attack, and a few buffers."""

CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]")
WORK = b"forged work"


def paths_that_lead_out(blob, outside):
    """Return trees, by name, each with a file whose path leads out of the target."""

    def pwned(path):
        return file(path, blob, len(WORK))

    return {
        "parent": [pwned("../pwned")],
        "absolute": [pwned(f"{outside}/pwned")],
        "inner parent": [directory("a"), pwned("a/../../pwned")],
        "escaped parent": [directory("%2E%2E"), pwned("%2E%2E/pwned")],
        "through a link": [symlink("a", str(outside)), pwned("a/pwned")],
        "through a later link": [directory("a"), symlink("a", str(outside)), pwned("a/pwned")],
        "hard link": [hardlink("a", "../../../etc/hostname")],
        "hard link to a link": [symlink("a", "/etc/hostname"), hardlink("b", "a")],
        "digest": [file("a", "../../HEAD", 5)],
        "device": [{"kind": "device", "path": "a", "mode": "0644", "mtime": "1.000000000"}],
        "NUL": [pwned("a%00b")],
    }


def deep_json(bucket):
    bucket.put("HEAD", b"[" * 500_000 + b"]" * 500_000)


def huge_numbers(bucket):
    bucket.put(
        "HEAD", line({"format": FORMAT}).replace(b"}", b',"generation":' + b"9" * 900_000 + b"}")
    )


def huge_head(bucket):
    bucket.put("HEAD", b" " * (40 << 20))


def huge_chain(bucket):
    link = {"generation": 1, "key": "x", "sha256": "x", "size": 1}
    bucket.head(generation=4000, chain=[link] * 4000)


def foreign_chain(bucket):
    link = {"generation": 1, "key": f"../../{NEIGHBOUR}", "sha256": sha(b"theirs"), "size": 6}
    bucket.head(generation=1, chain=[link])


def empty_objects(bucket):
    bucket.generation(file("a", bucket.blob(WORK), len(WORK)))
    for key in [key for key in bucket.objects() if key != NEIGHBOUR]:
        bucket.whole.put(key, [b""], sha(b""))


def long_line(bucket):
    """A megabyte that unpacks to a gigabyte without a line end."""
    bucket.manifest(compressed_run(b"x" * (1 << 20), 1100))


def many_lines(bucket):
    """The same with lines that are valid by themselves."""
    piece = line(directory("d")) * 16_000
    bucket.manifest(compressed_run(piece, 1100))


def wrong_digest(bucket):
    bucket.generation(file("a", bucket.blob(WORK), len(WORK)))
    bucket.put(f"blobs/{sha(WORK)}", WORK.upper())


def large_blob(bucket):
    """A blob of 80 MB in place of 11 bytes."""
    wrong_digest(bucket)
    bucket.put(f"blobs/{sha(WORK)}", b"w" * (40 << 20))


def pack_of_another_shape(bucket):
    """A pack whose member is a link, and one that says to be larger than it is."""
    member = bytearray(4096)
    member[:64] = sha(WORK).encode()
    member[124:136] = b"77777777777\0"
    member[156:157] = b"2"
    packed = file("a", sha(WORK), len(WORK), pack=1, at=512)
    bucket.generation(bucket.pack(bytes(member)), packed)


def wrong_sizes(bucket):
    bucket.generation(file("a", bucket.blob(WORK), len(WORK) - 1))


def deleted_head(bucket):
    bucket.generation(file("a"))
    bucket.store.delete(["HEAD"])


def newer_format(bucket):
    bucket.head(format="reconcile-mirror/2\x1b[31m\u202e")


def hostile_names(bucket):
    bucket.generation(
        directory("%1B[31m%0A%C2%9B", "7777"),
        file("%1B[31m%0A%C2%9B/\u202ex", bucket.blob(WORK), len(WORK)),
        symlink("out", "/etc/passwd%1B[31m"),
        writer={"uid": "\x1b[31m\x9b\u202e", "epoch": 1, "name": "\x1b[31m\x9b\u202e"},
    )


def setuid(bucket):
    bucket.generation(
        directory("d", "2777"), file("d/root", bucket.blob(WORK), len(WORK), mode="6755")
    )


def forged_garbage(bucket):
    """A record that calls everything unneeded, the neighbour's object too."""
    bucket.generation(file("a", bucket.blob(WORK), len(WORK)))
    dead = [
        {"key": key, "size": size, "modified": 1.0}
        for key, size in (*bucket.objects().items(), (f"../../{NEIGHBOUR}", 6), ("HEAD", 1))
    ]
    bucket.put("gc/1.json", line({"format": FORMAT, "dead": dead, "history": []}))


def strange_keys(bucket):
    bucket.generation(file("a"))
    for key in ("manifests/\x1b[31m", "manifests/x\u202e", "packs/a/../b", "gc/\x7f", "sweep/x"):
        bucket.put(key, b"x")


DAMAGE = {5}
WRITERS = ("hydrate", "export", "verify", "gc")
SHOWN = {newer_format, hostile_names, strange_keys, deleted_head}
"""Attacks on what is printed: all commands are run."""

ATTACKS = {
    deep_json: DAMAGE,
    huge_numbers: DAMAGE,
    huge_head: DAMAGE,
    huge_chain: DAMAGE,
    foreign_chain: DAMAGE,
    empty_objects: DAMAGE,
    long_line: DAMAGE,
    many_lines: DAMAGE,
    wrong_digest: DAMAGE,
    large_blob: DAMAGE,
    pack_of_another_shape: DAMAGE,
    wrong_sizes: DAMAGE,
    deleted_head: DAMAGE,
    newer_format: DAMAGE,
    hostile_names: {0},
    setuid: {0},
    forged_garbage: {0},
    strange_keys: {0},
}
"""Each attack, and the exit codes of `hydrate`, `restore` and `export`."""


class Site:
    """A forged bucket, the commands, and a folder next to everything that they may write to."""

    def __init__(self, server, folder):
        self.bucket = ForgedBucket(server)
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "canary").write_text("as it was")
        self.commands = MirrorCommands(folder / "mirror", server.url, self.bucket.name)

    def run(self, commands=READERS):
        """Run commands, and check what holds whatever they read."""
        before = {key for key in self.bucket.objects() if not key.endswith("HEAD")}
        results = dict(self.commands.run_all(commands))
        for command, result in results.items():
            assert_orderly(command, result)
        assert [path.name for path in self.outside.iterdir()] == ["canary"]
        assert (self.outside / "canary").read_text() == "as it was"
        assert self.bucket.objects()[NEIGHBOUR] == len("theirs")
        lost = before - self.bucket.objects().keys()
        assert not lost
        return results


def assert_orderly(command: str, result: CommandResult) -> None:
    output = result.output.decode(errors="replace")
    assert result.code in MEANINGS, f"{command} ended with {result.code}:\n{output}"
    assert result.code != MirrorExitCode.BUG, f"{command}:\n{output}"
    assert "Traceback" not in output
    assert SECRET_KEY not in output
    assert TOKEN not in output
    assert not CONTROLS.search(result.output), f"{command}: {result.output!r}"
    assert len(result.output) < 100_000
    assert result.peak < MAX_MIB, f"{command} took {result.peak} MiB"


@pytest.fixture
def site(moto_server, tmp_path):
    return Site(moto_server, tmp_path)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_forged_objects_are_damage_and_nothing_else_happens(site, attack):
    attack(site.bucket)
    results = site.run(READERS if attack in SHOWN else WRITERS)
    codes = {command: result.code for command, result in results.items()}
    restored = {codes[command] for command in ("hydrate", "restore", "export") if command in codes}
    assert restored == ATTACKS[attack], codes
    if ATTACKS[attack] == DAMAGE:
        assert codes["verify"] in {MirrorExitCode.SNAPSHOT, MirrorExitCode.DAMAGED}
        left = {path.name for path in site.commands.root("hydrate").iterdir()}
        assert left <= {STAGING_DIR}


@pytest.mark.parametrize("name", paths_that_lead_out("", ""))
def test_no_path_leads_out_of_the_target(site, name):
    blob = site.bucket.blob(WORK)
    site.bucket.generation(*paths_that_lead_out(blob, site.outside)[name])
    for command, result in site.run(("restore", "export")).items():
        assert result.code == MirrorExitCode.SNAPSHOT, command
    assert not list((site.commands.folder / "pods/restore/target").iterdir())
    assert not (site.commands.folder / "pods/export/target").exists()


def test_a_restore_by_root_gives_nobody_roots_rights(site):
    setuid(site.bucket)
    site.run(("restore", "hydrate"))
    for root in (site.commands.folder / "pods/restore/target", site.commands.root("hydrate")):
        mode = (root / "d/root").stat().st_mode
        assert not (os.geteuid() == 0 and mode & (stat.S_ISUID | stat.S_ISGID))


def test_a_forged_head_stops_a_running_pod_and_gets_nothing_of_its_work(site):
    commands = site.commands
    assert commands.run("hydrate", "one").code == MirrorExitCode.OK
    (commands.root("one") / "work").write_bytes(b"work of the agent")
    for forge, code in (
        (hostile_names, MirrorExitCode.FENCED),
        (deep_json, MirrorExitCode.SNAPSHOT),
        (huge_head, MirrorExitCode.SNAPSHOT),
        (lambda bucket: bucket.store.delete(["HEAD"]), MirrorExitCode.SNAPSHOT),
    ):
        forge(site.bucket)
        result = commands.run("sync", "one", "--once")
        assert_orderly("sync", result)
        assert result.code == code, result.output
    assert (commands.root("one") / "work").read_bytes() == b"work of the agent"


def test_an_intent_to_delete_everything_stops_commits_but_not_the_pod(site):
    """It names what a pod stores, at a time that has not come yet."""
    commands = site.commands
    assert commands.run("hydrate", "one").code == MirrorExitCode.OK
    (commands.root("one") / "work").write_bytes(b"work of the agent")
    assert commands.run("sync", "one", "--once").code == MirrorExitCode.OK
    keys = [key.removeprefix("team-a/victim/") for key in site.bucket.objects()]
    value = {"format": FORMAT, "time": "2999-01-31T12:00:00.000000000Z", "keys": sorted(keys)}
    site.bucket.put("sweep/1.json", line(value))
    (commands.root("one") / "work").write_bytes(b"more work of the agent")
    assert_orderly("sync", commands.run("sync", "one", "--once"))
    assert (commands.root("one") / "work").read_bytes() == b"more work of the agent"


def response(body, status="200 OK", **headers):
    """One whole response; underscores in names of headers are hyphens."""
    fields = {"ETag": '"0"', "Connection": "close", "Content-Length": len(body), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return [f"HTTP/1.1 {status}\r\n".encode() + "\r\n".join([*lines, "", ""]).encode() + body]


def endless(_first):
    yield b'HTTP/1.1 200 OK\r\nETag: "0"\r\nTransfer-Encoding: chunked\r\n\r\n'
    yield from itertools.repeat(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")


def endless_headers(_first):
    yield b"HTTP/1.1 200 OK\r\n"
    yield from itertools.repeat(b"X-A: " + b"x" * 60_000 + b"\r\n")


def many_headers(_first):
    yield b"HTTP/1.1 200 OK\r\n" + b"X-A: x\r\n" * 50_000 + b"\r\n"


def not_http(_first):
    yield b"\x1b[31m\xff\r\n\r\n" * 1000


def listing(*keys, token=""):
    contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        f"<ListBucketResult><Name>b</Name><IsTruncated>{bool(token)}</IsTruncated>{more}{contents}"
        "</ListBucketResult>"
    ).encode()


def lists(*pages):
    """Answer every listing with the next page, the last one for ever; there are no objects."""
    left = list(pages)

    def answer(first):
        if "list-type=2" in first:
            return response(left.pop(0) if len(left) > 1 else left[0])
        return response(
            b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>", "404 Not Found"
        )

    return answer


def refuses(message, status="403 Forbidden", code="AccessDenied", **headers):
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return lambda _first: response(body, status, **headers)


OTHER_PREFIX = "team-b/neighbour/manifests/000000000001-" + "0" * 64 + ".jsonl.gz"
BOMB = (
    b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">'.encode() for n in range(12))
    + b"]><ListBucketResult><Name>&m;</Name></ListBucketResult>"
)
ANSWERS = {
    "endless": endless,
    "endless headers": endless_headers,
    "many headers": many_headers,
    "not HTTP": not_http,
    "nothing": lambda _first: [],
    "a listing of another prefix": lists(listing(OTHER_PREFIX)),
    "a listing without an end": lists(listing(token="again")),
    "a listing that begins again": lists(listing("team-a/victim/gc/1", token="again")),
    "a listing of empty elements": lists(
        b"<ListBucketResult>" + b"<a/>" * 3_900_000 + b"</ListBucketResult>"
    ),
    "entities that grow": lists(BOMB),
    "an entity of a file": lists(
        b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        b"<ListBucketResult><Name>b</Name><Prefix>&a;</Prefix></ListBucketResult>"
    ),
    "keys and escapes in an error": refuses(f"{SECRET_KEY} {TOKEN} \x85\u202e &#10;::error::x"),
    "keys in the code of an error": refuses("x", code=f"{SECRET_KEY}{TOKEN}"),
    "a long error": refuses("x" * 60_000),
    "a delay of years": refuses("x", "503 Slow Down", "SlowDown", Retry_After="1e300"),
    "a date before all dates": refuses(
        "x", "403 Forbidden", "RequestTimeTooSkewed", Date="Mon, 01 Jan 0001 00:00:00 -0000"
    ),
    "a small body that unpacks to a large one": lambda _first: response(
        compressed_run(b"x" * (1 << 20), 600), "500 Error", Content_Encoding="gzip"
    ),
}


@pytest.fixture
def endpoint():
    with hostile_endpoint.running() as running:
        yield running


@pytest.mark.parametrize("name", ANSWERS)
def test_no_answer_harms_the_one_who_asks(endpoint, tmp_path, name):
    commands = MirrorCommands(tmp_path, endpoint.url, "bucket")
    endpoint.answer = ANSWERS[name]
    for command, result in commands.run_all(("hydrate", "log", "gc")):
        assert_orderly(command, result)
        assert result.code in {3, 4, 5, 9}, result.output


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_gets_no_request(endpoint, tmp_path, status):
    commands = MirrorCommands(tmp_path, endpoint.url, "bucket")
    with hostile_endpoint.running() as other:
        target = f"{other.url}/bucket/team-a/victim/HEAD"
        endpoint.answer = lambda _first: response(b"", f"{status} Moved", Location=target)
        results = dict(commands.run_all(("hydrate", "log")))
    assert {result.code for result in results.values()} == {4}
    assert endpoint.received
    assert other.received == []
