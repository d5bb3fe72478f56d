"""Trees of files, assembled into desired sessions."""

from reconcile.core.spec.assemble import assemble_tree
from reconcile.core.spec.parse import parse_file
from tests.core.spec.documents import document, session

GOOD = session("timeout: 1", name="good")


def tree(folders=(), **files):
    """Assemble files whose paths are the keyword's with `__` for `/`, all ending in `.yaml`.

    Without a policy among them, a policy is added whose rules allow what the defaults allow.
    """
    files = {"policy": document("Policy", "allow: {}"), **files}
    results = [
        parse_file(f"{name.replace('__', '/').replace('_', '-')}.yaml", text.encode())
        for name, text in files.items()
    ]
    return assemble_tree(results, folders)


def names(found):
    return [str(one.id) for one in found.sessions]
