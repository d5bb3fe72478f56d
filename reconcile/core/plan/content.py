"""The digest of a manifest without its secrets, for what is printed: the plan digest.

A digest over a short secret would let readers try all values, offline. What the session itself
gives away as secret is masked first; only that counts, so that the digest of a plan is the same
whichever other files have been read with it.
"""

import hashlib
from collections.abc import Iterator

from reconcile.core.canonical_json import encode_canonical
from reconcile.core.mask.known_secrets import without_mark_numbers
from reconcile.core.mask.masker import Masker
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    DesiredSession,
    DesiredState,
    KubeObject,
    Manifest,
    ObjectRef,
)


class ContentDigests:
    """The digests of the manifests of one desired state; each is computed once."""

    def __init__(self, desired: DesiredState) -> None:
        self._mask = desired.policy.mask
        self._sessions = {wanted.session.id: wanted for wanted in desired.sessions}
        self._templates: dict[str, bool] = {}
        self._digests: dict[ObjectRef, str] = {}

    def find(self, manifest: Manifest) -> str:
        """Return `sha256:<hex>` over the declared body, its secrets masked.

        A patch may carry values that admission changed: the body is that of the desired state.
        """
        if manifest.ref not in self._digests:
            self._digests |= self._compute(self._sessions[manifest.session])
        return self._digests[manifest.ref]

    def _compute(self, wanted: DesiredSession) -> Iterator[tuple[ObjectRef, str]]:
        masker = Masker(self._mask)
        masker.learn_later(lambda: [{"spec": wanted.session.spec}])
        if not masker.knows_secrets() and not any(map(self._gives_secret, wanted.manifests)):
            # Masking a first apply of thousands of sessions would take seconds.
            yield from ((manifest.ref, manifest.digest) for manifest in wanted.manifests)
            return
        bodies = {manifest.ref: _without_digest(manifest.body) for manifest in wanted.manifests}
        for body in bodies.values():
            masker.learn(body)
        for ref, body in bodies.items():
            text = without_mark_numbers(encode_canonical(masker.mask_object(body)).decode())
            yield ref, f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def _gives_secret(self, manifest: Manifest) -> bool:
        """Whether a secret is in the template itself: the same for all sessions without one."""
        if manifest.source not in self._templates:
            masker = Masker(self._mask)
            masker.learn(manifest.body)
            self._templates[manifest.source] = masker.knows_secrets()
        return self._templates[manifest.source]


def _without_digest(body: KubeObject) -> KubeObject:
    metadata = body["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(ANNOTATION_DIGEST, None)
    return {**body, "metadata": {**metadata, "annotations": annotations}}
