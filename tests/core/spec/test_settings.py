"""Settings and policies."""

import pytest

from reconcile.core.model import Budget, OnConflict, Policy
from reconcile.core.spec.declarations import PolicyFile, SettingsFile
from tests.core.spec.documents import document, problems, read, warnings


def test_settings_are_parsed():
    assert read(document("SessionDefaults", "timeout: 1"), "defaults.yaml").content == SettingsFile(
        {"timeout": 1}
    )
    assert read(document("ProjectSettings", ""), "team-a/project.yaml").content == SettingsFile({})


@pytest.mark.parametrize("field", ["displayName", "initialPrompt", "state", "userContext"])
def test_settings_cannot_set_what_belongs_to_one_session(field):
    (found,) = problems(document("SessionDefaults", f"{field}: x"), "defaults.yaml")
    assert f"spec.{field}: unknown field" in found


def test_the_platforms_project_settings_are_accepted_with_warnings():
    spec = "groupAccess: [{groupName: a, role: admin}]\nrunnerSecretsName: x\nrepositories: []"
    text = document("ProjectSettings", spec)
    assert problems(text, "team-a/project.yaml") == []
    assert warnings(text, "team-a/project.yaml") == [
        f"team-a/project.yaml:{line}:3: spec.{field}: has no effect here: only the platform uses it"
        for line, field in ((4, "groupAccess"), (6, "repositories"))
    ]


def test_capabilities_are_declared_with_the_installations_defaults():
    text = document("SessionDefaults", "capabilities: {sidecar: natve}")
    assert problems(text, "defaults.yaml") == [
        (
            "defaults.yaml:4:27: spec.capabilities.sidecar: must be native or plain; "
            "did you mean `native`?"
        )
    ]


def test_a_policy_has_defaults():
    assert read(document("Policy", ""), "policy.yaml").content == PolicyFile(Policy())
    spec = (
        "installation: prod\nnamespaces: [a, b]\nallowEmpty: true\nonConflict: report\n"
        "budgets: {deletes: {percent: 10, atLeast: 3}, restarts: {percent: 0}}\n"
        "allowDeletes: [a/x]\nallowRestarts: [b/y]\nmask: ['*_DSN']"
    )
    assert read(document("Policy", spec), "policy.yaml").content == PolicyFile(
        Policy(
            installation="prod",
            namespaces=frozenset({"a", "b"}),
            deletes=Budget(10, 3),
            restarts=Budget(0, 1),
            allow_deletes=frozenset({"a/x"}),
            allow_restarts=frozenset({"b/y"}),
            allow_empty=True,
            on_conflict=OnConflict.REPORT,
            mask=("*_DSN",),
        )
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("installation: A", "4:17: spec.installation: must be lower-case letters, digits and `-`"),
        ("namespaces: [a, a]", "4:19: spec.namespaces[1]: is the same as spec.namespaces[0]"),
        ("allowDeletes: [x]", "4:18: spec.allowDeletes[0]: must be `<namespace>/<session>`"),
        (
            "budgets: {deletes: {percent: 101}}",
            "4:32: spec.budgets.deletes.percent: must be from 0 to 100",
        ),
        (
            "budgets: {deltes: {}}",
            "4:13: spec.budgets.deltes: unknown field; did you mean `deletes`?",
        ),
        ("mask: ['(']", "4:10: spec.mask[0]: must be a pattern such as `*_DSN`"),
        ("onConflict: ignore", "4:15: spec.onConflict: must be heal or report"),
    ],
)
def test_an_invalid_policy_is_refused(spec, expected):
    assert problems(document("Policy", spec), "policy.yaml") == [f"policy.yaml:{expected}"]
