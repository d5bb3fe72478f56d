"""RFC 3339 times, to the second, as Kubernetes writes them."""

from datetime import UTC, datetime, timedelta

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def utc_now() -> str:
    """The time of day."""
    return datetime.now(UTC).strftime(_FORM)


def later(time: str, seconds: float) -> str:
    """The time some seconds after another, earlier for a negative number."""
    return (datetime.fromisoformat(time) + timedelta(seconds=seconds)).strftime(_FORM)
