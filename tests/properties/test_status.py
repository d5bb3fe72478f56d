"""Whatever a pod's status says, `status` shows lines of words and no secret."""

import json
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.lifecycle.containers import Remark
from reconcile.core.mask.masker import Masker
from reconcile.core.model import LABEL_INSTALLATION, LABEL_SESSION
from reconcile.core.report.escape import TextOptions
from reconcile.core.report.json_output import status_json, to_json
from reconcile.core.report.problems import Findings
from reconcile.core.report.remarks import format_remark
from reconcile.core.report.status import format_status
from reconcile.engine.status import read_status
from tests.builders import desired
from tests.clocks import NOON, FakeClock

CANARIES = st.text("abcdefghjkmnpqrstuvwxyz0123456789+/=-", min_size=9, max_size=40).map(
    "c4n{}".format
)
CONTROLS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
LOG_KEYS = ["level", "event", "msg", "error", "outcome", "generation", "reason", "missingFiles"]
OWN_KEYS = [
    "ended",
    "message",
    "problem",
    "interruptedRun",
    "workflow",
    "repositories",
    "movedAside",
]
OWN_KEYS += ["removedConversations", "name", "state"]
DOCUMENTS = st.recursive(
    LEAVES | st.sampled_from(["flushed", "partial", "error", "failed", "run-failed"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(LOG_KEYS + OWN_KEYS), inner, max_size=6)
    ),
    max_leaves=12,
)


def is_one_line(text):
    return not any(unicodedata.category(char) in CONTROLS for char in text)


def escaped(text):
    """A text in JSON, each of its characters as an escape."""
    return "".join(f"\\u{ord(char):04x}" for char in text)


@st.composite
def own_messages(draw, text):
    """A message of `prepare` or `bridge` that has this text."""
    failed = {"name": text, "state": "failed", "reason": text}
    fields = {"repositories": [draw(DOCUMENTS), failed], "workflow": failed, "problem": text}
    fields |= {"ended": "run-failed", "message": text}
    kept = draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, unique=True))
    return {draw(st.sampled_from(OWN_KEYS)): draw(DOCUMENTS), **{key: fields[key] for key in kept}}


@st.composite
def outputs(draw, secret):
    """Any output of a container, with the secret somewhere in it."""
    before, after = draw(st.text(max_size=60)), draw(st.text(max_size=400))
    form = draw(st.integers(0, 5))
    match form:
        case 0:
            return before + secret + after
        case 1:
            return json.dumps({before: draw(DOCUMENTS), "msg": f"{before}{secret}", after: secret})
        case 2:
            return json.dumps([draw(DOCUMENTS), {"error": {"message": secret + after}}])
        case 3:
            return '{"event":"' + escaped(f"at {secret}") + '","level":"error"}'
        case 4:
            return json.dumps(draw(own_messages(f"{before}{secret}{after}")))
        case _:
            line = json.dumps({"level": "error", "error": secret, "reason": draw(DOCUMENTS)})
            return f"{before}\n{line}\n{json.dumps({'msg': after})}\n"


def pod_of(secret, status):
    labels = {LABEL_INSTALLATION: "default", LABEL_SESSION: "one"}
    variable = {"name": "API_TOKEN", "value": secret}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one-runner", "namespace": "team-a", "labels": labels},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "runner", "env": [variable]}]},
        "status": status,
    }


RECORD = {
    "metadata": {
        "name": "session-one",
        "namespace": "team-a",
        "labels": {LABEL_INSTALLATION: "default", LABEL_SESSION: "one"},
        "creationTimestamp": "2026-01-31T12:00:00Z",
    }
}


class OnePod(EmbeddedCluster):
    """A cluster that shows one session with this pod."""

    def __init__(self, pod):
        super().__init__()
        self._pod = pod

    def list(self, kind, _namespace, _labels):
        yield self._pod if kind.name == "Pod" else RECORD


def shown_lines(pod):
    """All lines and all texts of JSON that `status` prints for a pod."""
    masker = Masker()
    clock = FakeClock(wall_offset=NOON)
    read = read_status(OnePod(pod), clock, desired(), ["team-a"], masker.learn)
    assert [str(row.session) for row in read.rows] == ["team-a/one"]
    for verbose in (False, True):
        yield from format_status(read.rows, masker, TextOptions(verbose=verbose)).split("\n")
    document = status_json("default", read.rows, Findings(read.problems), masker)
    assert json.loads(to_json(document)) == document
    [session] = document["sessions"]
    yield from (session["reason"], session["message"], session["nextStep"], *session["details"])


@st.composite
def statuses(draw, secret):
    """The status of a pod with the fields of the API, each of them right or of any other form."""

    def field(right):
        return right | DOCUMENTS if draw(st.booleans()) else right

    words = st.sampled_from(["Error", "OOMKilled", "CrashLoopBackOff", "Evicted", "NodeLost", ""])
    reasons, messages = field(words | outputs(secret)), field(outputs(secret))
    code = field(st.integers(0, 255))
    ended = st.fixed_dictionaries({"exitCode": code, "reason": reasons, "message": messages})
    wait = st.fixed_dictionaries({"reason": reasons, "message": messages})
    state = st.fixed_dictionaries(
        {}, optional={"waiting": field(wait), "running": DOCUMENTS, "terminated": field(ended)}
    )
    name = field(st.sampled_from(["runner", "sync", "hydrate", "prepare", "bridge"]))
    fields = {"name": name, "state": field(state), "lastState": field(state)}
    fields |= {"restartCount": field(st.integers(0, 9)), "ready": field(st.booleans())}
    containers = field(st.lists(field(st.fixed_dictionaries(fields)), max_size=3))
    types = st.sampled_from(["Ready", "ContainersReady", "PodScheduled", "DisruptionTarget"])
    condition = {"type": field(types), "reason": reasons, "message": messages}
    condition |= {"status": field(st.sampled_from(["True", "False", "Unknown"]))}
    phases = st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"])
    return draw(
        st.fixed_dictionaries(
            {
                "phase": field(phases),
                "conditions": field(st.lists(field(st.fixed_dictionaries(condition)), max_size=3)),
                "containerStatuses": containers,
                "initContainerStatuses": containers,
            },
            optional={"reason": reasons, "message": messages},
        )
    )


@given(st.data(), CANARIES)
def test_any_status_of_a_pod_is_shown_in_lines_without_its_secrets(data, secret):
    status = data.draw(statuses(secret) | DOCUMENTS)
    for line in shown_lines(pod_of(secret, status)):
        assert is_one_line(line)
        assert secret not in line


@given(st.data(), CANARIES)
def test_any_output_of_a_container_is_one_line_without_its_secrets(data, secret):
    masker = Masker()
    masker.learn(pod_of(secret, {}))
    line = format_remark(Remark("container runner ended", data.draw(outputs(secret))), masker)
    assert is_one_line(line)
    assert secret not in line
    assert len(line) < 400


@given(st.text(max_size=600))
@example("[" * 4096)
@example('{"a":' * 900 + "1" + "}" * 900)
@example('{"msg":1e999}')
@example("\ud800")
def test_no_output_of_a_container_fails(output):
    line = format_remark(Remark("", output), Masker())
    assert is_one_line(line)
    assert len(line) < 400
