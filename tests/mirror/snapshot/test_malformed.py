"""Malformed manifests that are rejected, line by line."""

import pytest

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.snapshot.keys import CHUNK
from reconcile.mirror.snapshot.manifest import decode_manifest
from tests.mirror.snapshot.manifest_builders import (
    BLOB,
    DIRECTORY,
    FILE,
    FIRST,
    FIRST_DELTA,
    PACK,
    PACKED,
    SYMLINK,
    gone,
    hardlink,
    text,
)

MALFORMED = [
    ({**FILE, "path": ""}, "`path` is empty"),
    ({**FILE, "path": "/etc/passwd"}, "`path` is absolute"),
    ({**FILE, "path": "../up"}, "`path` has a component .."),
    ({**FILE, "path": "d/../../up"}, "`path` has a component .."),
    ({**FILE, "path": "d/./f"}, "`path` has a component ."),
    ({**FILE, "path": "d//f"}, "`path` has an empty component"),
    ({**FILE, "path": "d/"}, "`path` has an empty component"),
    ({**FILE, "path": "a%00b"}, "`path` has a NUL"),
    ({**FILE, "path": "ü" * 128}, "`path` has a component longer than 255 bytes"),
    ({**FILE, "path": "a/" * 2048 + "b"}, "`path` is longer than 4095 bytes"),
    ({**FILE, "path": "%2e%2E"}, "`path` is not escaped as format 1 escapes names"),
    ({**FILE, "path": 7}, "`path` is not a string"),
    ({**FILE, "size": -1}, "`size` is not an integer"),
    ({**FILE, "size": True}, "`size` is not an integer"),
    ({**FILE, "size": 2**60}, "`size` is not an integer"),
    ({**FILE, "size": 5}, "`blobs` has 0 digests, which does not fit 5 bytes"),
    ({**FILE, "size": 0, "blobs": [BLOB]}, "`blobs` has 1 digests, which does not fit 0 bytes"),
    ({**FILE, "size": CHUNK + 1, "blobs": [BLOB]}, "`blobs` has 1 digests"),
    ({**FILE, "size": 1, "blobs": [BLOB.upper()]}, "`blobs` has a value that is not a SHA-256"),
    ({**FILE, "size": 1, "blobs": ["../../etc"]}, "`blobs` has a value that is not a SHA-256"),
    ({**FILE, "size": 1, "blobs": [None]}, "`blobs` has a value that is not a SHA-256"),
    ({**FILE, "blobs": "none"}, "`blobs` is not a list"),
    ({**FILE, "mode": "644"}, "`mode` is not a mode"),
    ({**FILE, "mode": "0888"}, "`mode` is not a mode"),
    ({**FILE, "mode": 420}, "`mode` is not a string"),
    ({**FILE, "mtime": "1"}, "`mtime` is not a time"),
    ({**FILE, "mtime": "-0.000000000"}, "`mtime` is not a time"),
    ({**FILE, "mtime": f"{2**63}.000000000"}, "`mtime` is not a time that a file can have"),
    ({**FILE, "owner": 0}, "has an unknown field `owner`"),
    ({**FILE, "pack": 1}, "lacks `at`"),
    ({key: FILE[key] for key in FILE if key != "mode"}, "lacks `mode`"),
    ({**FILE, "kind": "fifo"}, "has a `kind` that format 1 does not know: 'fifo'"),
    ({**FILE, "kind": []}, "has a `kind` that format 1 does not know"),
    ({**SYMLINK, "target": ""}, "`target` is empty"),
    ({**SYMLINK, "target": "a%00b"}, "`target` has a NUL"),
    ({**SYMLINK, "target": "x" * 4096}, "`target` is longer than 4095 bytes"),
    (hardlink("h", "/etc/shadow"), "`target` is absolute"),
    ({**PACK, "size": 512}, "`size` is not an integer from 2048"),
    ({**PACK, "size": 1 << 40}, "`size` is more than 33554432 bytes"),
    ({**PACK, "size": 4097}, "`size` is not a multiple of 512"),
    ({**PACK, "sha256": "x"}, "`sha256` is not a SHA-256"),
    ({**PACKED, "at": 0}, "`at` is not an offset at which a pack has data"),
    ({**PACKED, "at": 700}, "`at` is not an offset at which a pack has data"),
    ({**PACKED, "size": CHUNK + 1}, "`blobs` must be one digest of 1 byte to 8 MiB"),
    ({**PACKED, "blobs": [BLOB, BLOB]}, "`blobs` must be one digest"),
    ({**PACKED, "blobs": [], "size": 0}, "`blobs` must be one digest"),
    ([], "is not a JSON object"),
    (None, "is not a JSON object"),
]


@pytest.mark.parametrize("first", [FIRST, FIRST_DELTA], ids=["base", "delta"])
@pytest.mark.parametrize(("line", "why"), MALFORMED)
def test_a_malformed_line_is_rejected_with_its_number_and_the_reason(first, line, why):
    with pytest.raises(DamagedError) as refused:
        decode_manifest(text(first, {**PACK, "number": 0}, line))
    assert str(refused.value).startswith("line 3: ")
    assert why in str(refused.value)


UNFIT = [
    ([PACKED], "is in pack 1, which is not listed"),
    ([PACK, {**PACKED, "at": 3072}], "is outside of pack 1, which has 4096 bytes"),
    ([{**FILE, "path": "d/f"}], "is below 'd', which is not a directory"),
    ([{**FILE, "path": "d"}, {**FILE, "path": "d/f"}], "is below 'd', which is not a directory"),
    ([{**SYMLINK, "path": "d"}, {**FILE, "path": "d/f"}], "is below 'd', which is not a directory"),
    ([hardlink("h", "f")], "is a link to 'f', which is not a file before it"),
    ([hardlink("a", "f"), FILE], "is a link to 'f', which is not a file before it"),
    ([DIRECTORY, hardlink("h", "d")], "is a link to 'd', which is not a file before it"),
    ([hardlink("h", "h")], "is a link to 'h', which is not a file before it"),
    ([gone("x")], "removes an entry in a base"),
]


@pytest.mark.parametrize(("body", "why"), UNFIT)
def test_inconsistent_entries_of_a_base_are_rejected(body, why):
    with pytest.raises(DamagedError, match=rf"^line \d: {why}"):
        decode_manifest(text(FIRST, *body))


DISORDERED = [
    ([FILE, FILE], "is a duplicate or out of order"),
    ([FILE, DIRECTORY], "is a duplicate or out of order"),
    ([gone("x"), gone("a")], "is a duplicate or out of order"),
    ([gone("f"), FILE], "is an entry for 'f', which was removed"),
    ([FILE, gone("x")], "after entries"),
    ([FILE, PACK], "is a pack after entries"),
    ([PACK, PACK], "is pack 1, which is a duplicate or out of order"),
]


@pytest.mark.parametrize(("body", "why"), DISORDERED)
def test_lines_out_of_order_are_rejected(body, why):
    with pytest.raises(DamagedError, match=rf"^line 3: .*{why}"):
        decode_manifest(text(FIRST_DELTA, *body))
