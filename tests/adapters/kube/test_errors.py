"""Every unsuccessful response of an API server becomes an error that says what to do."""

import email.utils
import time

import pytest

from reconcile.core.errors import (
    AdmissionDeniedError,
    ClusterError,
    ConflictError,
    FieldOwner,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    NotFoundReason,
    ReconcileError,
    UnavailableError,
)
from reconcile.core.model import Kind, ObjectRef
from reconcile.engine.ports import ApplyOptions
from tests.adapters.kube.fakes import FakeServer, Reply, status, talking_to

POD = Kind("v1", "Pod")
REF = ObjectRef("", "Pod", "team-a", "one")
BODY = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": "team-a"}}


def error_of(reply, mask=str):
    """What an apply raises for this answer."""
    cluster = talking_to(FakeServer(reply), mask=mask)
    with pytest.raises(ClusterError) as caught:
        cluster.apply(BODY, ApplyOptions("reconcile"))
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (301, ClusterError),
        (400, ClusterError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, ClusterError),
        (409, ConflictError),
        (410, UnavailableError),
        (413, ClusterError),
        (415, ClusterError),
        (422, InvalidError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
        (504, UnavailableError),
        (599, UnavailableError),
    ],
)
def test_the_code_chooses_the_error(code, kind):
    error = error_of(status(code, "SomeReason", "the server's words", name="one"))
    assert type(error) is kind
    assert str(error).startswith(f"apply Pod team-a/one: {code} SomeReason: the server's words")


def test_a_conflict_names_each_field_with_its_owner():
    causes = [
        {"reason": "FieldManagerConflict", "message": message, "field": field}
        for message, field in [
            ('conflict with "kubectl-edit" using v1', ".data.a"),
            ('conflict with "a \\"b\\" c" with subresource "status" using v1 at 2026', ".data.b"),
            ("no manager in these words", ".data.c"),
        ]
    ]
    causes.append({"reason": "SomethingElse", "message": 'conflict with "x"', "field": ".data.d"})
    error = error_of(status(409, "Conflict", "Apply failed", causes=causes))
    assert error.owners == (
        FieldOwner("kubectl-edit", ".data.a"),
        FieldOwner('a "b" c', ".data.b"),
        FieldOwner("unknown", ".data.c"),
    )


def test_an_invalid_object_names_its_fields():
    causes = [{"field": "spec.a"}, {"message": "no field"}, "no cause", {"field": "spec.b"}]
    error = error_of(status(422, "Invalid", "is invalid", name="one", causes=causes))
    assert error.fields == ("spec.a", "spec.b")


@pytest.mark.parametrize("field", ["metadata.uid", "metadata.resourceVersion"])
def test_a_stale_precondition_is_a_conflict_although_it_is_a_422(field):
    reply = status(422, "Invalid", "field is immutable", causes=[{"field": field}])
    assert type(error_of(reply)) is ConflictError


def test_a_body_unlike_the_schema_is_invalid_although_it_is_a_500():
    words = (
        "failed to create typed patch object (team-a/one; v1, Kind=Pod): errors:\n"
        '  .spec.env[name="TOKEN"].value: expected string, got &value.valueUnstructured{Value:7}\n'
        "  .spec.dato: field not declared in schema"
    )
    error = error_of(status(500, "InternalError", words))
    assert type(error) is InvalidError
    # Such a field must not lead to a replacement: the next object would be refused just so.
    assert error.fields == ()
    assert "value: expected string .spec.dato: field not declared in schema" in str(error)
    assert "7" not in str(error).partition("expected string")[2]


def test_an_error_for_native_sidecars_says_what_to_set():
    words = (
        "failed to create typed patch object (team-a/one; v1, Kind=Pod): "
        '.spec.initContainers[name="sync"].restartPolicy: field not declared in schema'
    )
    error = error_of(status(500, "InternalError", words))
    assert type(error) is InvalidError
    assert str(error).endswith(
        "it has no native sidecars: set `capabilities.sidecar: plain` in defaults.yaml"
    )
    other = error_of(status(500, "InternalError", words.replace("restartPolicy", "image")))
    assert "sidecar:" not in str(other)


def test_a_dump_of_the_object_after_the_reason_is_not_shown():
    words = "spec: Forbidden: pod updates may not change fields\n core.PodSpec{ Value: hunter2 }"
    assert "hunter2" not in str(error_of(status(422, "Invalid", words)))


def test_long_words_are_cut_on_one_line_without_control_characters():
    error = error_of(status(400, "BadRequest", "begin\x1b[31m\ttab " + "x" * 5000))
    text = str(error).partition("BadRequest: ")[2]
    assert text.startswith("begin [31m tab x")
    assert len(text) == 500
    assert text.endswith("x…")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>" + b"x" * 5000,
        b'{"kind": "Other", "message": "' + b"x" * 5000,
        b"\xff\xfe\x00" * 2000,
        b'["' + b"x" * 5000 + b'"]',
    ],
)
def test_of_an_unknown_body_little_is_shown(body):
    error = error_of(Reply(502, body, {}))
    head = "apply Pod team-a/one: 502 Bad Gateway: "
    assert str(error).startswith(head)
    assert len(str(error)) <= len(head) + 256


def test_an_empty_body_leaves_the_code():
    assert str(error_of(Reply(500, b"", {}))) == "apply Pod team-a/one: 500 Internal Server Error"
    assert str(error_of(Reply(599, b"", {}))) == "apply Pod team-a/one: 599 (unknown code)"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", None])
def test_a_status_is_understood_whatever_its_content_type(content_type):
    reply = status(409, "Conflict", "words")
    headers = {"Content-Type": content_type} if content_type else {}
    assert "409 Conflict: words" in str(error_of(Reply(409, reply.content, headers)))


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Status"},
        {"kind": "Status", "reason": 1, "message": None, "details": "x"},
        {"kind": "Status", "details": {"causes": "x", "retryAfterSeconds": "soon"}},
        {"kind": "Status", "details": {"causes": [1, None], "retryAfterSeconds": -1}},
    ],
)
def test_a_crippled_status_is_read_as_far_as_it_goes(body):
    error = error_of(Reply(429, body))
    assert (type(error), error.retry_after) == (UnavailableError, 0.0)
    assert str(error) == "apply Pod team-a/one: 429 Too Many Requests"


def test_a_page_of_another_server_does_not_mean_a_missing_object():
    error = error_of(Reply(404, b"<h1>default backend - 404</h1>"))
    assert type(error) is ClusterError
    assert "does not serve" in str(error)


def test_an_absent_namespace_is_named_and_not_called_a_kind_that_is_not_served():
    reply = status(404, "NotFound", 'namespaces "team-a" not found', name="team-a")
    assert str(error_of(reply)).endswith('404 NotFound: namespaces "team-a" not found')


def test_refused_credentials_come_with_advice():
    assert "log in again" in str(error_of(status(401, "Unauthorized", "Unauthorized")))


def test_a_redirect_is_not_followed():
    reply = Reply(302, b"", {"Location": "https://elsewhere.example/"})
    server = FakeServer(reply)
    with pytest.raises(ClusterError, match="redirect is not followed"):
        talking_to(server).get(POD, "team-a", "one")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"Retry-After": "7"}, {"retryAfterSeconds": 3}, 7.0),
        ({"retry-after": " 0 "}, {"retryAfterSeconds": 3}, 0.0),
        ({}, {"retryAfterSeconds": 3}, 3.0),
        ({"Retry-After": "soon"}, {"retryAfterSeconds": 3}, 3.0),
        ({"Retry-After": "-5"}, {}, 0.0),
        ({"Retry-After": "²"}, {}, 0.0),
        ({"Retry-After": "Mon, 01 Jan 1990 00:00:00 GMT"}, {}, 0.0),
        ({}, {}, 0.0),
    ],
)
def test_the_servers_retry_after_is_passed_on(headers, details, seconds):
    body = status(429, "TooManyRequests", "slow down", **details).content
    assert error_of(Reply(429, body, headers)).retry_after == seconds


def test_a_pause_may_be_a_date():
    later = email.utils.formatdate(time.time() + 1000, usegmt=True)
    assert 900 < error_of(Reply(503, b"", {"Retry-After": later})).retry_after <= 1000


def test_secrets_are_masked_before_the_words_are_cut():
    secret = "s" * 50
    words = "x" * 480 + secret
    error = error_of(
        status(400, "BadRequest", words), mask=lambda text: text.replace(secret, "***")
    )
    assert "sss" not in str(error)
    assert "***" in str(error)


@pytest.mark.parametrize("body", [b'{"kind": "Pod", "metad', b"<html>", b"", b"\xff"])
def test_a_success_that_is_no_json_is_unavailable(body):
    error = error_of(Reply(200, body))
    assert type(error) is UnavailableError
    assert str(error) == "apply Pod team-a/one: the response is truncated or not JSON"
    assert error.__cause__ is None


def test_every_error_is_one_of_ours():
    assert isinstance(error_of(status(418, "Teapot", "short")), ReconcileError)


RIGHT = 'pods "one" is forbidden: User "u" cannot create resource "pods" in API group "" in the '


def test_a_missing_permission_differs_from_a_denied_object():
    missing = error_of(status(403, "Forbidden", f'{RIGHT}namespace "team-a"', name="one"))
    assert (type(missing), missing.verb) == (ForbiddenError, "create")
    denied = error_of(status(403, "Forbidden", 'pods "one" is forbidden: exceeded quota: q'))
    assert (type(denied), denied.verb) == (AdmissionDeniedError, "")


WEBHOOK = 'admission webhook "policy.example.com" denied the request: '
POLICY = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 413, 422])
@pytest.mark.parametrize("reason", ["Forbidden", "", "the label `team` is missing"])
@pytest.mark.parametrize(
    "message",
    [
        f"{WEBHOOK}the label is missing",
        f"{WEBHOOK}you cannot patch resource one without a label",
        WEBHOOK.removesuffix(": ") + " without explanation",
        f"configmaps 'one' is forbidden: {POLICY}you cannot create resource one without a label",
    ],
)
def test_a_denial_by_admission_is_one_with_every_code_and_reason(code, reason, message):
    error = error_of(status(code, reason, message))
    assert type(error) is AdmissionDeniedError
    assert error.verb == ""
    assert str(error).endswith(message.strip())


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_webhook_that_fails_is_asked_again(code):
    assert type(error_of(status(code, "", f"{WEBHOOK}the database is away"))) is UnavailableError


def test_the_reason_that_a_webhook_gives_is_masked_too():
    error = error_of(
        status(403, "because of s3cret\n", f"{WEBHOOK}no"),
        mask=lambda t: t.replace("s3cret", "***"),
    )
    assert str(error) == f"apply Pod team-a/one: 403 because of ***: {WEBHOOK}no"


def test_rejected_credentials_are_not_a_missing_permission():
    assert error_of(status(401, "Unauthorized", "Unauthorized")).verb == ""


@pytest.mark.parametrize(
    ("reply", "absence"),
    [
        (
            status(404, "NotFound", 'namespaces "a" not found', name="a", kind="namespaces"),
            "NAMESPACE",
        ),
        (status(404, "NotFound", 'pods "a" not found', name="a", kind="pods"), "OBJECT"),
    ],
)
def test_a_missing_object_or_namespace_is_reported(reply, absence):
    assert error_of(reply).reason is NotFoundReason[absence]


def test_a_missing_kind_is_reported():
    reply = status(404, "NotFound", "the server could not find the requested resource")
    cluster = talking_to(FakeServer(reply))
    with pytest.raises(NotFoundError) as caught:
        cluster.apply({**BODY, "apiVersion": "batch/v1", "kind": "Job"}, ApplyOptions("reconcile"))
    assert caught.value.reason is NotFoundReason.KIND


@pytest.mark.parametrize("reason", ["", 'RBAC: clusterrole "x" not found'])
def test_a_missing_permission_to_create_is_named_although_the_server_gives_no_reason(reason):
    message = f'pods "one" is forbidden: {reason}'
    error = error_of(status(403, "Forbidden", message, name="one", kind="pods"))
    assert (type(error), error.verb) == (ForbiddenError, "create")
    assert 'cannot create resource "pods"' in str(error)
