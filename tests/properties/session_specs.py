"""Session files from specs, for property tests of passes."""

import orjson
from hypothesis import settings

from tests.session_files import session_text

passes = settings(max_examples=40, deadline=None)


def spec_text(spec):
    """A spec as JSON, which is valid YAML."""
    return orjson.dumps(spec).decode()


def file_of(name, spec):
    return session_text(name, spec_text(spec))


def free(spec):
    """The same spec with a strategy that allows restarts."""
    return {**spec, "update": {"strategy": "Recreate"}}
