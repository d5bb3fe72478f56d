"""Which values are masked, and that equal and changed values can be distinguished."""

import base64
import json

import pytest

from reconcile.core.changes import ABSENT, Commit, FieldChange, InPlace
from reconcile.core.mask.known_secrets import build_secret_name_matcher, is_reference_name
from reconcile.core.mask.masker import Masker
from reconcile.core.mask.objects import _MAX_DEPTH
from reconcile.core.model import ObjectRef

CANARY = "c4nary-Zx81-value"
POD = ObjectRef("", "Pod", "team-a", "x")


def mark(number: int) -> str:
    return f"\u2039masked #{number}\u203a"


def masked_variable(masker, name, value):
    shown = masker.mask_object(pod_with({"name": name, "value": value}))
    return shown["spec"]["containers"][0]["env"][0]["value"]


def pod_with(*env, **container):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "runner", "env": list(env), **container}]},
    }


SECRET_NAMES = [
    "TOKEN",
    "API_TOKEN",
    "GITHUB_TOKEN_2",
    "clientSecret",
    "DB_PASSWORD",
    "PGPASSWORD",
    "ROOT_PASSWD",
    "ANTHROPIC_API_KEY",
    "APIKEY",
    "apiKey",
    "TLS_PRIVATE_KEY",
    "GOOGLE_CREDENTIALS",
    "REDIS_AUTH",
    "AWS_ACCESS_KEY_ID",
    "SESSION_KEY",
    "COOKIE",
    "SENTRY_DSN",
    "DB_CONNECTION_STRING",
    "DB_PASS",
    "x-api-key",
    "example.com/bot-token",
    "API_TOKENS",
    "DBPASS",
    "PGPASS",
    "ADMIN_PASS_2",
    "PASS",
    "PWD",
    "ROOT_PWD",
    "GITHUB_PAT",
    "SMTP_PW",
    "ENCRYPTION_SALT",
    "SALT",
    "OPENAI_KEY",
    "STRIPE_KEY",
    "FERNET_KEY",
    "gpg-key",
    "WIFI_PSK",
    "DOOR_PIN",
    "STRIPE_KEY_LIVE",
    "client-key-data",
    "STRIPE_SK",
    "PWD_HASH",
    "PASSWORDHASH",
    "TS_AUTHKEY",
    "DB_PASSWORT",
    "WEBHOOK_HMAC",
    "PASSWORD_PEPPER",
    "WALLET_MNEMONIC",
    "RECOVERY_CODES",
    "STRIPE_KEY_PRIMARY",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_of_a_secret_is_recognised(name):
    assert build_secret_name_matcher(())(name)


@pytest.mark.parametrize(
    "name",
    [
        "TOKENIZER",
        "MAX_TOKENS",
        "LLM_MAX_TOKENS",
        "maxTokens",
        "KEYBOARD",
        "AUTHOR",
        "PUBLIC_KEY",
        "PASS_THROUGH",
        "BYPASS",
        "COMPASS_URL",
        "PATH",
        "PATTERN",
        "KEY",
        "MONKEY",
        "PARTITION_KEY",
        "topologyKey",
        "PINNED",
        "SALTED",
        "MODEL",
        "SECRETARY",
        "CACHE_KEY",
        "ROUTING_KEY",
        "CACHE_KEY_DEFAULT",
        "PROXY_PASS",
        "PAD_TOKEN",
        "ERLANG_OTP",
        "KEY_DATA",
        "HMAC",
        "",
        "123",
    ],
)
def test_a_name_that_only_resembles_one_is_not_recognised(name):
    assert not build_secret_name_matcher(())(name)


def test_the_policy_adds_names_regardless_of_case():
    is_secret = build_secret_name_matcher(("*_pin", "LICENCE*"))
    assert is_secret("DOOR_PIN")
    assert is_secret("licence_2026")
    assert not is_secret("PINBOARD")


@pytest.mark.parametrize("name", ["secretName", "TOKEN_FILE", "AUTH_TYPE"])
def test_a_name_that_refers_to_a_secret_is_a_reference(name):
    assert is_reference_name(name)
    assert not is_reference_name("")


def test_the_data_of_a_secret_is_hidden_for_all_keys():
    encoded = base64.b64encode(CANARY.encode()).decode()
    body = {"kind": "Secret", "type": "Opaque", "data": {"a": encoded}, "stringData": {"b": CANARY}}
    shown = Masker().mask_object(body)
    assert shown["type"] == "Opaque"
    assert shown["data"] == {"a": mark(1)}
    assert shown["stringData"] == {"b": mark(1)}, "the same value, encoded or not"


def test_data_that_is_not_base64_is_hidden_as_it_is():
    shown = Masker().mask_object({"kind": "Secret", "data": {"a": "!!", "b": "/w==", "c": None}})
    assert shown["data"] == {"a": mark(1), "b": mark(2), "c": None}


def test_an_environment_variable_is_hidden_by_its_name():
    shown = Masker().mask_object(
        pod_with(
            {"name": "API_TOKEN", "value": CANARY},
            {"name": "MAX_TOKENS", "value": "4000"},
            {"name": "BOT_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
        )
    )
    assert shown["spec"]["containers"][0]["env"] == [
        {"name": "API_TOKEN", "value": mark(1)},
        {"name": "MAX_TOKENS", "value": "4000"},
        {"name": "BOT_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
    ]


def test_fields_of_kubernetes_are_shown_even_with_names_of_secrets():
    spec = {
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "pull-token"}],
        "volumes": [
            {"name": "token", "secret": {"secretName": "runner-token"}},
            {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        ],
    }
    assert Masker().mask_object({"kind": "Pod", "spec": spec})["spec"] == spec


@pytest.mark.parametrize("field", ["data", "annotations", "labels", "environmentVariables"])
def test_maps_with_free_keys_are_hidden_by_name(field):
    shown = Masker().mask_object(
        {"kind": "ConfigMap", field: {"api-token": CANARY, "mode": "fast"}}
    )
    assert shown[field] == {"api-token": mark(1), "mode": "fast"}


def test_everything_below_a_secret_key_is_hidden():
    nested = {"credentials": {"user": "u", "list": [1, None, {"name": "a", "value": "b"}]}}
    shown = Masker().mask_object({"environmentVariables": nested})["environmentVariables"]
    inner = {"name": mark(3), "value": mark(4)}
    assert shown["credentials"] == {"user": mark(1), "list": [mark(2), None, inner]}


def test_a_field_of_unknown_structure_is_hidden_by_its_name():
    assert Masker().mask_object({"spec": {"password": CANARY, "authEnabled": True}}) == {
        "spec": {"password": mark(1), "authEnabled": True}
    }


def test_arguments_of_a_secret_option_are_hidden():
    args = ["--token", CANARY, "--token-file", "/run/x", f"--password={CANARY}", "--", "token", "x"]
    shown = Masker().mask_object(pod_with(args=args))["spec"]["containers"][0]["args"]
    assert shown == [
        *("--token", mark(1), "--token-file", "/run/x"),
        *(f"--password={mark(1)}", "--", "token", "x"),
    ]


def test_the_annotation_of_kubectl_is_hidden_and_its_secrets_are_learned():
    applied = json.dumps(
        {"kind": "Secret", "data": {"a": base64.b64encode(b"old-s3cret").decode()}}
    )
    key = "kubectl.kubernetes.io/last-applied-configuration"
    masker = Masker()
    assert masker.mask_object({"metadata": {"annotations": {key: applied}}}) == {
        "metadata": {"annotations": {key: mark(1)}}
    }
    assert masker.mask_text("was old-s3cret") == f"was {mark(2)}"
    path = f"metadata.annotations[{key}]"
    shown_again = FieldChange(path, applied, ABSENT, InPlace(), Commit())
    assert masker.mask_change(POD, shown_again).before == mark(1)


def test_a_structure_too_deep_to_be_walked_is_hidden_whole():
    deep: dict = {"leaf": CANARY}
    for _ in range(_MAX_DEPTH * 2):
        deep = {"a": deep}
    shown = json.dumps(Masker().mask_object(deep), ensure_ascii=False)
    assert CANARY not in shown
    assert mark(1) in shown


def test_a_number_in_a_secret_field_differs_from_its_text():
    shown = Masker().mask_object({"annotations": {"token-a": 5, "token-b": "5"}})
    assert shown == {"annotations": {"token-a": mark(1), "token-b": mark(2)}}


@pytest.mark.parametrize(
    "value", [True, False, "true", "1", "0", "", "none", "default", "main", "basic", "OFF"]
)
def test_a_flag_is_no_secret_under_any_built_in_name(value):
    assert masked_variable(Masker(), "USE_AUTH", value) == value
    assert masked_variable(Masker(("USE_*",)), "USE_AUTH", value) == mark(1)


@pytest.mark.parametrize(
    "value", ["/etc/mirror/keys", "/run/secrets/a-b/token", "~/.netrc", "file:///etc/x", "/keys"]
)
def test_a_path_is_no_secret(value):
    name = "RECONCILE_MIRROR_SHARED_SECRET"
    assert Masker().mask_object(pod_with({"name": name, "value": value})) == pod_with(
        {"name": name, "value": value}
    )
    assert Masker().mask_text(f"{name}={value} x") == f"{name}={value} x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRETS_MANAGER_REGION", "eu-west-1"),
        ("CREDENTIAL_HELPER", "store"),
        ("SESSION_KEY_PREFIX", "session"),
        ("COOKIE_DOMAIN", "example.com"),
        ("TOKEN_LIMIT", "100"),
        ("TOKEN_BUDGET", "90000"),
        ("REQUIRE_PASSWORD", "when-idle"),
        ("API_KEY", "$(OTHER_KEY)"),
        ("API_KEY", "${OTHER_KEY}"),
        ("API_KEY", "{{ other }}"),
        ("STOP_SECRET", "<|endoftext|>"),
        ("TOKEN_LIMIT", 100),
        ("AUTH_URL", "https://login.example.com/realms/x?a=b"),
        ("DB_PASSWORD_FILE", "/keys/Db-1"),
    ],
)
def test_a_value_that_describes_a_secret_is_shown(name, value):
    assert masked_variable(Masker(), name, value) == value


def test_a_random_value_is_hidden_although_its_name_only_describes_a_secret():
    assert masked_variable(Masker(), "TOKEN_SOURCE", "a8f9d7c6b5e4a3f2d1c0") == mark(1)
    assert masked_variable(Masker(("*_URL",)), "AUTH_URL", "http://x") == mark(1)


def test_field_names_keys_and_object_names_are_never_hidden():
    body = pod_with(
        *(
            {"name": f"{name}_TOKEN", "value": name}
            for name in ("image", "runner", "team-a", "args")
        ),
        args=["say image, runner, team-a"],
        image="registry.example/team-a/runner:1",
    )
    body["metadata"] = {"name": "runner", "namespace": "team-a", "labels": {"image": "runner"}}
    masker = Masker()
    shown = masker.mask_object(body)
    for entry in shown["spec"]["containers"][0]["env"]:
        entry["value"] = entry["name"].removesuffix("_TOKEN")
    assert shown == body
    assert masker.mask_text("spec.image of Pod team-a/runner") == "spec.image of Pod team-a/runner"


def test_a_key_in_the_format_of_a_token_is_hidden():
    token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
    assert Masker().mask_object({"labels": {token: "a"}}) == {"labels": {mark(1): "a"}}


def test_the_password_of_a_login_command_is_hidden():
    args = ["login", "-u", "bob", "-p", "argpval1"]
    shown = Masker().mask_object(pod_with(args=args))["spec"]["containers"][0]["args"]
    assert shown == [*args[:-1], mark(1)]
    for other in (["run", "-p", "8080:80"], ["mkdir", "-p", "cache-1"]):
        assert Masker().mask_object(pod_with(args=other)) == pod_with(args=other)


@pytest.mark.parametrize(
    "words",
    [
        ("curl", "-u", f"bob:{CANARY}", "https://example.com"),
        ("curl", f"--user=bob:{CANARY}"),
        ("mysql", "-u", "root", f"-p{CANARY}"),
        ("redis-cli", "-a", CANARY, "ping"),
        ("sshpass", "-p", CANARY, "ssh", "host"),
        ("bash", "-c", f"sleep 1; ldapsearch -w {CANARY}"),
    ],
)
@pytest.mark.parametrize("field", ["args", "command"])
def test_the_words_of_a_command_are_searched_together(field, words):
    masker = Masker()
    assert CANARY not in json.dumps(masker.mask_object(pod_with(**{field: list(words)})))
    assert masker.mask_text(f"then {CANARY}") == f"then {mark(1)}"


def test_what_only_two_words_together_resemble_is_no_secret():
    body = pod_with(args=["the password is", "in 2 files"], command=["bearer", "of 1 token"])
    assert Masker().mask_object(body) == body


def test_a_value_is_hidden_by_its_name():
    masker = Masker(("*_PIN",))
    assert masked_variable(masker, "DOOR_PIN", "123456") == mark(1)
    assert masked_variable(masker, "MODEL", "opus") == "opus"


def test_keys_that_are_not_text_are_shown_as_text():
    assert Masker().mask_object({"labels": {1: "a"}}) == {"labels": {"1": "a"}}


def test_a_learned_value_is_hidden_everywhere():
    masker = Masker()
    masker.learn(pod_with({"name": "API_TOKEN", "value": CANARY}))
    encoded = base64.b64encode(CANARY.encode()).decode()
    assert masker.mask_text(f"bad {CANARY}!") == f"bad {mark(1)}!"
    assert masker.mask_text(f"{encoded} and {CANARY}") == f"{mark(1)} and {mark(1)}"


def test_a_learned_value_is_recognised_in_its_encodings():
    value = 'pa"ss\\w\u00f6rd %\nsecond line of it'
    masker = Masker()
    masker.learn({"kind": "Secret", "stringData": {"a": value}})
    once = json.dumps(value)
    for text in (value, once, json.dumps(once), json.dumps(value, ensure_ascii=False)):
        assert "rd %" not in masker.mask_text(text)
    assert masker.mask_text("  second line of it") == f"  {mark(1)}"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_learned_value_is_recognised_in_the_base64_of_a_longer_text(before, encode):
    masker = Masker()
    masker.learn({"kind": "Secret", "stringData": {"a": f"{CANARY}?>~"}})
    text = encode(f"{before}{CANARY}?>~ and more".encode()).decode()
    assert text not in masker.mask_text(f"x {text} y")
    assert mark(1) in masker.mask_text(f"x {text} y")


@pytest.mark.parametrize(
    "document",
    [
        {"passwords": [CANARY]},
        {"db": {"credentials": {"value": CANARY}}},
        [{"key": "API_KEY", "value": CANARY}],
    ],
)
def test_all_below_a_secret_name_of_a_document_is_learned(document):
    masker = Masker()
    masker.learn({"kind": "ConfigMap", "data": {"a.json": json.dumps(document)}})
    assert masker.mask_text(f"again {CANARY}") == f"again {mark(1)}"


def test_references_in_a_document_of_kubernetes_are_no_secrets():
    pod = {"kind": "Pod", "spec": {"volumes": [{"name": "a", "secret": {"secretName": "db-1"}}]}}
    masker = Masker()
    masker.learn({"kind": "ConfigMap", "data": {"pod.json": json.dumps(pod)}})
    assert masker.mask_text("Secret db-1") == "Secret db-1"


def test_a_document_within_a_text_is_searched_too():
    masker = Masker()
    document = json.dumps({"env": [{"name": "API_TOKEN", "value": CANARY}]})
    masker.learn({"kind": "ConfigMap", "data": {"pod.json": document, "broken": "{", "list": "[]"}})
    assert masker.mask_text(f"again {CANARY}") == f"again {mark(1)}"


def test_a_password_in_a_url_is_learned():
    masker = Masker()
    masker.learn({"spec": {"url": f"https://me:{CANARY}@host"}})
    assert masker.mask_text(f"login with {CANARY} failed") == f"login with {mark(1)} failed"


@pytest.mark.parametrize("value", ["abc", "1234", "password", " x "])
def test_a_common_value_is_hidden_in_its_field_only(value):
    masker = Masker()
    env = masker.mask_object(pod_with({"name": "API_TOKEN", "value": value}))["spec"]["containers"][
        0
    ]
    assert env["env"][0]["value"] == mark(1)
    assert masker.mask_text(f"it is {value} here") == f"it is {value} here"


def test_the_value_of_a_reference_that_the_policy_masks_is_hidden_in_its_field_only():
    masker = Masker(("SECRET_NAME",))
    env = masker.mask_object(pod_with({"name": "SECRET_NAME", "value": "fix-login"}))["spec"]
    assert env["containers"][0]["env"][0]["value"] == mark(1)
    assert masker.mask_text("Pod fix-login") == "Pod fix-login"


def test_a_short_value_is_known_as_a_whole_word_only():
    masker = Masker()
    masker.learn(pod_with({"name": "API_TOKEN", "value": "test"}))
    assert masker.mask_text("latest tests, test!") == f"latest tests, {mark(1)}!"


def test_equal_values_have_equal_marks_and_lengths_do_not_show():
    masker = Masker()
    a, b, c = (masked_variable(masker, "TOKEN", value) for value in ("x" * 9, "y" * 900, "x" * 9))
    assert (a, b, c) == (mark(1), mark(2), mark(1))


def test_values_that_share_a_line_keep_their_own_marks():
    masker = Masker()
    first = masked_variable(masker, "A_TOKEN", "abcdefgh")
    second = masked_variable(masker, "B_TOKEN", "abcdefgh\nijklmnop")
    assert (first, second) == (mark(1), mark(2))
    assert masker.mask_text("abcdefgh, ijklmnop") == f"{first}, {second}"


def test_overlapping_secrets_leave_nothing_between_them():
    masker = Masker()
    masker.learn(pod_with({"name": "A_TOKEN", "value": "abcdefghij"}))
    masker.learn(pod_with({"name": "B_TOKEN", "value": "ghijklmnop"}))
    assert masker.mask_text("abcdefghijklmnop") == mark(1)


def test_a_secret_that_overlaps_a_mark_replaces_all_of_it():
    masker = Masker()
    masker.learn(pod_with({"name": "A_TOKEN", "value": "#7\u203a and more"}))
    assert masker.mask_text(f"x {mark(7)} and more y") == f"x {mark(1)} y"


def test_what_becomes_a_secret_by_masking_is_masked_too():
    masker = Masker()
    masker.learn(pod_with({"name": "A_TOKEN", "value": "a b c d"}))
    masker.learn(pod_with({"name": "B_TOKEN", "value": "\u203a tail"}))
    once = masker.mask_text("a b c d tail")
    assert masker.mask_text(once) == once


def test_masking_twice_changes_nothing():
    masker = Masker()
    once = masker.mask_object(
        pod_with({"name": "API_TOKEN", "value": CANARY}, {"name": "N_TOKEN", "value": 7})
    )
    assert masker.mask_object(once) == once
    assert masker.mask_text(f"{mark(1)} token={mark(1)}") == f"{mark(1)} token={mark(1)}"


SERVER = {
    "command": "search",
    "args": ["--depth", "3", "--api-key", CANARY],
    "env": {"LEVEL": "debug", "REGION": "eu-west-1", "SEED": "x9Kq27LmZ81rTw40", "API_TOKEN": "s"},
    "headers": {"X-Session": "short", "Authorization": "Bearer ${TOKEN}", "X-On": "true"},
}


def assert_server_is_masked(server):
    assert server["command"] == "search"
    assert server["args"][:3] == ["--depth", "3", "--api-key"]
    assert server["args"][3].startswith("\u2039masked")
    shown = {**server["env"], **server["headers"]}
    assert {name for name, text in shown.items() if "\u2039masked" in text} == {
        *("SEED", "API_TOKEN", "X-Session", "Authorization"),
    }
    assert (shown["LEVEL"], shown["REGION"], shown["X-On"]) == ("debug", "eu-west-1", "true")


def test_the_variables_and_headers_of_an_mcp_server_are_masked_by_name_and_by_look():
    spec = {"mcpServers": {"custom": {"s": SERVER}}}
    assert_server_is_masked(
        Masker().mask_object({"spec": spec})["spec"]["mcpServers"]["custom"]["s"]
    )


@pytest.mark.parametrize("secret", [CANARY, "x9Kq27LmZ81rTw40", "pa$$wd-in-a-header", 'a"b\\c d'])
def test_the_secrets_of_json_in_a_variable_are_masked_in_it_and_in_every_text(secret):
    servers = {"custom": {"s": {"url": "https://a.example", "headers": {"X-Any": secret}}}}
    masker = Masker()
    text = json.dumps(servers).replace("$", "$$")
    masker.learn({"spec": {"mcpServers": servers}})
    assert json.dumps(secret)[1:-1] not in masked_variable(masker, "CUSTOM_MCP_SERVERS", text)
    for quoted in (f"is invalid: {text}", json.dumps(text), f"got {secret}"):
        shown = masker.mask_text(quoted)
        assert secret not in shown
        assert secret.replace("$", "$$") not in shown


def test_nested_settings_under_such_a_name_are_shown():
    body = {"env": {"production": {"replicas": "3"}, "count": 4}, "headers": {"count": 4}}
    assert Masker().mask_object(body) == body


CREDENTIAL = {"provider": "github", "secretName": "git", "keys": {"token": "GITHUB_PAT_1"}}


def test_a_credential_shows_its_secret_and_keys():
    spec = {"credentials": [CREDENTIAL]}
    assert Masker().mask_object({"spec": spec}) == {"spec": spec}
    text = masked_variable(
        Masker(), "RECONCILE_RUNNER_CREDENTIAL_SOURCES", json.dumps([CREDENTIAL])
    )
    assert json.loads(text)[0].items() >= {"provider": "github", "secretName": "git"}.items()


def test_a_token_in_place_of_a_key_is_hidden():
    token = "ghp_" + "a1B2" * 9
    credential = {**CREDENTIAL, "keys": {"token": token}}
    assert token not in str(Masker().mask_object({"spec": {"credentials": [credential]}}))
