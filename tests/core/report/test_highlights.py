"""What a reviewer must see is in the comment, whatever else the plan changes."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.changes import ABSENT, Create, DeleteReason, Hold, HoldReason, SessionPlan
from reconcile.core.mask.masker import Masker
from reconcile.core.model import SessionId
from reconcile.core.plan.settings import FieldSetting, SettingChange, WholeFile, compare_settings
from reconcile.core.report.highlights import collect_highlights
from reconcile.core.report.markdown import MIN_COMMENT_BYTES, format_markdown
from reconcile.core.report.problems import Findings, format_problems
from reconcile.core.report.view import build_plan_view
from tests.core.report import sample_plans
from tests.core.report.formats import every_form
from tests.properties.rendered import render

CONTAINER = "spec.containers[runner]"
NOISE = [f"{CONTAINER}.env[A{n}].value" for n in range(400)]


def field(path, before, after):
    return sample_plans.field(path, before, after)


def session(number, *changes):
    return SessionPlan(SessionId("team-a", f"s{number}"), changes)


def comment(*sessions, findings=Findings(), limit=65_536, masker=None):  # noqa: B008 - frozen
    report = sample_plans.report(sample_plans.plan(*sessions), findings)
    text = format_markdown(report, masker or Masker(), limit)
    assert len(text.encode()) <= limit
    return text


def pod(name="s-runner", **spec):
    return sample_plans.manifest("Pod", name, spec=spec)


IMPORTANT = {
    "image": field(f"{CONTAINER}.image", "a:1", "evil.io/x"),
    "envFrom": field(f"{CONTAINER}.envFrom", ABSENT, [{"secretRef": {"name": "evil.io/x"}}]),
    "container": field("spec.containers[side]", ABSENT, {"name": "side", "image": "evil.io/x"}),
    "key": field(f"{CONTAINER}.env[A].valueFrom.secretKeyRef.name", "a", "evil.io/x"),
    "volume": field(
        "spec.volumes[v]", ABSENT, {"name": "v", "secret": {"secretName": "evil.io/x"}}
    ),
    "hostPath": field("spec.volumes[v].hostPath.path", ABSENT, "evil.io/x"),
    "priority": field("spec.priorityClassName", ABSENT, "evil.io/x"),
    "account": field("spec.serviceAccountName", "session-s", "evil.io/x"),
    "toleration": field("spec.tolerations", ABSENT, [{"key": "evil.io/x", "operator": "Exists"}]),
    "node": field("spec.nodeSelector[evil.io/x]", ABSENT, ""),
    "node selector": field("spec.nodeSelector", ABSENT, {"evil.io/x": ""}),
    "label": field("metadata.labels[evil.io/x]", ABSENT, "a"),
    "settings": field(f"{CONTAINER}.envFrom", ABSENT, [{"configMapRef": {"name": "evil.io/x"}}]),
    "program": field(f"{CONTAINER}.command", ["run"], ["sh", "-c", "evil.io/x"]),
    "device": field(f"{CONTAINER}.resources.limits[evil.io/x]", ABSENT, "64"),
}


@pytest.mark.parametrize("name", IMPORTANT)
def test_one_important_field_is_seen_among_hundreds_of_harmless_ones(name):
    fields = [*(field(path, "a", "b") for path in NOISE), IMPORTANT[name]]
    shown = comment(session(1, sample_plans.patch(pod(), *fields)))
    listed = shown.split("<details>")[0]
    assert "evil.io/x" in listed, listed
    assert "`team-a/s1`" in listed


@pytest.mark.parametrize("name", IMPORTANT)
def test_an_important_field_is_seen_where_only_the_text_of_its_path_is_known(name):
    change = replace(IMPORTANT[name], field_path=())
    found = collect_highlights([view_of(session(1, sample_plans.patch(pod(), change)))], Masker())
    assert any("evil.io/x" in each.after for each in found)


def view_of(planned):
    (view,) = build_plan_view(sample_plans.plan(planned), Masker()).sessions
    return view


def test_each_important_change_is_seen_among_thousands_of_sessions():
    noise = [session(n, sample_plans.patch(pod(), field(NOISE[0], "a", "b"))) for n in range(2000)]
    changes = enumerate(IMPORTANT.values())
    few = [session(f"x{n}", sample_plans.patch(pod(), each)) for n, each in changes]
    shown = comment(*noise, *few)
    assert [n for n in range(len(few)) if shown.count(f"`team-a/sx{n}`") != 2] == []
    assert "evil.io/x" in comment(*noise, *few, limit=MIN_COMMENT_BYTES)


def test_a_new_prompt_for_running_work_is_seen_among_thousands_of_sessions_unless_it_is_held():
    noise = [session(n, sample_plans.patch(pod(), field(NOISE[0], "a", "b"))) for n in range(2000)]
    inputs = sample_plans.patch(
        sample_plans.manifest("ConfigMap", "x-inputs"), *[sample_plans.PROMPT] * 3
    )
    line = "- `prompt` `a new prompt is delivered to running work`: `team-a/sx`\n"
    assert line in comment(*noise, session("x", inputs), limit=MIN_COMMENT_BYTES)
    held = comment(session("x", Hold(inputs, HoldReason.CONFLICT)))
    assert "running work" not in held


def test_many_of_one_concern_leave_room_for_the_others():
    flood = [
        session(n, sample_plans.patch(pod(), field("spec.priorityClassName", "a", f"p{n}")))
        for n in range(3000)
    ]
    shown = comment(*flood, session("x", sample_plans.patch(pod(), IMPORTANT["image"])))
    assert "evil.io/x" in shown
    assert "more that do not fit here" in shown


def test_a_new_object_shows_what_is_unusual_and_equal_values_once():
    usual = {
        "serviceAccountName": "session-s1",
        "automountServiceAccountToken": False,
        "containers": [
            {
                "image": "r:1",
                "securityContext": {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "securityContext": {"runAsUser": 1001, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    shown = comment(*(session(n, Create(pod(**usual))) for n in (1, 2, 3, 4, 5)))
    listed = shown.split("**Images")[1].split("<details>")[0]
    # The account of the first is that of another session for the others.
    assert [line for line in listed.splitlines() if "`image`" in line] == [
        "- `image` `r:1`: `team-a/s1`, `team-a/s2`, `team-a/s3` and 2 more"
    ]
    for name in ("automount", "runAsUser", "capabilities", "seccomp"):
        assert name not in listed
    bad = {"hostNetwork": True, "containers": [{"securityContext": {"privileged": True}}]}
    listed = comment(session(1, Create(pod(**bad)))).split("<details>")[0]
    assert "- `hostNetwork` `true`: `team-a/s1`" in listed
    assert "- `privileged` `true`: `team-a/s1`" in listed


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("RoleBinding", {"roleRef": {"kind": "Role", "name": "admin"}}, "`roleRef` `admin`"),
        ("Role", {"rules": [{"verbs": ["*"], "resources": ["secrets"]}]}, "resources=secrets"),
        ("NetworkPolicy", {"spec": {"ingress": [{"from": []}]}}, "`ingress` `from=[]`"),
        ("Service", {"spec": {"type": "LoadBalancer"}}, "`type` `LoadBalancer`"),
        ("Secret", {"stringData": {"key": "c4nary"}}, "`stringData` `key`"),
    ],
)
def test_new_rights_peers_and_secrets_are_shown(kind, body, said):
    shown = comment(session(1, Create(sample_plans.manifest(kind, "x", **body))))
    assert said in shown.split("<details>")[0]
    assert "c4nary" not in shown


def test_data_of_a_config_map_is_no_highlight():
    created = sample_plans.manifest("ConfigMap", "x", data={"image": "a", "rules": "b"})
    changed = sample_plans.patch(created, field("data.image", "a", "b"))
    assert "**Images" not in comment(session(1, Create(created)), session(2, changed))


def test_a_removed_guard_is_shown():
    changed = field("spec.nodeSelector", {"pool": "agents"}, ABSENT)
    shown = comment(session(1, sample_plans.patch(pod(), changed)))
    assert "- `nodeSelector` `pool=agents` removed: `team-a/s1`" in shown


def test_every_changed_session_is_named_where_details_do_not_fit():
    created = Create(pod(containers=[{"image": "r:1", "args": ["x" * 500]}]))
    shown = comment(*(session(n, created) for n in range(1500)))
    assert [n for n in range(1500) if f"`team-a/s{n}`" not in shown] == []
    deleted = sample_plans.delete("Pod", "x", DeleteReason.SESSION_REMOVED)
    small = comment(
        *(session(n, created) for n in range(1500)), session("x", deleted), limit=MIN_COMMENT_BYTES
    )
    assert "- 1 to delete: `team-a/: sx`" in small
    named = len(re.findall(r"\bs[0-9]+\b", small.split("**Changed sessions**")[1].split("\n\n")[1]))
    assert f"{1500 - named:,} more" in small


def test_thousands_of_sessions_are_named_without_repeating_their_namespace():
    changed = sample_plans.patch(pod(), field(NOISE[0], "a", "b"))
    shown = comment(*(session(n, changed) for n in range(5000)))
    names = set(re.findall(r"\bs[0-9]+\b", shown.split("**Changed sessions**")[1]))
    assert len(names) == 5000


SETTINGS: tuple[SettingChange, ...] = (
    *compare_settings("policy.yaml", {"spec": {"mask": ["a", "b"]}}, {"spec": {"mask": ["a"]}}),
    WholeFile("pod.yaml.j2", "changed"),
    *compare_settings(
        "defaults.yaml",
        {"spec": {"environmentVariables": {"A_TOKEN": "4711", "`@octocat": 1}}},
        {"spec": {"environmentVariables": {"A_TOKEN": "4712", "B": ["x"] * 20}}},
    ),
)


def test_changed_settings_come_first_and_are_in_every_form():
    findings = Findings(settings=SETTINGS)
    shown = comment(session(1, Create(pod())), findings=findings)
    assert shown.splitlines()[1] == (
        "### reconcile diff: changes of 5 settings, changes in 1 session"
    )
    assert shown.index("- `policy.yaml`: `spec.mask`: `b` removed") < shown.index("<details>")
    assert "- `pod.yaml.j2`: changed" in shown
    report = sample_plans.report(sample_plans.EMPTY, findings)
    text = format_problems(findings, Masker())
    forms = dict(
        zip(
            ("text", "json", "md", "diff", "names", "github"),
            every_form(report, Masker()),
            strict=True,
        )
    )
    for form in (text, *(forms[name] for name in ("json", "md", "diff", "github"))):
        assert "spec.mask" in form
        assert "471" not in form
    assert "@octocat" not in "".join(render(forms["md"]).prose)


def test_a_setting_without_a_value_is_added_or_removed():
    (added,) = compare_settings("a.yaml", None, {"x": "y"})
    assert added == FieldSetting("a.yaml", added.change)
    assert (added.change.before, added.change.after) == (ABSENT, "y")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text(max_size=3000), min_size=1, max_size=12),
    st.integers(MIN_COMMENT_BYTES, 70_000),
)
def test_a_comment_of_any_text_fits_and_ends_all_that_it_begins(texts, limit):
    sessions = [
        session(n, Create(sample_plans.manifest("ConfigMap", "x", data={"a": text * 3})))
        for n, text in enumerate(texts)
    ]
    changed = [field(f"{CONTAINER}.image", text, text[:1]) for text in texts]
    shown = comment(*sessions, session("y", sample_plans.patch(pod(), *changed)), limit=limit)
    shown.encode()
    assert shown.count("<details>") == shown.count("</details>")
    assert "Plan digest:" in shown.splitlines()[-3]


def test_the_names_of_many_groups_that_do_not_fit_are_left_out():
    changes = [Create(pod(f"p{number}")) for number in range(60)]
    sessions = [session(f"{'x' * 200}{count}", *changes[: count + 1]) for count in range(60)]
    text = comment(*sessions, limit=MIN_COMMENT_BYTES)
    assert "of 60 sessions omitted" in text
    assert "60 to create" not in text
