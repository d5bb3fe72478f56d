"""Which generations a `verify` is about, and what it finds."""

from msgspec.structs import replace

from reconcile.mirror.concurrency import Limit
from reconcile.mirror.history.choosing import choose
from reconcile.mirror.history.generations import read_past
from reconcile.mirror.history.verify import Damage, Verified, Verifier
from reconcile.mirror.wiring import Opened


def check(means: Opened, at: str, *, everything: bool) -> Verified:
    """Verify the generation that `at` means, or all.

    With all also what cannot be read as a manifest or record counts as damaged. Raises as `choose`.
    """
    verifier = Verifier(means.store, means.lanes, Limit(means.clock))
    if not everything:
        chosen = choose(means.store, at)
        return verifier.verify([chosen] if chosen.number else [])
    past = read_past(means.store)
    found = verifier.verify(past.generations().values())
    known = {damage.key for damage in found.damages}
    more = (
        Damage(key, reason, (), ())
        for key, reason in sorted(past.troubles.items())
        if key not in known
    )
    return replace(found, damages=(*found.damages, *more))
