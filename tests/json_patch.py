"""JSON Patch (RFC 6902) for tests of the patches that plans contain."""

import jsonpatch


def patched(body, operations):
    """Apply operations in order to a copy of `body`; JsonPatchException where one does not fit."""
    return jsonpatch.apply_patch(body, [dict(each) for each in operations])
