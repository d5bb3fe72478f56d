"""The XML in which S3 and STS answer, as texts."""

from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree as ET


def parsed(body: bytes, *names: str) -> ET.Element:
    """Return the root of an answer.

    Raises:
        ValueError: It is no XML, or its root has none of these names, if any are given.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314 - expat refuses bombs
    except (SyntaxError, LookupError) as error:
        raise ValueError(str(error)) from error
    name = _local(root)
    if names and name not in names:
        raise ValueError(f"it is a <{name}>, not a <{names[0]}>")
    return root


def children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    """Yield the children of this name, in whatever namespace a server puts them."""
    for child in element:
        if _local(child) == name:
            yield child


def text_of(element: ET.Element, *path: str) -> str:
    """Return the text of the first such child, or of its child; empty where there is none."""
    for name in path:
        found = next(children(element, name), None)
        if found is None:
            return ""
        element = found
    return element.text or ""


def complaint(body: bytes) -> tuple[str, str]:
    """Return the code and the message of an error; empty where the answer is somebody else's."""
    try:
        root = parsed(body)
    except ValueError:
        return "", ""
    error = next(children(root, "Error"), root)
    return text_of(error, "Code"), text_of(error, "Message")


def time_of(text: str) -> float:
    """Return seconds since 1970; ValueError for what is no time of ISO 8601."""
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
