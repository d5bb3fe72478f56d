"""Renders a comment with GitHub's renderer, and checks that untrusted text adds no markup."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import cmarkgfm
from cmarkgfm.cmark import Options

ALLOWED_TAGS = {
    *("h3", "p", "strong", "ul", "li", "code", "pre", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ALLOWED_ATTRIBUTES = {"align", "lang", "class"}
_MENTION = re.compile(r"@\w|#\d")


@dataclass
class Rendered:
    """A rendered comment: its tags in order, and its texts by the kind of element."""

    marker: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    spans: list[str] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rendered = Rendered()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED_TAGS, f"a foreign tag: <{tag}>"
        assert {name for name, _ in attrs} <= ALLOWED_ATTRIBUTES, attrs
        self.rendered.tags.append(tag)
        self.open.append(tag)
        if tag == "pre":
            self.rendered.fences.append("")
        elif tag == "code" and "pre" not in self.open:
            self.rendered.spans.append("")

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_comment(self, data):
        self.rendered.marker.append(data)

    def handle_decl(self, decl):
        raise AssertionError(f"a foreign declaration: {decl}")

    unknown_decl = handle_decl
    handle_pi = handle_decl

    def handle_data(self, data):
        if "pre" in self.open:
            self.rendered.fences[-1] += data
        elif "code" in self.open:
            self.rendered.spans[-1] += data
        else:
            self.rendered.prose.append(data)


def render(comment: str) -> Rendered:
    """Render a comment; fails for a foreign or unclosed tag."""
    options = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_GITHUB_PRE_LANG
    reader = _Reader()
    reader.feed(cmarkgfm.github_flavored_markdown_to_html(comment, options))
    reader.close()
    assert reader.open == []
    rendered = reader.rendered
    assert len(rendered.marker) == 1
    assert rendered.tags.count("details") == rendered.tags.count("summary")
    prose = "".join(rendered.prose)
    assert not _MENTION.search(prose), prose
    return rendered
