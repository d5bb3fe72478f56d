"""The value of a secret field is in no output."""

import json
import re

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.errors import InvalidError
from tests.session_files import GENEROUS, policy_text

CANARIES = ["c4n4ryOne!", "c4n4ryTwo!", "c4n4ryThree!", "c4n4ryFour!", "c4n4ryFive!"]
CANARIES += ["c4n4rySix!", "c4n4rySeven!", "c4n4ryEight$!", "c4n4ryNine!"]
SPEC = """\
initialPrompt: work
userContext: {{userId: u}}
environmentVariables:
  API_TOKEN: "{0}"
  DB_PASSWORD: "{1}"
  DATABASE_DSN: "{2}"
  CALLBACK: "https://bob:{3}@example.com/"
mcpServers:
  custom:
    search: {{command: search, env: {{API_TOKEN: "{5}"}}, args: ["--api-key={6}"]}}
    wiki: {{url: "https://wiki.example", headers: {{X-Any: "{7}", Authorization: "Bearer {8}"}}}}
update: {{strategy: Recreate}}
"""
POLICY = policy_text(GENEROUS, 'mask: ["*_DSN"]')
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: "{{ session.name }}-key"}
stringData: {key: "%s"}
"""


@pytest.fixture
def secrets(tmp_path, tree):
    own = tmp_path / "templates"
    own.mkdir()
    (own / "key.yaml.j2").write_text(SECRET % CANARIES[4])
    tree.write("policy.yaml", POLICY).add("one", SPEC.format(*CANARIES))
    return lambda command, *more: tree.go(command, "--templates", str(own), *more)


def check(*ended):
    for each in ended:
        shown = each.out + each.err
        assert not [canary for canary in CANARIES if canary in shown or canary[:-1] in shown]


@pytest.mark.parametrize("arguments", [(), ("-o", "json"), ("-v",)])
def test_of_a_first_apply(secrets, arguments):
    check(*(secrets(command, *arguments) for command in ("validate", "diff", "apply", "status")))
    check(secrets("render"))


@pytest.mark.parametrize("arguments", [(), ("-o", "json"), ("-v",)])
def test_of_a_change(secrets, tree, arguments):
    assert secrets("apply").code == 0
    others = [f"{canary[:-1]}-new!" for canary in CANARIES]
    tree.add("one", SPEC.format(*others))
    ended = secrets("diff", *arguments)
    assert ended.code == 1
    check(ended, secrets("apply", *arguments), secrets("status", *arguments))


@pytest.mark.parametrize("arguments", [(), ("-o", "json")])
def test_of_drift(secrets, tree, arguments):
    assert secrets("apply").code == 0
    tree.edit("Secret", "one-key", {"op": "replace", "path": "/data/key", "value": "YzRuNHJ5"})
    write = {
        "op": "replace",
        "path": "/data/INITIAL_PROMPT",
        "value": f"https://a:{CANARIES[0]}@b/",
    }
    tree.edit("ConfigMap", "one-inputs", write)
    ended = secrets("diff", *arguments)
    assert ended.code == 1
    check(ended, secrets("apply", *arguments))


@pytest.mark.parametrize("arguments", [(), ("-o", "json")])
def test_of_broken_files(secrets, tree, arguments):
    broken = SPEC.replace("initialPrompt", "nonsense").replace('"{1}"', '["{1}"]')
    broken += "repos: [{{url: 'https://ann:{0}@git.example.com/a.git'}}]"
    tree.add("one", broken.format(*CANARIES))
    for command in ("validate", "diff", "apply"):
        ended = secrets(command, *arguments)
        assert ended.code == 3
        check(ended)


@pytest.mark.parametrize("form", ["text", "json"])
def test_of_a_refusal_that_quotes_the_object(secrets, tree, monkeypatch, form):
    apply = EmbeddedCluster.apply

    def refuse(self, body, options):
        if body["kind"] == "Pod":
            quoted = f"Pod is invalid: spec: Forbidden: {json.dumps(body)}: {body['spec']}"
            raise InvalidError(quoted, ("spec",))
        return apply(self, body, options)

    monkeypatch.setattr(EmbeddedCluster, "apply", refuse)
    ended = secrets("apply", "-o", form)
    assert ended.code == 5
    assert "Pod is invalid" in ended.out
    check(ended, secrets("status", "-o", "json"), secrets("status", "-o", "wide"))
    record = next(o for o in tree.objects() if o["metadata"]["name"] == "session-one")
    assert "Pod is invalid" in record["data"]["status"]
    assert not [canary for canary in CANARIES if canary in record["data"]["status"]]


@pytest.mark.parametrize("teller", ["a-first", "z-last"])
def test_a_secret_of_one_session_is_hidden_in_all_others_whatever_the_order(tree, teller):
    tree.write("policy.yaml", POLICY)
    tree.add(teller, f"environmentVariables: {{DB_PASSWORD: {CANARIES[0]}}}")
    quoting = f"""\
initialPrompt: log in with {CANARIES[0]} and look
environmentVariables: {{NOTE: "{CANARIES[0]}"}}
runner: {{args: [echo, "{CANARIES[0]}"]}}
"""
    tree.add("middle", quoting)
    check(tree.go("render"), tree.go("validate"))
    for form in ("text", "json", "markdown", "unified", "github"):
        check(tree.go("diff", "-o", form))
    check(tree.go("apply"))
    tree.add("middle", quoting.replace("and look", "and write"))
    check(*(tree.go("diff", "-v", "-o", form) for form in ("text", "json", "markdown")))
    check(tree.go("apply", "-v"))


def test_a_secret_of_a_file_is_hidden_in_errors_about_others_and_itself(tree):
    tree.write("policy.yaml", POLICY)
    tree.add("one", f"environmentVariables: {{DB_PASSWORD: {CANARIES[0]}}}\n{CANARIES[1]}: 1")
    tree.add("two", f'{CANARIES[0]}: 1\nenvironmentVariables: {{A_TOKEN: "{CANARIES[1]}"}}')
    ended = tree.go("validate")
    assert ended.code == 3
    check(ended, tree.go("validate", "-o", "json"), tree.go("diff", "-o", "markdown"))


def test_render_shows_no_digest_next_to_a_short_secret(tree):
    tree.add("one", 'environmentVariables: {DOOR_TOKEN: "4711"}\ninitialPrompt: do it')
    shown = tree.go("render").out
    assert "\u2039masked #" in shown
    assert not re.search(r"\b[0-9a-f]{64}\b", shown)
    document = json.loads(tree.go("diff", "-o", "json").out)
    assert document["sessions"][0]["digest"].startswith("\u2039masked")


def test_what_only_sounds_secret_stays_visible(tree):
    variables = "AUTH_ENABLED: 'true', SECRETS_MANAGER_REGION: eu-west-1, R: eu-west-1"
    spec = f"environmentVariables: {{{variables}}}"
    tree.add("one", f"{spec}\ninitialPrompt: see https://host/items?code=image&key=name")
    assert "\u2039masked" not in tree.go("render").out


@pytest.mark.parametrize("arguments", [(), ("-o", "json"), ("-v",)])
def test_it_cannot_be_found_by_trying_from_any_digest(tree, arguments):
    digests = set()
    for code in ("4711", "4712"):
        tree.add("one", f'environmentVariables: {{DOOR_TOKEN: "{code}"}}')
        shown = tree.go("diff", *arguments).out
        digests.add(tuple(re.findall(r"\b[0-9a-f]{64}\b", shown)))
    assert len(digests) == 1
    assert digests != {()}


def test_the_status_shows_no_digest_of_a_session_with_a_secret(tree):
    tree.add("one", 'environmentVariables: {DOOR_TOKEN: "4711"}')
    assert tree.go("apply").code == 0
    for arguments in (("-o", "wide"), ("-o", "json")):
        assert re.search(r"\b[0-9a-f]{64}\b", tree.go("status", *arguments).out) is None
