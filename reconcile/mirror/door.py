"""Where a running mirror answers questions about itself."""

from msgspec import Struct

from reconcile.mirror.sidecar.status import FactBook
from reconcile.mirror.wiring import StoreClock


class Door(Struct, frozen=True):
    """Where the service listens, port 0 for not at all, and when a snapshot is stale."""

    host: str
    port: int
    stale_after: float


def serve(door: Door, facts: FactBook, clock: StoreClock) -> None:
    """Open the door if there is to be one; SettingsError where it cannot be listened on."""
    if door.port:
        from reconcile.mirror.sidecar.http import Answers, Service

        Service((door.host, door.port), Answers(facts, clock, door.stale_after))
