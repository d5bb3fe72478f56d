"""What the runner's start needs: image, model key, folders, state directory, ports."""

import pytest

from reconcile.core.model import SessionId
from reconcile.core.spec.assemble import assemble_tree
from tests.core.spec.documents import document, problems, read, session
from tests.core.spec.trees import names, tree

PLATFORM = "runner: {image: 'registry.example/agents/vteam_claude_runner:latest'}\n"
DEFAULTS = "defaults.yaml"
MISSING_IMAGE = (
    "defaults.yaml: spec.image: is missing: add the line `image: <registry>/<name>:<tag>` to "
    "`spec` of defaults.yaml, the image with `reconcile-runner` and `reconcile-mirror`"
)
NEEDED = f"{MISSING_IMAGE}; needed by "


def alone(*texts, defaults=None):
    """Sessions without a defaults.yaml that sets an image."""
    files = [read(document("Policy", "allow: {}"), "policy.yaml")]
    if defaults is not None:
        files.append(read(document("SessionDefaults", defaults), DEFAULTS))
    files += [read(text, f"team-a/s{number}.yaml") for number, text in enumerate(texts)]
    return assemble_tree(files)


def spec_of(spec, **files):
    found = tree(team_a__x=session(spec), **files)
    assert not found.problems
    return found.sessions[0].spec


def errors(spec, **files):
    return [str(each) for each in tree(team_a__x=session(spec), **files).problems]


CUSTOM = "storage: {mode: custom, secretName: s3}"


@pytest.mark.parametrize("protocol", ["ag-ui", "none"])
def test_a_stored_workspace_needs_the_image(protocol):
    spec = f"runner: {{image: a, protocol: {protocol}}}\n{CUSTOM}"
    found = alone(session(spec))
    assert [str(each) for each in found.problems] == [f"{NEEDED}session team-a/fix-login"]
    assert not found.sessions
    assert not alone(session(spec), defaults="image: ours:1").problems


def test_a_missing_image_is_reported_once_with_one_of_its_sessions():
    text = f"runner: {{image: a}}\n{CUSTOM}"
    found = alone(session(text, name="b"), session(text, name="a"), session(text, name="c"))
    assert [str(each) for each in found.problems] == [f"{NEEDED}session team-a/a and 2 more"]
    assert found.broken == {SessionId("team-a", name) for name in "abc"}
    assert found.unreadable == {"team-a"}


def test_without_the_image_an_agent_has_nothing_to_do_and_that_is_said():
    text = "runner: {image: a}"
    found = alone(session(text, name="b"), session(text, name="a"))
    assert not found.problems
    assert len(found.sessions) == 2
    assert [str(each) for each in found.warnings if each.field == "spec.image"] == [
        f"{MISSING_IMAGE}: without it no repository is cloned and no prompt is delivered, so the "
        "agent of session team-a/a and 1 more does nothing"
    ]
    other = document("SessionDefaults", "runner: {image: a, protocol: none}")
    assert not [
        each
        for each in tree(defaults=other, team_a__x=session("")).warnings
        if each.field == "spec.image"
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("registry.example/ours:1", "registry.example/ours:1"),
        ("7", "..."),
        ("'a secret'", "..."),
        ("null", "..."),
    ],
)
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("SessionDefaults", DEFAULTS),
        ("ProjectSettings", "team-a/project.yaml"),
        ("AgenticSession", "team-a/x.yaml"),
    ],
)
def test_the_former_name_of_the_image_prints_the_new_line(kind, path, value, shown):
    spec = f"mirror: {{image: {value}}}"
    text = session(spec) if kind == "AgenticSession" else document(kind, spec)
    line = 6 if kind == "AgenticSession" else 4
    assert problems(text, path) == [
        (
            f"{path}:{line}:12: spec.mirror.image: is now the image of all our containers: remove "
            f"it here, and add the line `image: {shown}` to `spec` of defaults.yaml"
        )
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", ".claude"),
        ("environmentVariables: {RUNNER_TYPE: gemini-cli}", ".gemini"),
        ("environmentVariables: {RUNNER_TYPE: langgraph}", ".claude"),
        ("environmentVariables: {RUNNER_TYPE: gemini-cli, RUNNER_STATE_DIR: .own}", ".own"),
        ("runner: {stateDir: .agent/state}", ".agent/state"),
        ("runner: {stateDir: .a}\nenvironmentVariables: {RUNNER_STATE_DIR: .a}", ".a"),
    ],
)
def test_the_state_directory_is_that_which_the_runner_uses(spec, expected):
    assert spec_of(spec)["runner"]["stateDir"] == expected


def test_the_state_directory_can_be_chosen_for_all_sessions():
    defaults = document("SessionDefaults", "environmentVariables: {RUNNER_TYPE: gemini-cli}")
    assert spec_of("", defaults=defaults)["runner"]["stateDir"] == ".gemini"


STATE_DIR = (
    "must be a folder of the workspace such as .claude, and none of "
    ".reconcile-mirror-restoring, .session, artifacts, file-uploads, repos, workflows"
)


@pytest.mark.parametrize(
    "value",
    [
        "..",
        ".",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        "a/..",
        "'a b'",
        "''",
        "repos",
        "repos/x",
        ".session",
        "artifacts",
        "file-uploads",
        "workflows/a",
        "-a",
        "a/-b",
    ],
)
def test_a_state_directory_is_a_folder_of_its_own_in_the_workspace(value):
    field = "spec.runner.stateDir"
    assert errors(f"runner: {{stateDir: {value}}}") == [f"team-a/x.yaml:6:22: {field}: {STATE_DIR}"]


def test_a_variable_that_moves_the_state_directory_is_checked_like_the_setting():
    place = "team-a/x.yaml:6:26: spec.environmentVariables.RUNNER_STATE_DIR"
    assert errors("environmentVariables: {RUNNER_STATE_DIR: repos}") == [f"{place}: {STATE_DIR}"]
    both = "environmentVariables: {RUNNER_STATE_DIR: .a}\nrunner: {stateDir: .b}"
    assert errors(both) == [
        f"{place}: RUNNER_STATE_DIR is `.a`, and runner.stateDir is `.b`: set one of them"
    ]


@pytest.mark.parametrize("value", ["app", "/", "/app/", "/a/../b", "/workspace", "/workspace/a"])
def test_the_home_directory_is_an_absolute_path_outside_of_the_workspace(value):
    (error,) = errors(f"runner: {{home: {value}}}")
    assert error.startswith("team-a/x.yaml:6:18: spec.runner.home: must be an absolute path")
    assert spec_of("runner: {home: /workspaces/x}")["runner"]["home"] == "/workspaces/x"


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("runner: {port: 8095}", "6:12: spec.runner.port"),
        ("storage: {mode: custom, secretName: s}\nmirror: {port: 8095}", "7:12: spec.mirror.port"),
    ],
)
def test_the_port_of_the_bridge_is_taken(spec, place):
    message = "8095 is the port of the bridge: choose another one"
    assert errors(spec) == [f"team-a/x.yaml:{place}: {message}"]
    other = document("SessionDefaults", "runner: {image: a, protocol: none}")
    assert errors(spec, defaults=other) == []


def test_the_port_of_a_mirror_that_is_not_there_is_free():
    assert errors("mirror: {port: 8095}") == []


def test_each_repository_has_the_name_of_its_folder():
    urls = ["{url: 'https://h/a/x.git'}", "{url: 'git@h:b/y', name: x2}", "{url: 'git@h:z'}"]
    spec = spec_of(f"repos: [{', '.join(urls)}]")
    assert [repo["name"] for repo in spec["repos"]] == ["x", "x2", "z"]


def test_repositories_with_the_same_folder_are_refused():
    urls = "- url: https://h/a/x\n- url: https://h/y\n- url: git@h:b/x.git\n"
    named = "- url: git@h:z\n  name: y\n"
    assert errors(f"repos:\n{urls}{named}") == [
        f"team-a/x.yaml:{place}.url: is cloned into the same folder `{name}` as "
        f"spec.repos[{first}]: give one of them another `name`"
        for place, name, first in (
            ("9:5: spec.repos[2]", "x", 0),
            ("10:5: spec.repos[3]", "y", 1),
        )
    ]
    assert errors(f"repos:\n{urls}  name: other\n") == []


@pytest.mark.parametrize("name", ["../x", "-x", "''", ".", "..", "a/b", "a..b", ".git", "'a b'"])
def test_a_name_that_is_not_one_folder_is_refused(name):
    (error,) = errors(f"repos: [{{url: 'https://h/x', name: {name}}}]")
    assert error.startswith("team-a/x.yaml:6:38: spec.repos[0].name: must be one folder's name")


@pytest.mark.parametrize("last", ["-x", ".github", "..", "ü"])
def test_a_url_that_does_not_end_in_a_name_needs_one(last):
    repository, workflow = f"https://h/a/{last}", f"https://h/a/{last}.git"
    found = errors(f"repos: [{{url: '{repository}'}}]\nactiveWorkflow: {{gitUrl: '{workflow}'}}")
    assert found == [
        (
            f"team-a/x.yaml:6:12: spec.repos[0].url: ends in `{last}`, which is no name for a "
            "folder: add `name`"
        ),
        (
            "team-a/x.yaml:7:20: spec.activeWorkflow.gitUrl: must end in a name for a folder: "
            "letters, digits, `-`, `_`, `.`"
        ),
    ]
    assert not errors(f"repos: [{{url: '{repository}', name: x}}]")


@pytest.mark.parametrize(("count", "is_long"), [(370, False), (380, True)])
def test_a_list_of_repositories_that_does_not_fit_into_a_variable_is_refused(count, is_long):
    repos = "".join(f"- url: https://h/{'x' * 10}/{number:010}\n" for number in range(count))
    text = f"repos:\n{repos}  name: {'n' * 100}\n"
    found = errors(text)
    assert [each.partition(" has ")[0] for each in found] == [
        "team-a/x.yaml:7:5: spec.repos:"
    ] * is_long
    assert all(each.endswith("characters as JSON: must be under 30000") for each in found)


KEY = (
    "gives the runner no key for its model: add `- secretRef: {name: ambient-runner-secrets}`, a "
    "Secret with the key `ANTHROPIC_API_KEY`"
)


def key_warnings(spec, defaults=PLATFORM):
    found = tree(team_a__x=session(spec), defaults=document("SessionDefaults", defaults))
    assert names(found) == ["team-a/fix-login"]
    return [f"{each.field}: {each.message}" for each in found.warnings]


def test_the_platforms_runner_without_a_key_is_warned_of():
    assert key_warnings("") == [f"spec.runner.envFrom: {KEY}"]
    assert key_warnings("runner: {envFrom: [{configMapRef: {name: a}}]}") == [
        f"spec.runner.envFrom: {KEY}"
    ]


@pytest.mark.parametrize(
    "spec",
    [
        "runner: {envFrom: [{secretRef: {name: ambient-runner-secrets}}]}",
        "environmentVariables: {USE_VERTEX: '1'}",
        "environmentVariables: {CLAUDE_CODE_USE_VERTEX: '1'}",
        "environmentVariables: {GEMINI_API_KEY: x}",
        "environmentVariables: {GOOGLE_API_KEY: x}",
        "environmentVariables: {ANTHROPIC_API_KEY: x}",
        "runner: {protocol: none}",
        "runner: {image: 'registry.example/vteam_claude_runner/other:1'}",
    ],
)
def test_a_runner_with_a_key_or_of_ones_own_is_not_warned_of(spec):
    assert key_warnings(spec) == []


UNREAD = "has no effect: the platform's runner does not read it"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("interactive: true", "interactive"),
        ("timeout: 300", "timeout"),
        ("llmSettings: {temperature: 0.7}", "llmSettings.temperature"),
        ("llmSettings: {maxTokens: 4000}", "llmSettings.maxTokens"),
        ("autoPushOnComplete: false", "autoPushOnComplete"),
    ],
)
def test_a_setting_that_the_runner_does_not_read_is_reported_where_it_is_set(spec, field):
    sessions = {"team_a__x": session(spec, name="x"), "team_a__y": session("", name="y")}
    assert [f"{each.path}: {each.field}: {each.message}" for each in tree(**sessions).warnings] == [
        f"team-a/x.yaml: spec.{field}: {UNREAD}"
    ]
    found = tree(
        **sessions,
        defaults=document("SessionDefaults", spec),
        team_a__project=document("ProjectSettings", spec),
    )
    assert sorted(each.path for each in found.warnings) == [
        DEFAULTS,
        "team-a/project.yaml",
        "team-a/x.yaml",
    ]
    other = document("SessionDefaults", "runner: {image: a, protocol: none}")
    assert tree(**sessions, defaults=other).warnings == ()


@pytest.mark.parametrize(
    "spec",
    [
        "credentials: []",
        "inactivityTimeout: 60",
        "stopOnRunFinished: true",
        "onPrepareFailure: Continue",
        "onInterruptedRun: Continue",
    ],
)
def test_a_setting_without_effect_for_a_runner_without_protocol_is_reported(spec):
    field = spec.partition(":")[0]
    spec = spec.replace("[]", "[{provider: jira, secretName: j}]")
    project = document("ProjectSettings", "runner: {protocol: none}")
    (warning,) = tree(team_a__x=session(spec), team_a__project=project).warnings
    assert (warning.field, warning.message) == (
        f"spec.{field}",
        "has no effect with `runner.protocol: none`",
    )
    own = tree(team_a__x=session(f"{spec}\nrunner: {{protocol: ag-ui}}"), team_a__project=project)
    assert own.warnings == ()


@pytest.mark.parametrize("name", ["AGUI_TOKEN", "BACKEND_API_URL", "PROJECT_NAME", "USE_AGUI"])
def test_a_variable_that_templates_set_is_reserved(name):
    (error,) = errors(f"environmentVariables: {{{name}: x}}")
    assert error.endswith("is reserved: the session's other fields set it")
