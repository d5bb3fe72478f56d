"""Plans in which an attacker has chosen every text, to control the comment."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from reconcile.core.changes import (
    ABSENT,
    Commit,
    Create,
    Delete,
    DeleteReason,
    Drift,
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    InPlace,
    Patch,
    Plan,
    Replace,
    RestartsContainer,
    SessionPlan,
)
from reconcile.core.errors import Problem
from reconcile.core.fields.field_path import ListItem, SetMember, format_path
from reconcile.core.model import Kind, Manifest, ObjectRef, SessionId
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import LiveCluster, OtherRevision, PlanReport
from tests.core.report.sample_plans import LIVE

HOSTILE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A whole plan is much to think up on a busy machine."""

WEAPONS = (
    "```",
    "`````",
    "`",
    "~~~",
    "</details>",
    "<details open>",
    "</summary>",
    "</code>",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "@somebody",
    "#12",
    "org/repo#3",
    "0123456789abcdef",
    "![x](https://evil.example/x.png)",
    "[x](javascript:y)",
    "[x]: https://evil.example",
    "https://evil.example/?q=1",
    "www.evil.example",
    "me@evil.example",
    "&lt;b&gt;",
    "&#96;",
    "|",
    "\\",
    "*",
    "__",
    "$$x$$",
    "- ",
    "> ",
    "# ",
    "===",
    "---",
    "    ",
    "\t",
    "\n",
    "\n\n",
    "\r\n",
    "::error file=x::y",
    "##[add-mask]",
    "%0A::error::",
    "\u202e",
    "\u2028",
    "\x1b[2J",
    "\ud800",
    "日本語",
    "🌈",
    "word ",
)

texts = st.lists(st.sampled_from(WEAPONS) | st.text(max_size=5), max_size=6).map("".join)
words = texts.filter(bool)
sessions = st.builds(SessionId, st.just("team-a") | words, words)
segments = st.one_of(
    words, words.map(lambda name: ListItem((("name", name),))), words.map(SetMember)
)
values = st.one_of(
    texts,
    st.none(),
    st.booleans(),
    st.integers(),
    st.lists(texts, max_size=3),
    st.dictionaries(texts, texts, max_size=3),
)
effects = st.one_of(
    st.just(InPlace()), st.just(ForcesReplace()), st.builds(RestartsContainer, words)
)
causes = st.just(Commit()) | st.builds(Drift, texts, texts)


@st.composite
def fields(draw):
    at = (draw(words), *draw(st.lists(segments, max_size=4)))
    known = draw(st.booleans())
    sides = draw(values | st.just(ABSENT)), draw(values)
    return FieldChange(format_path(at), *sides, draw(effects), draw(causes), at if known else ())


@st.composite
def changes(draw, session: SessionId):
    kind = draw(st.sampled_from(["Pod", "ConfigMap", "Secret"]) | words)
    ref = ObjectRef(draw(st.just("") | words), kind, session.namespace, draw(words))
    body = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": ref.name, "annotations": {draw(texts): draw(texts)}},
        "data": draw(st.dictionaries(texts, texts, max_size=3)),
    }
    manifest = Manifest(ref, Kind("v1", kind), session, body, "d", "x.yaml.j2")
    changed = tuple(draw(st.lists(fields(), max_size=3)))
    action = draw(
        st.sampled_from(
            [
                Create(manifest),
                Patch(manifest, LIVE, changed, (), force=True),
                Replace(manifest, LIVE, changed),
                Delete(ref, Kind("v1", kind), LIVE, DeleteReason.SESSION_REMOVED),
            ]
        )
    )
    return draw(st.just(action) | st.builds(Hold, st.just(action), st.sampled_from(HoldReason)))


@st.composite
def session_plans(draw):
    session = draw(sessions)
    return SessionPlan(session, tuple(draw(st.lists(changes(session), min_size=1, max_size=3))))


problems = st.builds(Problem, texts, st.integers(0, 9), st.integers(0, 9), texts, texts)
findings = st.builds(
    Findings,
    st.lists(problems, max_size=4).map(tuple),
    st.lists(problems, max_size=2).map(tuple),
)
plans = st.builds(
    Plan,
    texts,
    st.sampled_from(["", "0123456789abcdef0123", "0123456789abcdef0123-dirty"]) | texts,
    st.lists(session_plans(), max_size=3).map(tuple),
)
reports = st.builds(
    PlanReport,
    plans,
    st.just("sha256:" + "5eed" * 16),
    findings,
    st.just(LiveCluster()) | st.builds(OtherRevision, words, words),
    words,
)
