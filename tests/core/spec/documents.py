"""Builders of documents, and their problems and warnings as text."""

from reconcile.core.spec.declarations import SessionFile
from reconcile.core.spec.parse import parse_file

HEAD = "apiVersion: vteam.ambient-code/v1alpha1\nkind: AgenticSession\n"
PATH = "team-a/x.yaml"


def session(spec="", name="fix-login", metadata=""):
    """A session whose `spec` begins in line 6, each line indented by two."""
    body = "".join(f"  {line}\n" for line in spec.splitlines())
    more = "".join(f"  {line}\n" for line in metadata.splitlines())
    return f"{HEAD}metadata:\n  name: {name}\n{more}spec:\n{body}"


def document(kind, spec=""):
    body = "".join(f"  {line}\n" for line in spec.splitlines())
    return f"apiVersion: vteam.ambient-code/v1alpha1\nkind: {kind}\nspec:\n{body}"


def read(text, path=PATH):
    return parse_file(path, text.encode())


def problems(text, path=PATH):
    return [str(problem) for problem in read(text, path).problems]


def warnings(text, path=PATH):
    return [str(warning) for warning in read(text, path).warnings]


def only(text):
    """The one document of a file that has no problems."""
    content = read(text).content
    assert isinstance(content, SessionFile)
    (declared,) = content.declarations
    return declared
