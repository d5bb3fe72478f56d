"""Draws `docs/images/pull-request.png`: a comment of `diff -o markdown`, in light and in dark.

Not part of the tests. It needs git, Chromium (on Debian the package `chromium`) and what
`make venv` installs: `.venv/bin/python -m docs.picture`. Look at the picture before you commit it.
"""

import re
import subprocess
import tempfile
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options

from docs.demo import Demo, prepare, stranger
from reconcile.core.model import ObjectRef

PICTURE = Path(__file__).parent / "images" / "pull-request.png"
SIZE = (1720, 1080)
FENCE = re.compile(r'<pre lang="diff"><code>(.*?)</code></pre>', re.DOTALL)
PAGE = """\
<!doctype html><meta charset="utf-8"><style>{style}</style>
<main class="light"><article>{comment}</article></main>
<main class="dark"><article>{comment}</article></main>
"""
STYLE = """\
body { margin: 0; display: flex; font: 14px/1.5 "Noto Sans", "DejaVu Sans", sans-serif }
main { flex: 1; min-width: 0; padding: 20px; background: var(--page); color: var(--text);
  height: 100vh; box-sizing: border-box; overflow: hidden }
article { border: 1px solid var(--line); border-radius: 6px; padding: 16px }
.light { --page: #fff; --text: #1f2328; --line: #d1d9e0; --code: #818b981f; --block: #f6f8fa;
  --plus: #dafbe1; --plus-text: #116329; --minus: #ffebe9; --minus-text: #82071e }
.dark { --page: #0d1117; --text: #f0f6fc; --line: #3d444d; --code: #656c7633; --block: #151b23;
  --plus: #033a16; --plus-text: #aff5b4; --minus: #67060c; --minus-text: #ffdcd7 }
h3 { margin: 0 0 12px; font-size: 17px }
p, ul, table, details { margin: 0 0 12px }
ul { padding-left: 24px }
table { border-collapse: collapse }
th, td { border: 1px solid var(--line); padding: 4px 12px }
code, pre { font: 12px/1.45 "DejaVu Sans Mono", monospace }
code { background: var(--code); border-radius: 6px; padding: 2px 5px; overflow-wrap: anywhere }
pre { background: var(--block); border-radius: 6px; padding: 12px; margin: 0 0 12px }
summary { margin-bottom: 8px }
pre code { background: none; padding: 0; display: block }
pre span { display: block; min-height: 1.45em; white-space: pre }
.plus { background: var(--plus); color: var(--plus-text) }
.minus { background: var(--minus); color: var(--minus-text) }
"""


def example(home: Path) -> str:
    """Make a plan with a bit of everything, and show it as a comment."""
    demo = Demo(home)
    prepare(demo)
    demo.reconcile("apply", "desired")
    service = ObjectRef("", "Service", "team-a", "session-fix-login")
    stranger(demo.state, service, "/spec/ports/0/targetPort", 9999)
    variables = "  environmentVariables: {LOG_LEVEL: DEBUG}\n  network:\n"
    demo.edit("team-a/fix-login.yaml", "  network:\n", variables)
    demo.edit("team-a/fix-login.yaml", "  runner:\n", "  update: {strategy: Recreate}\n  runner:\n")
    demo.edit("team-a/triage.yaml", "write tickets.md sorted", "write tickets.md oldest first")
    demo.remove("team-a/nightly.yaml")
    return demo.output("diff", "desired", "-o", "markdown")


def as_html(comment: str) -> str:
    """Render a comment as GitHub does, with the first sessions unfolded and its diffs coloured."""
    options = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_GITHUB_PRE_LANG
    rendered = cmarkgfm.github_flavored_markdown_to_html(comment, options)
    return FENCE.sub(
        lambda found: f"<pre><code>{coloured(found[1])}</code></pre>", unfolded(rendered)
    )


def unfolded(rendered: str) -> str:
    """Open the session that has most to show."""
    before, mark, after = rendered.partition("<details><summary><code>team-a/fix-login")
    return f"{before}{mark.replace('<details>', '<details open>')}{after}"


def coloured(code: str) -> str:
    """Colour the lines of a diff."""
    kinds = {"+": "plus", "-": "minus"}
    lines = (f'<span class="{kinds.get(line[:1], "")}">{line}</span>' for line in code.splitlines())
    return "".join(lines)


def draw(page: str, folder: Path) -> None:
    """Let Chromium draw a page."""
    source = folder / "page.html"
    source.write_text(page, encoding="utf-8")
    width, height = SIZE
    command = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
    command += [f"--window-size={width},{height}", f"--screenshot={PICTURE}", source.as_uri()]
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    """Draw the picture."""
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reconcile-picture-") as folder:
        comment = as_html(example(Path(folder)))
        draw(PAGE.format(style=STYLE, comment=comment), Path(folder))
    print(f"{PICTURE}: {PICTURE.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
