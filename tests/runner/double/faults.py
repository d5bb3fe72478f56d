"""Streams of a runner that misbehaves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson

from tests.runner.double.agent import Event
from tests.runner.double.settings import Faults

INSTEAD = {"silent", "endless", "break", "run-error"}
"""Faults that replace the run; the others are put into it after RUN_STARTED."""

_BEGIN = b'data: {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "'


class BrokenError(Exception):
    """The connection is closed in the middle of an event."""


def encode(event: Event) -> bytes:
    """Encode an event as server-sent event."""
    return b"data: " + orjson.dumps(event) + b"\n\n"


async def replace(faults: Faults, fault: str, asked: Event) -> AsyncIterator[bytes]:
    """Yield the stream of a run that is never done."""
    ids = {"threadId": asked["threadId"], "runId": asked["runId"]}
    if fault == "run-error":
        yield encode({"type": "RUN_ERROR", "message": faults.error, **ids})
        return
    yield encode({"type": "RUN_STARTED", **ids})
    if fault == "break":
        yield b'data: {"type": "TEXT_MESSAGE_CO'
        raise BrokenError("DOUBLE_RUN=break")
    while fault == "endless":
        yield encode({"type": "TEXT_MESSAGE_CONTENT", "messageId": "endless", "delta": "more "})
        await asyncio.sleep(0.05)
    await asyncio.Event().wait()


async def insert(faults: Faults, fault: str, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """Yield the stream of a run with something bad in it."""
    async for event in events:
        yield encode(_spoil(fault, event))
        if event["type"] == "RUN_STARTED":
            async for chunk in _bad_event(faults, fault):
                yield chunk


def _spoil(fault: str, event: dict[str, Any]) -> dict[str, Any]:
    if fault == "no-result" and event["type"] == "RUN_FINISHED":
        return {name: value for name, value in event.items() if name != "result"}
    return event


async def _bad_event(faults: Faults, fault: str) -> AsyncIterator[bytes]:
    match fault:
        case "typeless":
            yield encode({"messageId": "without-type"})
        case "not-json":
            yield b"data: {not json\n\n"
        case "invalid-utf8":
            yield _BEGIN + b'\xff\xfe"}\n\n'
        case "huge":
            yield _BEGIN
            for _ in range(faults.huge_bytes >> 16):
                yield b"x" * (1 << 16)
            yield b'"}\n\n'
