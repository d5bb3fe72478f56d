"""The cluster is found as kubectl finds it; errors name the available contexts."""

import json

import pytest

from reconcile.adapters.kube.kubeconfig import LoadingRules, resolve_context
from reconcile.core.errors import ClusterError
from tests.adapters.kube.kubeconfigs import document, written

SERVER = {"server": "https://one.example"}


def found(kubeconfig=None, context=None, account=None, **environ):
    where = LoadingRules(kubeconfig, context, environ)
    if account:
        where = LoadingRules(kubeconfig, context, environ, account)
    return resolve_context(where)


def refused(*arguments, **named):
    with pytest.raises(ClusterError) as caught:
        found(*arguments, **named)
    return str(caught.value)


def test_the_file_asked_for_wins_over_all_others(tmp_path):
    asked = written(tmp_path / "asked", {"server": "https://asked.example"})
    other = written(tmp_path / "other", SERVER)
    written(tmp_path / ".kube" / "config", SERVER)
    target = found(str(asked), KUBECONFIG=str(other), HOME=str(tmp_path))
    assert target.cluster["server"] == "https://asked.example"
    assert target.origin == f'context "main" of {asked}'


def test_the_environments_files_come_before_the_home_folder(tmp_path):
    other = written(tmp_path / "other", {"server": "https://other.example"})
    written(tmp_path / ".kube" / "config", SERVER)
    target = found(KUBECONFIG=f":{other}:", HOME=str(tmp_path))
    assert target.cluster["server"] == "https://other.example"


def test_the_home_folder_is_the_default(tmp_path):
    written(tmp_path / ".kube" / "config", SERVER, {"token": "t"})
    target = found(HOME=str(tmp_path), KUBECONFIG="")
    assert (target.cluster["server"], target.user) == ("https://one.example", {"token": "t"})


def test_files_are_merged_and_the_first_that_has_a_name_wins(tmp_path):
    first, second = document(SERVER), document({"server": "https://two.example"}, {"token": "2"})
    first["users"] = None
    del first["current-context"]
    second["contexts"].append({"name": "more", "context": {"cluster": "main", "user": "main"}})
    second["current-context"] = "more"
    paths = []
    for name, content in [("a", first), ("b", second)]:
        (tmp_path / name).write_text(json.dumps(content))
        paths.append(str(tmp_path / name))
    target = found(KUBECONFIG=":".join([str(tmp_path / "absent"), *paths]))
    assert (target.cluster["server"], target.user) == ("https://one.example", {"token": "2"})
    assert target.origin.startswith('context "more" of ')


def test_relative_paths_start_at_the_folder_of_their_file(tmp_path):
    first = written(tmp_path / "a" / "config", {**SERVER, "certificate-authority": "ca.crt"})
    user = {"client-certificate": "c", "client-key": "/k", "tokenFile": "t"}
    plugin = {"exec": {"command": "./bin/plugin", "args": ["./kept"]}}
    second = written(tmp_path / "b" / "config", SERVER, {**user, **plugin}, name="second")
    environ = {"KUBECONFIG": f"{first}:{second}"}
    assert found(**environ).cluster["certificate-authority"] == str(tmp_path / "a" / "ca.crt")
    resolved = found(context="second", **environ).user
    assert [resolved[key] for key in user] == [
        str(tmp_path / "b" / "c"),
        "/k",
        str(tmp_path / "b" / "t"),
    ]
    assert resolved["exec"]["command"] == str(tmp_path / "b" / "bin" / "plugin")
    assert resolved["exec"]["args"] == ["./kept"]


def test_a_command_without_a_slash_is_looked_up_in_the_path(tmp_path):
    path = written(tmp_path / "config", SERVER, {"exec": {"command": "plugin"}})
    assert found(str(path)).user["exec"]["command"] == "plugin"


def test_a_context_may_have_no_user(tmp_path):
    content = document(SERVER)
    del content["contexts"][0]["context"]["user"]
    (tmp_path / "config").write_text(json.dumps(content))
    assert found(str(tmp_path / "config")).user == {}


def test_an_unknown_context_is_named_with_the_available_ones(tmp_path):
    path = written(tmp_path / "config", SERVER)
    assert refused(str(path), "prod") == f'{path}: no context "prod"; available: main'


def test_a_context_is_not_looked_for_in_the_pods_account(tmp_path):
    assert 'no context "prod"; available: none' in refused(None, "prod", HOME=str(tmp_path))


def test_without_a_current_context_one_has_to_be_chosen(tmp_path):
    content = document(SERVER) | {"current-context": ""}
    (tmp_path / "config").write_text(json.dumps(content))
    words = refused(str(tmp_path / "config"))
    assert words.endswith("no current-context; choose one with --context: main")


@pytest.mark.parametrize("section", ["cluster", "user"])
def test_a_context_that_leads_nowhere_is_named(tmp_path, section):
    content = document(SERVER)
    content["contexts"][0]["context"][section] = "elsewhere"
    (tmp_path / "config").write_text(json.dumps(content))
    assert f'no {section} "elsewhere"; available: main' in refused(str(tmp_path / "config"))


def test_a_context_without_a_cluster_is_named(tmp_path):
    content = document(SERVER)
    content["contexts"][0]["context"] = {}
    (tmp_path / "config").write_text(json.dumps(content))
    assert 'context "main" of' in refused(str(tmp_path / "config"))


def test_a_file_that_is_asked_for_has_to_be_there(tmp_path):
    path = tmp_path / "absent"
    assert refused(str(path), HOME=str(tmp_path)) == f"{path}: the kubeconfig does not exist"


def test_a_tilde_is_the_home_folder(tmp_path):
    written(tmp_path / "config", SERVER)
    assert found("~/config", HOME=str(tmp_path)).cluster == SERVER
    assert refused("~/config") == "~/config: the kubeconfig does not exist"


def test_a_name_that_no_file_can_have_is_named():
    name = "x" * 300
    assert refused(name) == f"{name}: cannot read the kubeconfig: File name too long"


def test_an_unreadable_file_is_named(tmp_path):
    assert "cannot read the kubeconfig: Is a directory" in refused(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("users:\n- user: {token: canary\n", ":3:1: the kubeconfig is not readable YAML"),
        ("token: 0123canary: x", ":1:18: the kubeconfig is not readable YAML"),
        ("token: 01230456", ":1:8: token: the kubeconfig is not readable YAML"),
        ("[canary]", ": the kubeconfig is not one mapping"),
        ("a: canary\n---\nb: 1", ": the kubeconfig is not one mapping"),
        ("x" * 2_000_000, ": the kubeconfig is not readable YAML"),
        ("users: canary", ": users: each entry needs a `name` and a `user`"),
        ("users: [canary]", ": users: each entry needs a `name` and a `user`"),
        ("users: [{user: {token: canary}}]", ": users: each entry needs a `name` and a `user`"),
        ("users: [{name: canary, user: x}]", ": users: each entry needs a `name` and a `user`"),
    ],
)
def test_a_broken_file_is_named_with_the_place_and_without_its_text(tmp_path, content, words):
    path = tmp_path / "config"
    path.write_text(content)
    said = refused(str(path))
    assert said == f"{path}{words}"


def test_in_a_pod_its_own_account_is_the_last_resort(tmp_path):
    (tmp_path / "token").write_text("t")
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    target = found(account=tmp_path, HOME=str(tmp_path / "home"), **environ)
    assert target.cluster["server"] == "https://10.0.0.1:443"
    assert target.cluster["certificate-authority"] == str(tmp_path / "ca.crt")
    assert target.user == {"tokenFile": str(tmp_path / "token")}
    environ["KUBERNETES_SERVICE_HOST"] = "fd00::1"
    assert found(account=tmp_path, **environ).cluster["server"] == "https://[fd00::1]:443"
    written(tmp_path / "home" / ".kube" / "config", SERVER)
    target = found(account=tmp_path, HOME=str(tmp_path / "home"), **environ)
    assert target.cluster["server"] == "https://one.example"


def test_an_empty_file_is_as_good_as_none(tmp_path):
    (tmp_path / "config").write_text("# nothing\n")
    assert "no cluster is configured" in refused(KUBECONFIG=str(tmp_path / "config"))


def test_without_any_cluster_the_places_are_named(tmp_path):
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    words = refused(account=tmp_path, HOME=str(tmp_path), **environ)
    assert str(tmp_path / ".kube" / "config") in words
    assert "--kubeconfig" in words
    assert "neither KUBECONFIG nor HOME is set" in refused(account=tmp_path)


def test_secrets_are_in_no_representation(tmp_path):
    path = written(tmp_path / "config", SERVER, {"token": "canary"})
    assert "canary" not in repr(found(str(path)))
    assert "canary" not in repr(LoadingRules(None, None, {"TOKEN": "canary"}))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_file_with_a_byte_order_mark_is_read(encoding, line_end, tmp_path):
    path = tmp_path / "config"
    text = json.dumps(document(SERVER), indent=1).replace("\n", line_end)
    mark = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""
    path.write_bytes((mark + text).encode(encoding))
    assert found(str(path)).cluster == SERVER


@pytest.mark.parametrize("content", [b"\xff\xfea", b"\xff\xfe\x00\xd8", b"\xef\xbb\xbf\xff", b"\0"])
def test_a_file_that_is_no_text_is_refused(content, tmp_path):
    path = tmp_path / "config"
    path.write_bytes(content)
    assert str(path) in refused(str(path))
