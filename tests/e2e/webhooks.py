"""An admission webhook on 127.0.0.1, as a platform's policies have it."""

import base64
import contextlib
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import jsonpatch
import trustme

from tests.controlplane import ports
from tests.e2e.site import Object, Site

Mutate: TypeAlias = Callable[[Object], None]
"""Changes an object in place, as the policy wants it; a DeniedError refuses the object."""

ADMISSION_API = "/apis/admissionregistration.k8s.io/v1"
LABEL = "webhook.example.com/namespace"


class DeniedError(Exception):
    """The refusal of an object; the argument is the Status that the webhook answers."""


@contextlib.contextmanager
def mutating(site: Site, mutate: Mutate, *resources: str) -> Iterator[None]:
    """Let a webhook change the objects that are created or updated in the site's namespace."""
    with _webhook(site, mutate, resources, "Mutating"):
        yield


@contextlib.contextmanager
def validating(site: Site, check: Mutate, *resources: str) -> Iterator[None]:
    """Let a webhook check the objects that are created or updated in the site's namespace."""
    with _webhook(site, check, resources, "Validating"):
        yield


@contextlib.contextmanager
def _webhook(site: Site, mutate: Mutate, resources: tuple[str, ...], kind: str) -> Iterator[None]:
    authority = trustme.CA()
    [port] = ports.free(1)
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(mutate, resources))
    server.socket = _tls(authority).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _label(site)
    configurations = f"{ADMISSION_API}/{kind.lower()}webhookconfigurations"
    body = _configuration(site.namespace, port, authority, resources)
    body["kind"] = f"{kind}WebhookConfiguration"
    answer = site.plane.request("POST", configurations, body)
    assert answer.status_code == 201, answer.text
    try:
        _wait(site)
        yield
    finally:
        site.plane.request("DELETE", f"{configurations}/{site.namespace}")
        server.shutdown()
        thread.join()
        server.server_close()


def _label(site: Site) -> None:
    answer = site.plane.request(
        "PATCH",
        f"/api/v1/namespaces/{site.namespace}",
        {"metadata": {"labels": {LABEL: site.namespace}}},
        content_type="application/merge-patch+json",
    )
    assert answer.status_code == 200, answer.text


def _configuration(
    name: str, port: int, authority: trustme.CA, resources: tuple[str, ...]
) -> Object:
    rule = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        # ConfigMaps are only for `_wait`.
        "resources": sorted({*resources, "configmaps"}),
    }
    webhook = {
        "name": "policy.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {LABEL: name}},
        "rules": [rule],
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/",
            "caBundle": base64.b64encode(authority.cert_pem.bytes()).decode(),
        },
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }


def _wait(site: Site) -> None:
    """Wait until the API server calls the webhook: it learns of it by a watch."""
    _seen.discard(site.namespace)
    path = site.path("ConfigMap")
    deadline = time.monotonic() + 30
    while site.namespace not in _seen:
        assert time.monotonic() < deadline, "the API server does not call the webhook"
        body = {"metadata": {"generateName": PROBE}}
        answer = site.plane.request("POST", path, body, params={"dryRun": "All"})
        assert answer.status_code == 201, answer.text


PROBE = "probe-"
_seen: set[str] = set()


def _tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key-and-certificate.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(path)
        context.load_cert_chain(path)
    return context


def _handler(mutate: Mutate, resources: tuple[str, ...]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps(_review(review["request"], mutate, resources)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Keep the test's output free of requests."""

    return Handler


def _review(request: Object, mutate: Mutate, resources: tuple[str, ...]) -> Object:
    _seen.add(request["namespace"])
    before = request["object"]
    after = json.loads(json.dumps(before))
    is_probe = before["metadata"].get("generateName") == PROBE
    response = {"uid": request["uid"], "allowed": True}
    if request["resource"]["resource"] in resources and not is_probe:
        try:
            mutate(after)
        except DeniedError as denied:
            response |= {"allowed": False, "status": denied.args[0]}
    if after != before:
        patch = jsonpatch.make_patch(before, after).to_string()
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch.encode()).decode()}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
