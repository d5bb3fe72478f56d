import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.snapshot.encoding import check_path
from reconcile.mirror.snapshot.entries import encode_entry, parse_manifest_line
from tests.mirror.snapshot import random_trees

NUMBERS = ["0", "1", "99999999", "999999999", "9" * 18, "00", "-1", "1.0", "512", "8388608"]
PATHS = [
    "a",
    "a/b",
    "/a",
    "a//b",
    "..",
    "a/..",
    "a/.",
    "...",
    ".a",
    "a/",
    "x" * 64,
    "x" * 256,
    "%41",
]
LINE = (
    b'{"kind":"file","path":"%b","size":%b,"mode":"%b","mtime":"%b",'
    b'"blobs":["%b"],"pack":%b,"at":%b}'
)
values = st.tuples(
    st.sampled_from(PATHS),
    st.sampled_from(NUMBERS),
    st.sampled_from(["0644", "7777", "0888"]),
    st.sampled_from(["0.000000000", "1700000000.123456789", "01.000000000", "-5.000000000"]),
    st.sampled_from(["a" * 64, "A" * 64]),
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS),
)


def outcome(line):
    try:
        return parse_manifest_line(line)
    except ValueError:
        return "refused"


@given(values)
def test_the_fast_parser_of_file_lines_gives_the_same_result(given_values):
    line = LINE % tuple(value.encode() for value in given_values)
    assert outcome(line) == outcome(line.replace(b'{"kind"', b'{ "kind"'))


@given(random_trees.files("name").filter(lambda file: file.blobs))
def test_every_file_line_round_trips(file):
    line = encode_entry(file).rstrip()
    assert parse_manifest_line(line) == file
    assert (
        parse_manifest_line(orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS)) == file
    )


@pytest.mark.parametrize(
    "path", ["a", "a/b", "...", "..a/.b", "ü" * 127, "a/" * 2047 + "b", "\udcff"]
)
def test_plain_paths_are_accepted(path):
    check_path(path)


@given(st.text("./a\0ü", max_size=8))
def test_only_paths_below_the_root_are_accepted(path):
    plain = "\0" not in path and all(name not in {"", ".", ".."} for name in path.split("/"))
    try:
        check_path(path)
    except ValueError:
        assert not plain
    else:
        assert plain
