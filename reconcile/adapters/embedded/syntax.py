"""The forms that names and values must have, and how the server words what is wrong."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

Flaw: TypeAlias = tuple[str, str]
"""A field, and what is wrong with it."""

REQUIRED: Final = "Required value"

DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
DNS_SUBDOMAIN: Final = re.compile(rf"{DNS_LABEL.pattern}(\.{DNS_LABEL.pattern})*")
LABEL_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
QUALIFIED: Final = re.compile(
    rf"(?=(?:[^/]{{1,253}}/)?[^/]{{1,63}}\Z)({DNS_SUBDOMAIN.pattern}/)?"
    r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
)
CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
ENVIRONMENT: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


def invalid(value: Any, message: str) -> str:
    """Word a value that is not possible."""
    return f"Invalid value: {json.dumps(value)}: {message}"


def unsupported(value: Any, known: Sequence[str]) -> str:
    """Word a value that is none of the known ones."""
    return f"Unsupported value: {json.dumps(value)}: supported values: {', '.join(known)}"
