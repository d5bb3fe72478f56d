"""Invalid values of a session's `spec` are refused with their location and a remedy."""

import pytest

from tests.core.spec.documents import problems, session, warnings

DURATION = "must be a duration such as 90m, 8h or 1h30m, or a number of seconds"
QUANTITY = "must be a quantity such as 500m, 2 or 8Gi"
IMAGE = "must be an image reference such as quay.io/team/runner:1.2"
BANDWIDTH = "must be bytes per second, at least 100kB, such as 20MiB"
BUCKET = "must be a bucket name: 3 to 63 lower-case letters, digits, `-` and `.`"
VARIABLE = "must be letters, digits, `_`, `-` and `.`, not beginning with a digit or `..`"
ENDPOINT = "must be a URL such as https://s3.example.com:9000, without user, password and query"
LINE = "must be one line without control characters"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1C", VARIABLE),
        ("'A B'", VARIABLE),
        ("'A=B'", VARIABLE),
        (".", VARIABLE),
        ("..a", VARIABLE),
        ("''", VARIABLE),
        ("Ä", VARIABLE),
        ("INITIAL_PROMPT", "is reserved: the session's other fields set it"),
    ],
)
def test_a_variable_name_that_kubernetes_or_the_runner_refuses_is_refused(name, message):
    (found,) = problems(session(f"environmentVariables:\n  {name}: x"))
    assert found.startswith("team-a/x.yaml:7:5: spec.environmentVariables")
    assert found.endswith(f": {message}")


@pytest.mark.parametrize(
    ("value", "what"),
    [("1", "a number"), ("1.5", "a decimal number"), ("true", "true or false")],
)
def test_a_variable_value_that_is_not_text_says_to_quote_it(value, what):
    assert problems(session(f"environmentVariables:\n  A: {value}")) == [
        f"team-a/x.yaml:7:8: spec.environmentVariables.A: must be text, not {what}: quote it"
    ]


def test_the_messages_never_repeat_a_value():
    secret = "s3cr3t-canary"
    spec = (
        f"state: {secret}\nmaxDuration: {secret}\ntimeout: {secret}\n"
        f"environmentVariables: [{secret}]\n"
        f"repos: [{{url: 'https://u:{secret}@h/x', branch: '{secret}..'}}]\n"
        f"llmSettings: {{temperature: {secret}, model: ' {secret}'}}\n"
        f"runner: {{image: ' {secret}', port: {secret}, tolerations: {secret}}}"
    )
    found = problems(session(spec))
    assert len(found) == 11
    assert secret not in "\n".join(found)


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ("maxDuration: 8 hours", "maxDuration", DURATION),
        ("maxDuration: ''", "maxDuration", DURATION),
        ("maxDuration: -5", "maxDuration", "must be from one second to 366 days"),
        ("maxDuration: 0s", "maxDuration", "must be from one second to 366 days"),
        ("maxDuration: 400d", "maxDuration", "must be from one second to 366 days"),
        ("maxDuration: 1.5", "maxDuration", "must be a duration, not a decimal number"),
        ("storage: {size: 5 Gi}", "storage.size", QUANTITY),
        ("storage: {size: -1}", "storage.size", QUANTITY),
        ("storage: {size: 1Gb}", "storage.size", QUANTITY),
        ("storage: {size: true}", "storage.size", "must be a quantity, not true or false"),
        ("storage: {bucket: A_b}", "storage.bucket", BUCKET),
        (
            "storage: {tokenAudience: ''}",
            "storage.tokenAudience",
            "must be an audience such as sts.amazonaws.com",
        ),
        (
            "mirror: {partial: no}",
            "mirror.partial",
            "must be use or refuse",
        ),
        ("mirror: {flushSeconds: 0}", "mirror.flushSeconds", "must be from 1 to 3600"),
        ("mirror: {bandwidth: 99kB}", "mirror.bandwidth", BANDWIDTH),
        ("mirror: {bandwidth: 20 MiB}", "mirror.bandwidth", BANDWIDTH),
        ("mirror: {bandwidth: 20}", "mirror.bandwidth", "must be text, not a number: quote it"),
        ("mirror: {port: 0}", "mirror.port", "must be from 1 to 65535"),
        ("storage: {bucket: ab}", "storage.bucket", BUCKET),
        ("storage: {bucket: a..b}", "storage.bucket", BUCKET),
        ("storage: {bucket: 10.0.0.1}", "storage.bucket", BUCKET),
        ("storage: {bucket: -ab}", "storage.bucket", BUCKET),
        ("storage: {endpoint: 'https://u:p@h'}", "storage.endpoint", ENDPOINT),
        (
            "storage: {mode: share}",
            "storage.mode",
            "must be shared, custom or none; did you mean `shared`?",
        ),
        ("runner: {image: 'a b'}", "runner.image", IMAGE),
        ("runner: {image: 'x:y:z'}", "runner.image", IMAGE),
        ("runner: {image: '-x'}", "runner.image", IMAGE),
        ("runner: {image: 'x@sha256:123'}", "runner.image", IMAGE),
        ("runner: {image: ''}", "runner.image", IMAGE),
        (f"runner: {{image: {'a' * 513}}}", "runner.image", "is longer than 512 characters"),
        ("runner: {port: 0}", "runner.port", "must be from 1 to 65535"),
        ("runner: {port: '8001'}", "runner.port", "must be a whole number, not text"),
        ("runner: {port: 80.5}", "runner.port", "must be a whole number, not a decimal number"),
        ("runner: {command: ls}", "runner.command", "must be a list, not text"),
        ("runner: {command: [1]}", "runner.command[0]", "must be text, not a number: quote it"),
        ("runner: {command: [null]}", "runner.command[0]", "must be text, not null"),
        (
            "runner: {terminationGracePeriodSeconds: 0}",
            "runner.terminationGracePeriodSeconds",
            "must be from 1 to 86400",
        ),
        (
            "runner: {imagePullSecrets: [a, b, a]}",
            "runner.imagePullSecrets[2]",
            "is the same as spec.runner.imagePullSecrets[0]",
        ),
        (
            "runner: {priorityClassName: High_}",
            "runner.priorityClassName",
            "must be lower-case letters, digits, `-` and `.`",
        ),
        (
            "runner: {nodeSelector: {a: b c}}",
            "runner.nodeSelector.a",
            "must be letters, digits, `-`, `_` and `.`",
        ),
        ("runner: {resources: {requests: {cpu: x}}}", "runner.resources.requests.cpu", QUANTITY),
        (
            "runner: {envFrom: [{prefix: A_}]}",
            "runner.envFrom[0]",
            "must have either `secretRef` or `configMapRef`",
        ),
        (
            "runner: {envFrom: [{secretRef: {name: a}, configMapRef: {name: a}}]}",
            "runner.envFrom[0]",
            "must have either `secretRef` or `configMapRef`",
        ),
        (
            "runner: {envFrom: [{secretRef: {}}]}",
            "runner.envFrom[0].secretRef",
            "`name` is missing",
        ),
        (
            "runner: {tolerations: [{operator: Exists, key: a, value: b}]}",
            "runner.tolerations[0]",
            "must not have `value` when `operator` is Exists",
        ),
        (
            "runner: {tolerations: [{effect: NoExecute}]}",
            "runner.tolerations[0]",
            "must have `key`, or `operator: Exists` for every taint",
        ),
        (
            "runner: {tolerations: [{key: a, tolerationSeconds: 1}]}",
            "runner.tolerations[0]",
            "must have `effect: NoExecute` when `tolerationSeconds` is set",
        ),
        (
            "network: {allowFrom: [{port: 1}]}",
            "network.allowFrom[0]",
            "must have `namespace`, `namespaceLabels` or `podLabels`",
        ),
        (
            "network: {allowFrom: [{namespace: a, namespaceLabels: {b: c}}]}",
            "network.allowFrom[0]",
            "must not have both `namespace` and `namespaceLabels`",
        ),
        ("repos: [{branch: main}]", "repos[0]", "`url` is missing"),
        ("repos: [null]", "repos[0]", "must be a mapping, not null"),
        ("repos: {}", "repos", "must be a list, not a mapping"),
        ("userContext: x", "userContext", "must be a mapping, not text"),
        ("environmentVariables: []", "environmentVariables", "must be a mapping, not a list"),
        ("interactive: yes", "interactive", "must be true or false, not text"),
        ("interactive: 1", "interactive", "must be true or false, not a number"),
        ("timeout: true", "timeout", "must be a whole number, not true or false"),
        ("timeout: 0", "timeout", "must be from 1 to 2147483647"),
        ("llmSettings: {temperature: 2.1}", "llmSettings.temperature", "must be from 0 to 2"),
        (
            "llmSettings: {temperature: '1'}",
            "llmSettings.temperature",
            "must be a number, not text",
        ),
        ("llmSettings: {model: ''}", "llmSettings.model", "must be a model's name"),
        ('displayName: "a\\nb"', "displayName", LINE),
        (f"displayName: {'x' * 1025}", "displayName", "is longer than 1024 characters"),
        (
            f"initialPrompt: {'ü' * 60001}",
            "initialPrompt",
            "is longer than 120000 bytes, more than a process accepts in a variable",
        ),
        ("state: stopped", "state", "must be Running or Stopped; did you mean `Stopped`?"),
        ("state: 7", "state", "must be Running or Stopped, not a number: quote it"),
        ("update: {strategy: Now}", "update.strategy", "must be WhenStopped or Recreate"),
    ],
)
def test_a_value_of_the_wrong_type_or_form_is_refused(spec, field, message):
    found = [line.partition(": ")[2] for line in problems(session(spec))]
    assert found == [f"spec.{field}: {message}"]


@pytest.mark.parametrize(
    ("spec", "field", "hint"),
    [
        ("initialPromt: x", "initialPromt", "; did you mean `initialPrompt`?"),
        ("InitialPrompt: x", "InitialPrompt", "; did you mean `initialPrompt`?"),
        ("priorityClassName: x", "priorityClassName", "; did you mean `runner.priorityClassName`?"),
        ("zzz: x", "zzz", ""),
        ("update: {zzz: x}", "update.zzz", "; known are strategy"),
        ("repos: [{url: 'https://h/x', brnach: x}]", "repos[0].brnach", "; did you mean `branch`?"),
        ("capabilities: {}", "capabilities", ""),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_known_one(spec, field, hint):
    found = [line.partition(": ")[2] for line in problems(session(spec))]
    assert found == [f"spec.{field}: unknown field{hint}"]


def test_a_field_without_effect_yet_is_warned_about():
    text = session("userContext: {groups: [a]}")
    (found,) = warnings(text)
    assert found.endswith(": spec.userContext.groups: is accepted, but has no effect yet")
    assert problems(text) == []


@pytest.mark.parametrize("field", ["project", "mainRepoName", "mainRepoIndex"])
def test_the_platforms_own_fields_are_warned_about(field):
    assert warnings(session(f"{field}: 1")) == [
        f"team-a/x.yaml:6:3: spec.{field}: has no effect here: only the platform uses it"
    ]


@pytest.mark.parametrize(
    "spec",
    ["stopOnRunFinished: false", "storage: {mode: none, size: 1Gi}", "storage: {secretName: null}"],
)
def test_a_default_value_is_not_warned_about(spec):
    assert warnings(session(spec)) == []
