"""What the mirror says when it ends: one line of JSON for the pod's status."""

from pathlib import Path

import orjson
from msgspec import Struct

from reconcile.mirror.model import Missing, Whole


class Farewell(Struct, frozen=True):
    """How the last flush went.

    Attributes:
        outcome: `flushed`, `partial`, `failed`, `late` or `fenced`.
        generation: The last that is committed.
        missing: What it lacks; for `failed` and `late` what was seen and is not in it.
        beyond: How many entries there was no room for, at least.
        seconds: From TERM to the end.
        reason: Why not everything is stored; empty where it is.
    """

    outcome: str
    generation: int
    missing: Missing | Whole
    seconds: float
    reason: str = ""
    beyond: int = 0


def farewell_line(farewell: Farewell) -> bytes:
    """Write the termination message; less than the 4,096 bytes that the kubelet takes."""
    lacks = farewell.missing if isinstance(farewell.missing, Missing) else Missing(0, 0)
    value = {
        "outcome": farewell.outcome,
        "generation": farewell.generation,
        "partial": farewell.outcome == "partial",
        "missingFiles": lacks.files,
        "missingBytes": lacks.size,
        "beyondEntries": farewell.beyond,
        "seconds": round(farewell.seconds, 3),
        "reason": farewell.reason[:1000],
    }
    return orjson.dumps(value) + b"\n"


def write_farewell(path: Path, farewell: Farewell) -> str:
    """Write it; returns why that failed, empty if it did not: nothing may fail by it."""
    try:
        path.write_bytes(farewell_line(farewell))
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""
