"""Ceph's configuration for a cluster of one monitor and one OSD in memory, on loopback only."""

from dataclasses import dataclass
from pathlib import Path

CLUSTER = "6f2d0a2e-5a3a-4e63-9d0b-0a4b6b0e5a01"
OSD = "6f2d0a2e-5a3a-4e63-9d0b-0a4b6b0e5a02"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the monitor and the gateway on 127.0.0.1."""

    monitor: int
    gateway: int


def text(programs: Path, state: Path, ports: Ports) -> str:
    """Return a ceph.conf in which all files are below `state`."""
    return "[global]\n" + "".join(
        f"{name} = {value}\n"
        for name, value in {
            **_PLACES,
            **_ONE_OF_EACH,
            **_QUICK,
            **_GATEWAY,
            "mon host": f"v1:127.0.0.1:{ports.monitor}",
            "run dir": state,
            "admin socket": "",
            "pid file": "",
            "log file": state / "$name.log",
            "mon cluster log file": state / "cluster.log",
            "mon data": state / "mon",
            "osd data": state / "osd",
            "plugin dir": programs / "lib/ceph",
            "osd class dir": programs / "lib/rados-classes",
            "erasure code dir": programs / "lib/ceph/erasure-code",
            "rgw frontends": f"beast endpoint=127.0.0.1:{ports.gateway}",
        }.items()
    )


_PLACES = {
    "fsid": CLUSTER,
    "mon initial members": "a",
    "public addr": "127.0.0.1",
    "cluster addr": "127.0.0.1",
    "ms bind msgr2": "false",
    # Below the range for outgoing connections on Linux; the OSD takes the first free ones.
    "ms bind port min": "18000",
    "ms bind port max": "19900",
}
_ONE_OF_EACH = {
    "auth cluster required": "none",
    "auth service required": "none",
    "auth client required": "none",
    "osd objectstore": "memstore",
    "memstore device bytes": str(16 << 30),
    "osd pool default size": "1",
    "osd pool default min size": "1",
    "osd pool default pg num": "4",
    "osd pool default pgp num": "4",
    "osd pool default pg autoscale mode": "off",
    "osd crush chooseleaf type": "0",
    # The OSD sometimes does this too early and exits, so a command sets its location instead.
    "osd crush update on start": "false",
    "osd class update on start": "false",
    "mon allow pool size one": "true",
    "mon max pg per osd": "5000",
}
# With a single monitor there is nothing to wait for; waits are most of the default start time.
_QUICK = {
    "paxos propose interval": "0.05",
    "paxos min wait": "0.01",
    "mon tick interval": "1",
    "objecter tick interval": "1",
}
_GATEWAY = {
    "rgw enable apis": "s3, sts",
    "rgw override bucket index max shards": "1",
    "rgw dynamic resharding": "false",
    "rgw run sync thread": "false",
}
