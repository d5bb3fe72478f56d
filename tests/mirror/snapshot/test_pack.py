import hashlib
import io
import shutil
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.model import Pack
from reconcile.mirror.snapshot.pack import (
    PackMember,
    PackWriter,
    extract_member,
    iter_members,
    read_member,
    verify_pack,
)

blobs = st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=8)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def packed(datas, target=1 << 20):
    writer = PackWriter(7, target)
    found = [pack for data in datas for pack in writer.add(digest(data), data)]
    return [*found, *writer.finish()]


def one(datas):
    [pack] = packed(datas)
    return pack, bytes(pack.body)


@given(blobs)
def test_a_pack_is_read_back_member_by_member(datas):
    pack, data = one(datas)
    verify_pack(pack.build_pack(), data)
    found = {member.digest: member for member in iter_members(data)}
    assert {name: member.offset for name, member in found.items()} == pack.offsets
    assert {extract_member(data, member) for member in found.values()} == set(datas)
    assert {bytes(read_member(data, member)) for member in found.values()} == set(datas)


@given(blobs, st.sampled_from([1, 3000, 1 << 20]))
def test_packs_are_numbered_and_every_blob_is_in_one(datas, target):
    packs = packed(datas, target)
    assert [pack.number for pack in packs] == list(range(7, 7 + len(packs)))
    assert set().union(*(pack.offsets for pack in packs)) == {digest(data) for data in datas}
    for pack in packs:
        data = bytes(pack.body)
        assert pack.build_pack() == Pack(pack.number, digest(data), len(data))
        assert len(pack.body) >= target or pack is packs[-1]


@given(blobs)
def test_equal_blobs_in_equal_order_give_equal_bytes(datas):
    assert one(datas) == one(datas)


@given(blobs)
def test_other_tools_read_a_pack(datas):
    pack, data = one(datas)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}
    assert found == {digest(each): each for each in datas}
    assert all(data[at:].startswith(found[name]) for name, at in pack.offsets.items())


@pytest.mark.parametrize("tool", [name for name in ("tar", "bsdtar") if shutil.which(name)])
def test_tar_extracts_a_pack_without_warnings(tool, tmp_path):
    _, data = one([b"one", b"x" * 512, b"y" * 70_000])
    command = [tool, "-x", "-v", "-f", "-", "-C", str(tmp_path)]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    assert b"tar:" not in done.stdout + done.stderr
    for path in tmp_path.iterdir():
        assert digest(path.read_bytes()) == path.name
    assert len(list(tmp_path.iterdir())) == 3


def test_one_blob_twice_is_stored_once():
    pack, _ = one([b"same", b"same"])
    assert len(pack.offsets) == 1


def test_no_blobs_make_no_pack():
    assert PackWriter(1).finish() == []


@pytest.mark.parametrize("data", [b"", bytes((8 << 20) + 1)], ids=["empty", "large"])
def test_a_blob_of_the_wrong_size_is_rejected(data):
    with pytest.raises(ValueError, match="cannot be stored in a pack"):
        PackWriter(1).add(digest(data), data)


def test_no_pack_is_much_larger_than_its_target():
    packs = packed([bytes([n]) * (4 << 20) for n in range(5)], 8 << 20)
    assert all(len(pack.body) <= 16 << 20 for pack in packs)


@given(blobs, st.data())
def test_any_changed_byte_is_detected(datas, data):
    pack, whole = one(datas)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedError, match="is damaged: it has"):
        verify_pack(pack.build_pack(), bytes(damaged))
    with pytest.raises(DamagedError, match="at byte"):
        list(iter_members(bytes(damaged)))


@given(blobs, st.data())
def test_a_truncated_or_extended_pack_is_detected(datas, data):
    pack, whole = one(datas)
    at = data.draw(st.integers(0, len(whole) - 1))
    for damaged in (whole[:at], whole + whole[:512], whole + bytes(512)):
        with pytest.raises(DamagedError, match="is damaged"):
            verify_pack(pack.build_pack(), damaged)
        with pytest.raises(DamagedError, match="at byte"):
            list(iter_members(damaged))


@given(st.binary(max_size=3000))
def test_arbitrary_bytes_are_no_pack(data):
    with pytest.raises(DamagedError, match="at byte"):
        list(iter_members(data or b"x"))


@pytest.mark.parametrize("offset", [0, 100, 512 * 3, 10**9])
@pytest.mark.parametrize("read", [extract_member, read_member])
def test_a_member_is_only_read_after_its_header(offset, read):
    _, data = one([b"blob", b"other"])
    with pytest.raises(DamagedError, match="the pack has no blob"):
        read(data, PackMember(digest(b"blob"), offset, 4))


def test_a_member_of_another_size_is_not_found():
    pack, data = one([b"blob"])
    with pytest.raises(DamagedError, match="of 5 bytes at byte 512"):
        extract_member(data, PackMember(digest(b"blob"), pack.offsets[digest(b"blob")], 5))
