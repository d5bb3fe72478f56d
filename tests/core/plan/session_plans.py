"""One session's plan, for tests of its changes."""

from reconcile.core.model import UpdateStrategy
from tests.builders import (
    desired,
    plan,
    session,
)

RECREATE = session(strategy=UpdateStrategy.RECREATE)


def changes(of, objects=(), foreign=None, **fields):
    return plan(desired(*of, **fields), objects, foreign).changes
