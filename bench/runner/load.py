"""Requests at a steady rate, each on a new connection as the runner makes them, and their times."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

CLIENTS = 48
"""How many requests may be open: fewer than the bridge accepts at once."""


@dataclass(frozen=True)
class Answers:
    """Milliseconds from when each request was due until its answer; requests that failed."""

    times: Sequence[float]
    failed: int

    def percentile(self, percent: int) -> float:
        """Return the time within which so many percent were answered."""
        return statistics.quantiles(self.times, n=100, method="inclusive")[percent - 1]


def ask(port: int, path: str, rate: int, count: int) -> Answers:
    """Send `count` GETs to loopback, `rate` in each second whether or not they are answered."""
    return asyncio.run(_ask(port, path, rate, count))


async def _ask(port: int, path: str, rate: int, count: int) -> Answers:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    slots = asyncio.Semaphore(CLIENTS)
    began = time.perf_counter() + 0.1
    tasks = [_ask_once(port, request, began + number / rate, slots) for number in range(count)]
    times = await asyncio.gather(*tasks)
    good = [each for each in times if each is not None]
    return Answers(good, len(times) - len(good))


async def _ask_once(
    port: int, request: bytes, due: float, slots: asyncio.Semaphore
) -> float | None:
    await asyncio.sleep(due - time.perf_counter())
    async with slots:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            answer = await reader.read()
            writer.close()
        except OSError:
            return None
    ended = time.perf_counter()
    return 1000 * (ended - due) if answer.startswith(b"HTTP/1.1 200 ") else None
