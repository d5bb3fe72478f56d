"""JSON Schema agrees with validation, and the samples are valid by both."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconcile.core.spec.assemble import assemble_tree
from reconcile.core.spec.field_types import AnyType, ListType, MapType, ObjectType
from reconcile.core.spec.json_schema import build_combined_schema, build_kind_schema
from reconcile.core.spec.kinds import KINDS
from reconcile.core.spec.parse import parse_file
from reconcile.core.yaml_loader import load_documents
from tests.core.spec.documents import HEAD, document, problems, session

ROOT = Path(__file__).parents[3]
SAMPLES = sorted((ROOT / "desired").rglob("*.yaml"))
COMBINED = Draft202012Validator(build_combined_schema())

EVERY_FIELD = """\
displayName: Fix the login
initialPrompt: Find out why
interactive: true
llmSettings: {model: claude-sonnet-4-6, temperature: 1, maxTokens: 10}
timeout: 300
inactivityTimeout: 0
stopOnRunFinished: true
onPrepareFailure: Continue
onInterruptedRun: Continue
mcpServers:
  custom: {docs: {command: npx, args: [-y, docs], env: {A: b}}, old: null}
  disabled: [jira]
credentials:
- {provider: github, secretName: git, keys: {token: GITHUB_TOKEN}, host: git.example.com}
- {provider: mcp/docs, secretName: docs, keys: {token: a.b-c}}
repos:
- {url: 'https://host/team/a.git', name: shop, branch: main, autoPush: true}
- {url: 'ssh://git@host:22/team/b'}
- {url: 'git@host:team/c.git'}
activeWorkflow: {gitUrl: 'https://host/w', branch: v1.2, path: flows/fix}
environmentVariables: {A: b, LONG_NAME.x: "1", NONE: null}
userContext: {userId: someone, displayName: Some One, groups: [a, b]}
autoPushOnComplete: false
state: Running
maxDuration: 1h30m
runner:
  image: registry.example:5000/team/runner:1.2@sha256:%s
  command: [python]
  args: [-m, runner]
  protocol: none
  home: /home/agent
  stateDir: .agent/state
  caConfigMapName: authorities
  preStop: [sh, -c, 'true']
  port: 9000
  resources: {requests: {cpu: 0.5, memory: 1Gi}, limits: {cpu: 2, memory: 2Gi, nvidia.com/gpu: 1}}
  envFrom:
  - {secretRef: {name: a, optional: true}, prefix: A_}
  - {configMapRef: {name: b.c, optional: false}}
  imagePullSecrets: [pull]
  nodeSelector: {kubernetes.io/arch: amd64}
  tolerations:
  - {key: a, operator: Equal, value: b, effect: NoExecute, tolerationSeconds: 5}
  - {operator: Exists}
  priorityClassName: high
  terminationGracePeriodSeconds: 120
  serviceAccountToken: true
storage:
  {mode: custom, secretName: s3, bucket: my.bucket-1, endpoint: 'https://s3:9000', region: eu,
   tokenAudience: sts.example, caConfigMapName: ca, size: 5Gi}
mirror:
  {port: 9001, intervalSeconds: 10, staleSeconds: 20, flushSeconds: 30,
   bandwidth: 20MiB, partial: refuse, maxFiles: 5000, exclude: ['*.o'], defaultExcludes: false,
   singleWriter: true,
   resources: {requests: {cpu: 1}, limits: {memory: 1Gi}}}
network:
  allowFrom:
  - {namespace: gateway, podLabels: {app: ui}, port: 80}
  - {namespaceLabels: {team: a}}
update: {strategy: Recreate}
project: team-a
mainRepoName: a
mainRepoIndex: 0
""" % ("0" * 64)
NOTHING_SET = "\n".join(
    f"{name}: null" for name in KINDS["AgenticSession"].by_name["spec"].type.by_name
)
BAD = [
    "zzz: 1",
    "timeout: 0",
    "timeout: x",
    "interactive: yes",
    "state: stopped",
    "maxDuration: 8 hours",
    "maxDuration: -1",
    "llmSettings: {temperature: 3}",
    "repos: [{branch: main}]",
    "repos: [{url: /srv/x}]",
    "repos: [{url: 'https://token@host/x'}]",
    "repos: [{url: '-u'}]",
    "repos: [{url: 'ext::sh'}]",
    "repos: [{url: 'https://h/x', branch: -x}]",
    "environmentVariables: {1A: x}",
    "environmentVariables: {A: 1}",
    "runner: {image: A B}",
    "runner: {port: 70000}",
    "runner: {resources: {limits: {cpu: x}}}",
    "storage: {bucket: A}",
    "displayName: 1",
    "repos: [{url: 'https://h/x', name: ../x}]",
    "credentials: [{provider: git, secretName: a}]",
    "credentials: [{provider: github}]",
    "runner: {home: app}",
    "runner: {stateDir: repos}",
    "runner: {protocol: agui}",
]


def schema_accepts(text, schema=COMBINED):
    return all(schema.is_valid(document.value) for document in load_documents(text))


@pytest.mark.parametrize("kind", KINDS)
def test_every_schema_is_a_schema(kind):
    Draft202012Validator.check_schema(build_kind_schema(kind))
    Draft202012Validator.check_schema(COMBINED.schema)


@pytest.mark.parametrize("spec", ["", NOTHING_SET, EVERY_FIELD])
def test_valid_documents_are_valid_by_the_schema(spec):
    text = session(spec)
    assert problems(text) == []
    COMBINED.validate(load_documents(text)[0].value)
    Draft202012Validator(build_kind_schema("AgenticSession")).validate(
        load_documents(text)[0].value
    )


@pytest.mark.parametrize("spec", BAD)
def test_refused_documents_are_refused_by_the_schema(spec):
    text = session(spec)
    assert problems(text)
    assert not schema_accepts(text)
    assert not schema_accepts(text, Draft202012Validator(build_kind_schema("AgenticSession")))


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}metadata: {{}}",
        f"{HEAD}metadata: {{name: A}}",
        f"{HEAD}metadata: {{name: a, labels: {{a b: c}}}}",
        "[]",
        "kind: AgenticSession\nmetadata: {name: a}",
        "apiVersion: v1\nkind: AgenticSession\nmetadata: {name: a}",
        document("Pod"),
    ],
)
def test_a_document_that_is_not_a_session_is_refused_by_the_schema(text):
    assert problems(text)
    assert not schema_accepts(text)


@pytest.mark.parametrize(
    "repo",
    [
        "{input: {url: 'https://h/a'}}",
        "{input: {url: 'https://h/a', branch: null}, output: 5}",
        "{input: {url: 'https://h/a', branch: b}, output: {url: 'https://h/c'}, autoPush: true}",
        "{input: {url: 'https://h/a', autoPush: false}, branch: null}",
    ],
)
def test_a_repository_in_the_form_of_earlier_exports_is_valid_by_the_schema(repo):
    text = session(f"repos: [{repo}, {{url: 'https://h/z'}}]")
    assert problems(text) == []
    assert schema_accepts(text)
    assert schema_accepts(text, Draft202012Validator(build_kind_schema("AgenticSession")))


@pytest.mark.parametrize(
    "repo",
    [
        "{input: {branch: b}}",
        "{input: {url: null}}",
        "{input: {url: 5}}",
        "{input: 5}",
        "{input: null}",
        "{input: {url: 'https://h/a', input: {}}}",
        "{input: {url: 'https://h/a', output: {}}}",
        "{input: {url: 'https://h/a'}, url: 'https://h/b'}",
        "{input: {url: 'https://h/a'}, url: null}",
        "{input: {url: 'https://h/a', autoPush: true}, autoPush: false}",
        "{input: {url: 'https://h/a', branch: null}, branch: b}",
        "{input: {url: 'https://h/a'}, other: c}",
        "{output: {url: 'https://h/a'}}",
        "{url: 'https://h/a', output: {}}",
    ],
)
def test_a_repository_in_no_known_form_is_refused_by_the_schema(repo):
    text = session(f"repos: [{repo}]")
    assert problems(text)
    assert not schema_accepts(text)


@pytest.mark.parametrize(
    ("kind", "path"), [("SessionDefaults", "defaults.yaml"), ("ProjectSettings", "a/project.yaml")]
)
def test_only_sessions_have_repositories_of_earlier_exports(kind, path):
    text = document(kind, "repos: [{input: {url: 'https://h/a'}}]")
    assert problems(text, path)
    assert not schema_accepts(text)


def test_an_exported_list_is_valid_by_the_schema():
    session_item = load_documents(session(EVERY_FIELD))[0].value
    COMBINED.validate({"apiVersion": "v1", "kind": "List", "items": [session_item]})


def test_every_field_is_in_the_example_that_uses_every_field():
    (example,) = load_documents(EVERY_FIELD)
    assert not list(missing(KINDS["AgenticSession"].by_name["spec"].type, example.value, "spec"))


def missing(kind, value, path):
    """Paths of known fields that `value` does not set; the items of a list count together."""
    if isinstance(kind, ListType) and isinstance(kind.item, ObjectType):
        together = {name: child for item in value for name, child in item.items()}
        yield from missing(kind.item, together, f"{path}[]")
    elif isinstance(kind, ObjectType):
        for field in kind.fields:
            if field.name in value:
                yield from missing(field.type, value[field.name], f"{path}.{field.name}")
            elif not field.is_reserved:
                yield f"{path}.{field.name}"


def described(kind):
    """Every description in a table."""
    if isinstance(kind, ObjectType):
        for field in kind.fields:
            yield field.description
            yield from described(field.type)
    elif isinstance(kind, ListType):
        yield from described(kind.item)
    else:
        assert isinstance(kind, AnyType | MapType) or kind.schema


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_description_that_is_a_sentence(kind):
    assert all(text[0].isupper() and text.endswith(".") for text in described(KINDS[kind]))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_sample_is_valid_by_validation_and_by_its_schema(path):
    text = path.read_text()
    relative = path.relative_to(ROOT / "desired").as_posix()
    result = parse_file(relative, text.encode())
    assert (result.problems, result.warnings) == ((), ())
    first = text.splitlines()[0]
    schema = path.parent / first.removeprefix("# yaml-language-server: $schema=")
    validator = Draft202012Validator(json.loads(schema.read_text()))
    for one in load_documents(text):
        validator.validate(one.value)


def test_the_samples_together_declare_three_sessions():
    results = [
        parse_file(path.relative_to(ROOT / "desired").as_posix(), path.read_bytes())
        for path in SAMPLES
    ]
    found = assemble_tree(results, ["team-a", "team-b"])
    assert (found.problems, found.warnings, found.broken) == ((), (), frozenset())
    assert [str(one.id) for one in found.sessions] == [
        "team-a/fix-login",
        "team-b/upgrade-python",
        "team-b/weekly-report",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_schemas_for_editors_are_those_of_the_tables(kind):
    stored = json.loads((ROOT / "docs" / "schema" / f"{kind}.json").read_text())
    assert stored == build_kind_schema(kind)
