"""Trees of files, assembled into desired sessions."""

from reconcile.core.spec.assemble import assemble_tree
from reconcile.core.spec.parse import parse_file
from tests.core.spec.documents import document, session

GOOD = session("timeout: 1", name="good")


def tree(folders=(), **files):
    """Assemble files whose paths are the keyword's with `__` for `/`, all ending in `.yaml`.

    Without a policy among them, a policy is added whose rules allow what the defaults allow. The
    defaults get the image of our containers, and a runner that is not the platform's, if they set
    neither: then sessions have neither problems nor warnings but their own.
    """
    defaults = document("SessionDefaults", "") if "defaults" not in files else files["defaults"]
    files = {"policy": document("Policy", "allow: {}"), **files, "defaults": complete(defaults)}
    results = [
        parse_file(f"{name.replace('__', '/').replace('_', '-')}.yaml", text.encode())
        for name, text in files.items()
    ]
    return assemble_tree(results, folders)


def complete(defaults):
    """Append what every session needs to the text of a defaults.yaml that sets something."""
    if "runner: {image:" not in defaults:
        defaults = defaults.replace("\n  runner: {", "\n  runner: {image: 'agent:1', ")
    for name, line in (("image", "image: ours:1"), ("runner", "runner: {image: 'agent:1'}")):
        if f"\n  {name}:" not in defaults:
            defaults += f"  {line}\n"
    return defaults


DEFAULTS = parse_file("defaults.yaml", complete(document("SessionDefaults")).encode())
"""A defaults.yaml with what every session needs."""


def names(found):
    return [str(one.id) for one in found.sessions]
