"""Credential plugins run by the contract, only when needed, and their output is never shown."""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconcile.adapters.kube.credentials import KeyPair
from reconcile.adapters.kube.exec_plugin import EXEC_API_VERSIONS, ExecCredentials, ExecPlugin
from reconcile.core.errors import ClusterError, ForbiddenError
from reconcile.core.model import Kind
from tests.adapters.kube.fakes import FakeServer, Reply, status, talking_to

V1, V1BETA1 = EXEC_API_VERSIONS
SCRIPT = """
import json, os, sys
with open("{runs}", "a") as runs:
    runs.write(os.environ["KUBERNETES_EXEC_INFO"] + "\\n")
number = sum(1 for _ in open("{runs}"))
print(json.dumps(dict(apiVersion="{version}", kind="ExecCredential", status={status})))
"""


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def plugin(runs, status_text, version=V1, **fields):
    """A small program; `status_text` is Python and may use `number`, the count of its runs."""
    script = runs.with_name("plugin.py")
    script.write_text(SCRIPT.format(runs=runs, version=version, status=status_text))
    return ExecPlugin((sys.executable, str(script)), version, {"PATH": ""}, **fields)


def running(program):
    """A plugin that is this one line of Python."""
    return ExecPlugin((sys.executable, "-c", program), V1, {})


def printing(output):
    return running(f"print({output!r})")


def credentials(made, mask=str, **named):
    return ExecCredentials(made, None, mask, **named)


def asked(runs):
    return [json.loads(line) for line in runs.read_text().splitlines()]


def expiring(moment):
    return repr({"token": "t", "expirationTimestamp": moment})


@pytest.mark.parametrize("version", EXEC_API_VERSIONS)
def test_both_versions_of_the_contract_are_supported(runs, version):
    made = credentials(plugin(runs, 'dict(token="t-%d" % number)', version))
    assert made.current().token == "t-1"
    spec = {"interactive": False}
    assert asked(runs) == [{"apiVersion": version, "kind": "ExecCredential", "spec": spec}]


def test_a_plugin_can_get_the_cluster(runs):
    cluster = {"server": "https://one.example", "config": {"audience": "x"}}
    credentials(plugin(runs, "dict(token='t')", cluster_info=cluster)).current()
    assert asked(runs)[0]["spec"] == {"interactive": False, "cluster": cluster}


def test_a_credential_without_an_end_is_made_once(runs):
    made = credentials(plugin(runs, "dict(token='t')"))
    assert made.current() is made.current()
    assert len(asked(runs)) == 1


def test_an_expired_credential_is_not_used_when_the_plugin_fails(runs):
    made = credentials(
        plugin(
            runs,
            "dict(token=number == 1 and 't', expirationTimestamp="
            "number == 1 and '2026-01-31T12:00:00Z' or None)",
        )
    )
    made.current()
    for _ in range(2):
        with pytest.raises(ClusterError, match="neither a token nor"):
            made.current()


@pytest.mark.parametrize("stamp", ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00.123456789+01:00"])
def test_an_expired_credential_is_renewed(runs, stamp):
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    now = [noon - 1]
    made = credentials(plugin(runs, expiring(stamp)), time_of_day=lambda: now[0])
    made.current()
    made.current()
    assert len(asked(runs)) == 1
    now[0] = noon + 1
    made.current()
    assert len(asked(runs)) == 2


def test_a_refused_credential_is_renewed_once(runs):
    server = FakeServer(status(401, "Unauthorized", "no"), Reply())
    made = credentials(plugin(runs, 'dict(token="t-%d" % number)'))
    talking_to(server, made).get(Kind("v1", "Pod"), "a", "b")
    sent = [seen.headers["Authorization"] for seen in server.seen]
    assert sent == ["Bearer t-1", "Bearer t-2"]


def test_the_same_credential_is_not_sent_twice(runs):
    server = FakeServer(status(401, "Unauthorized", "no"))
    made = credentials(plugin(runs, "dict(token='t')"))
    with pytest.raises(ForbiddenError):
        talking_to(server, made).get(Kind("v1", "Pod"), "a", "b")
    assert (len(server.seen), len(asked(runs))) == (1, 2)


def test_many_threads_that_are_refused_run_it_once(runs):
    made = credentials(plugin(runs, 'dict(token="t-%d" % number)'))
    old, barrier = made.current(), threading.Barrier(4)

    def refused(_):
        barrier.wait(timeout=30)
        return made.renew(old)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(refused, range(4))) == [True] * 4
    assert len(asked(runs)) == 2


def test_it_may_give_a_client_certificate(runs):
    made = credentials(plugin(runs, "dict(clientCertificateData='c', clientKeyData='k')"))
    assert (made.current().token, made.current().key_pair) == ("", KeyPair(b"c", b"k"))


def test_a_token_goes_with_the_kubeconfigs_own_certificate(runs):
    keys = KeyPair(b"c", b"k")
    made = ExecCredentials(plugin(runs, "dict(token='t')"), keys, str)
    assert made.current().key_pair is keys


def word(**fields):
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", **fields})


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("canary", "did not print JSON"),
        ('["canary"]', "did not print an ExecCredential of client.authentication.k8s.io/v1"),
        (word(kind="Canary"), "did not print an ExecCredential"),
        (word(apiVersion=V1BETA1), "did not print an ExecCredential"),
        (word(), "neither a token nor a client certificate"),
        (word(status="canary"), "neither a token nor a client certificate"),
        (word(status={"token": 1}), "neither a token nor a client certificate"),
        (word(status={"clientKeyData": "canary"}), "neither a token nor a client certificate"),
        (word(status={"token": "canary\nX: y"}), "has invalid characters"),
        (
            word(status={"token": "canary", "expirationTimestamp": "canary"}),
            "invalid expirationTimestamp",
        ),
    ],
)
def test_an_invalid_credential_is_refused_and_not_shown(output, words):
    with pytest.raises(ClusterError, match=words) as caught:
        credentials(printing(output)).current()
    assert "canary" not in str(caught.value)
    assert str(caught.value).startswith(f"credential plugin {sys.executable}: ")
    assert caught.value.__cause__ is None


def test_a_failure_shows_the_plugins_error_output_masked_and_truncated():
    program = "import sys; sys.stderr.write('log in first: hunter2 ' + 'x' * 1000); sys.exit(3)"
    made = running(f"print('canary'); {program}")
    with pytest.raises(ClusterError) as caught:
        credentials(made, lambda text: text.replace("hunter2", "***")).current()
    words = str(caught.value).partition("exit code 3: ")[2]
    assert words.startswith("log in first: *** xxx")
    assert len(words) == 500


def test_a_missing_plugin_is_named_with_the_hint_how_to_install_it():
    made = ExecPlugin(("/absent/plugin", "--secret=canary"), V1, {}, install_hint="apt install it")
    with pytest.raises(ClusterError) as caught:
        credentials(made).current()
    assert str(caught.value) == (
        "credential plugin /absent/plugin: cannot be started: No such file or directory: "
        "apt install it"
    )


def test_a_plugin_that_does_not_end_is_ended_with_all_its_children(tmp_path):
    script = "sleep 1000 & echo $! > $FILE; wait"
    made = ExecPlugin(("sh", "-c", script), V1, {"FILE": str(tmp_path / "pid"), "PATH": "/bin"})
    with pytest.raises(ClusterError, match=r"has not ended within 0\.5 s"):
        credentials(replace(made, timeout=0.5)).current()
    child = Path("/proc") / (tmp_path / "pid").read_text().strip()
    state = (child / "stat").read_text().split()[2] if child.exists() else "gone"
    assert state in {"gone", "Z", "X"}


def test_a_plugin_gets_no_input():
    with pytest.raises(ClusterError, match="did not print JSON"):
        credentials(running("import sys; sys.exit(len(sys.stdin.read()))")).current()


def test_secrets_are_in_no_representation():
    assert "canary" not in repr(ExecPlugin(("x",), V1, {"TOKEN": "canary"}))


def test_the_default_clock_is_the_time_of_day(runs):
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = credentials(plugin(runs, expiring(later)))
    assert made.current() is made.current()
