"""Files of snapshots that are restored."""

from reconcile.mirror.model import File, LooseBlobs

T = 1_700_000_000_123_456_789


def file(path: str, data: bytes = b"data", mode: int = 0o644) -> File:
    return File(path, mode, T, len(data), (f"digest of {data!r}",) if data else (), LooseBlobs())
