"""A front before any S3 server: passes bytes on, counts, delays, and fails on demand.

Requests keep their `Host`, so that their signature holds. It runs in a thread of its own; where
it must not share the interpreter with what is measured, `python -m tests.s3 front` runs it alone.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from tests.controlplane import ports
from tests.s3 import exchange
from tests.s3.access import S3Server
from tests.s3.faults import Asked, Plan, nothing


@dataclass(slots=True)
class Front:
    """A running front; every field may be changed while it runs.

    Attributes:
        server: The server behind it, as clients should see it: at the front's own address.
        behind: Host and port of the server itself.
        plan: Says what happens to a request.
        latency: Seconds that each request waits.
        received: Every request so far.
        sent_bytes: How many bytes of bodies clients have sent.
        got_bytes: How many bytes of bodies clients have got.
    """

    server: S3Server
    behind: tuple[str, int]
    plan: Plan = nothing
    latency: float = 0.0
    received: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    got_bytes: int = 0

    def reset(self) -> None:
        """Count from nothing again, and let everything pass."""
        self.plan = nothing
        self.received, self.sent_bytes, self.got_bytes = [], 0, 0


@contextlib.contextmanager
def running(server: S3Server, *, port: int = 0) -> Iterator[Front]:
    """Run a front for as long as the block lasts."""
    url = urlsplit(server.url)
    assert url.hostname
    port = port or ports.free(1)[0]
    own = replace(server, url=f"http://127.0.0.1:{port}")
    front = Front(own, (url.hostname, url.port or 80))
    ready, loop = threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete, args=[_serve(front, port, ready, ended)]
    )
    thread.start()
    ready.wait()
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


async def _serve(front: Front, port: int, ready: threading.Event, ended: asyncio.Event) -> None:
    open_now: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        open_now[task] = writer
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await exchange.converse(front, reader, writer)
                await writer.wait_closed()
        except OSError:
            pass  # the client was faster
        finally:
            del open_now[task]

    listener = await asyncio.start_server(accepted, "127.0.0.1", port, limit=1 << 20)
    ready.set()
    await ended.wait()
    listener.close()
    tasks = list(open_now)
    for task, writer in open_now.items():
        task.cancel()
        writer.transport.abort()
    await asyncio.gather(*tasks, return_exceptions=True)
    # Transports say goodbye in the loop's next rounds.
    for _ in range(3):
        await asyncio.sleep(0)
