"""Credentials: which fields and Secrets they may name, and what templates see of them."""

import pytest

from reconcile.core.spec.agent_fields import PROVIDER_FIELDS
from tests.core.spec.documents import document, session
from tests.core.spec.trees import names, tree


def credentials_of(text, **files):
    found = tree(team_a__x=session(f"credentials: [{text}]"), **files)
    assert not found.problems
    return found.sessions[0].spec["credentials"]


def errors(text, **files):
    found = tree(team_a__x=session(f"credentials: [{text}]"), **files)
    return [f"{each.field}: {each.message}" for each in found.problems]


@pytest.mark.parametrize("provider", PROVIDER_FIELDS)
def test_by_default_the_secrets_keys_have_the_names_of_the_fields(provider):
    (found,) = credentials_of(f"{{provider: {provider}, secretName: a}}")
    hosts = {"github": "github.com", "gitlab": "gitlab.com"}
    assert found == {
        "provider": provider,
        "secretName": "a",
        "keys": {field: field for field in PROVIDER_FIELDS[provider]},
        "host": hosts.get(provider),
    }


def test_keys_and_host_can_be_named():
    keys = "keys: {token: GITHUB_TOKEN, sshKey: ssh-privatekey}"
    (found,) = credentials_of(f"{{provider: github, secretName: a, {keys}, host: git.corp}}")
    assert found["keys"] == {"token": "GITHUB_TOKEN", "sshKey": "ssh-privatekey"}
    assert found["host"] == "git.corp"


def test_an_mcp_server_has_the_fields_that_it_names():
    (found,) = credentials_of("{provider: mcp/search-1, secretName: a, keys: {API_KEY: b.c}}")
    assert (found["keys"], found["host"]) == ({"API_KEY": "b.c"}, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{provider: github}", "spec.credentials[0]: `secretName` is missing"),
        ("{secretName: a}", "spec.credentials[0]: `provider` is missing"),
        ("{provider: 1, secretName: a}", "spec.credentials[0].provider: must be text"),
        (
            "{provider: gihub, secretName: a}",
            (
                "spec.credentials[0].provider: must be github, gitlab, jira, google, gerrit, "
                "coderabbit, kubeconfig or mcp/NAME; did you mean `github`?"
            ),
        ),
        ("{provider: mcp/../x, secretName: a}", "spec.credentials[0].provider: must be github"),
        ("{provider: jira, secretName: a, keys: 7}", "spec.credentials[0].keys: must be a mapping"),
        ("{provider: jira, secretName: a, keys: {url: a/b}}", "[0].keys.url: must be a key of a"),
        ("{provider: jira, secretName: a, keys: {a/b: c}}", "a/b]: must be a key of a Secret"),
        (
            "{provider: jira, secretName: a, keys: {apitoken: c}}",
            "`keys` has the unknown field `apitoken`; did you mean `apiToken`?",
        ),
        (
            "{provider: jira, secretName: a, keys: {zzz: c}}",
            "`keys` has the unknown field `zzz`; known are url, email, apiToken",
        ),
        (
            "{provider: jira, secretName: a, host: jira.corp}",
            "spec.credentials[0]: `host` is for github, gitlab, gerrit: jira has no repositories",
        ),
        (
            "{provider: mcp/a, secretName: a}",
            "`keys` is missing: it names the fields that the MCP server needs",
        ),
        ("{provider: github, secretName: a, host: 'https://h'}", "must be a host such as"),
        (
            (
                "{provider: jira, secretName: a}, {provider: github, secretName: a}, "
                "{provider: jira, secretName: b}"
            ),
            "spec.credentials[2]: is the same as spec.credentials[0]",
        ),
    ],
)
def test_a_credential_that_is_not_complete_is_refused(text, message):
    assert any(message in error for error in errors(text))


def test_two_unknown_providers_are_not_the_same():
    assert len(errors("{provider: 1, secretName: a}, {provider: 2, secretName: a}")) == 2


SHARED = "ambient-non-vertex-integrations"
WHOLE = f"must not be the whole Secret `{SHARED}`, which can have S3 keys"


def test_the_platforms_secret_for_integrations_is_never_taken_whole():
    (error,) = errors(f"{{provider: jira, secretName: {SHARED}}}")
    assert error == f"spec.credentials[0]: {WHOLE}: name its `keys` in `credentials`"
    (taken,) = errors(f"{{provider: mcp/a, secretName: {SHARED}, keys: {{a: S3_ACCESS_KEY}}}}")
    assert taken.endswith("must not take `S3_ACCESS_KEY`: keys of the store are for mirrors alone")
    assert not errors(f"{{provider: jira, secretName: {SHARED}, keys: {{apiToken: JIRA_TOKEN}}}}")
    assert not errors("{provider: mcp/a, secretName: own, keys: {a: S3_ACCESS_KEY}}")
    spec = f"runner: {{envFrom: [{{secretRef: {{name: {SHARED}}}}}]}}"
    (problem,) = tree(team_a__x=session(spec)).problems
    assert WHOLE in str(problem)
    project = document("ProjectSettings", f"runnerSecretsName: {SHARED}")
    (problem,) = tree(team_a__project=project).problems
    assert WHOLE in str(problem)


@pytest.mark.parametrize("text", ["[]", "{name: [a]}"])
def test_a_reference_of_the_wrong_type_is_named_alone(text):
    (problem,) = tree(team_a__x=session(f"runner: {{envFrom: [{{secretRef: {text}}}]}}")).problems
    assert problem.field.startswith("spec.runner.envFrom[0].secretRef")


def test_a_sessions_credentials_replace_those_of_its_project():
    jira, github = (f"{{provider: {name}, secretName: p}}" for name in ("jira", "github"))
    project = document("ProjectSettings", f"credentials: [{jira}, {github}]")
    found = tree(
        team_a__project=project,
        team_a__x=session("credentials: [{provider: jira, secretName: own}]", name="own"),
        team_a__y=session("", name="plain"),
    )
    own, plain = (one.spec["credentials"] for one in found.sessions)
    assert [(each["provider"], each["secretName"]) for each in own] == [("jira", "own")]
    assert [each["provider"] for each in plain] == ["jira", "github"]


RULES = document(
    "Policy",
    "allow: {secrets: [agent-*], repositoryHosts: [github.com], configMaps: [], images: ['*']}",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{provider: github, secretName: agent-git}", []),
        ("{provider: gerrit, secretName: agent-git}", []),
        ("{provider: github, secretName: x}", ["secretName: Secret `x` is not allowed"]),
        (
            "{provider: gitlab, secretName: agent-git}",
            ["host: repository host `gitlab.com` is not allowed"],
        ),
        (
            "{provider: github, secretName: agent-git, host: evil.example}",
            ["host: repository host `evil.example` is not allowed"],
        ),
    ],
)
def test_the_policy_bounds_the_secrets_and_the_hosts(text, expected):
    found = [each.partition(": the owners")[0] for each in errors(text, policy=RULES)]
    assert found == [f"spec.credentials[0].{each}" for each in expected]


def test_the_policy_bounds_the_certificate_authorities_of_the_runner():
    found = tree(policy=RULES, team_a__x=session("runner: {caConfigMapName: theirs}"))
    assert [each.field for each in found.problems] == ["spec.runner.caConfigMapName"]


def test_the_secrets_of_any_store_are_not_for_credentials():
    found = tree(
        team_a__x=session("credentials: [{provider: jira, secretName: s3}]", name="x"),
        team_a__y=session("storage: {mode: custom, secretName: s3}", name="y"),
    )
    assert names(found) == ["team-a/y"]
    assert [f"{each.field}: {each.message}" for each in found.problems] == [
        "spec.credentials[0].secretName: Secret `s3` has keys of the store: only mirrors may use it"
    ]


def test_a_credential_is_a_wish_unless_project_or_defaults_have_it():
    text = "credentials: [{provider: jira, secretName: pay}]"
    no_rules = document("Policy", "installation: a")

    def warned(**files):
        found = tree(policy=no_rules, **files).warnings
        return [f"{each.field}: {each.message}" for each in found if each.field != "spec.allow"]

    assert warned(team_a__x=session(text)) == [
        "spec.credentials[0]: gives the agent what is in Secret `pay`"
    ]
    project = document("ProjectSettings", text)
    assert warned(team_a__x=session(""), team_a__project=project) == []
