"""The allow and deny lists of rendering are long: they are written as text."""


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())
