"""A comment as GitHub's own renderer makes it, and what must hold of it whatever is in it."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import cmarkgfm
from cmarkgfm.cmark import Options

OURS = {
    *("h3", "p", "strong", "ul", "li", "code", "pre", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"align", "lang", "class"}
_MENTION = re.compile(r"@\w|#\d")


@dataclass
class Rendered:
    """What a comment became: its tags in order, and its texts by where they stand."""

    marker: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    spans: list[str] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Rendered()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        assert tag in OURS, f"a foreign tag: <{tag}>"
        assert {name for name, _ in attrs} <= ATTRIBUTES, attrs
        self.found.tags.append(tag)
        self.open.append(tag)
        if tag == "pre":
            self.found.fences.append("")
        elif tag == "code" and "pre" not in self.open:
            self.found.spans.append("")

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_comment(self, data):
        self.found.marker.append(data)

    def handle_decl(self, decl):
        raise AssertionError(f"a foreign declaration: {decl}")

    unknown_decl = handle_decl
    handle_pi = handle_decl

    def handle_data(self, data):
        if "pre" in self.open:
            self.found.fences[-1] += data
        elif "code" in self.open:
            self.found.spans[-1] += data
        else:
            self.found.prose.append(data)


def render(comment: str) -> Rendered:
    """Render a comment; fails where anything is in it that is not ours, or is not closed."""
    options = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_GITHUB_PRE_LANG
    reader = _Reader()
    reader.feed(cmarkgfm.github_flavored_markdown_to_html(comment, options))
    reader.close()
    assert reader.open == []
    found = reader.found
    assert len(found.marker) == 1
    assert found.tags.count("details") == found.tags.count("summary")
    said = "".join(found.prose)
    assert not _MENTION.search(said), said
    return found
