"""Trees of sessions, and the worlds that they make."""

import orjson
from hypothesis import settings

from tests.session_files import session_text

passes = settings(max_examples=40, deadline=None)


def spec_text(spec):
    """A spec as YAML; JSON is that."""
    return orjson.dumps(spec).decode()


def file_of(name, spec):
    return session_text(name, spec_text(spec))


def free(spec):
    """The same session, which may be restarted."""
    return {**spec, "update": {"strategy": "Recreate"}}
