"""The value of a secret field is in no output."""

import json

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.errors import InvalidError
from tests.session_files import GENEROUS, policy_text

CANARIES = ["c4n4ryOne!", "c4n4ryTwo!", "c4n4ryThree!", "c4n4ryFour!", "c4n4ryFive!"]
SPEC = """\
initialPrompt: work
userContext: {{userId: u}}
environmentVariables:
  API_TOKEN: "{0}"
  DB_PASSWORD: "{1}"
  DATABASE_DSN: "{2}"
  CALLBACK: "https://bob:{3}@example.com/"
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
