"""Which manifests are committed generations, and which were left behind by commits that failed.

Committed is what HEAD names, and the parent of what is committed. Where garbage collection has
taken a parent away, its own record says which generations before that are committed.
"""

from collections.abc import Iterable, Mapping

from reconcile.mirror.model import Generation, ManifestRef
from reconcile.mirror.snapshot.header import Header


def committed(
    head: Generation, headers: Mapping[str, Header], remembered: Iterable[ManifestRef]
) -> dict[str, ManifestRef]:
    """Return the manifests of committed generations that still exist, by key, newest first.

    Args:
        head: What HEAD names.
        headers: Of all manifests that exist, by key.
        remembered: What the records of earlier garbage collections call committed.
    """
    found: dict[str, ManifestRef] = {}
    waiting = [*head.chain, *remembered]
    while waiting:
        ref = waiting.pop()
        header = headers.get(ref.key)
        if ref.key in found or header is None:
            continue
        found[ref.key] = ref
        waiting.extend(header.chain)
        if header.parent is not None:
            waiting.append(header.parent)
    return dict(sorted(found.items(), reverse=True))


def generation_of(ref: ManifestRef, header: Header) -> Generation:
    """Return the generation whose last manifest this is."""
    return Generation(header.generation, header.time, (*header.chain, ref), header.completeness)
