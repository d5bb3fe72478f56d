"""Credentials from a plugin: `users[].user.exec` of a kubeconfig.

The contract is client.authentication.k8s.io v1 and v1beta1 (pykube-ng refuses v1): the program gets
an ExecCredential in $KUBERNETES_EXEC_INFO, and prints one with a status. Its output is a secret and
never shown; its error output is shown masked and truncated.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from reconcile.adapters.kube.credentials import Credential, KeyPair, TimeFunction, validate_token
from reconcile.adapters.kube.errors import MAX_SERVER_TEXT, SecretMask, sanitize_text
from reconcile.core.errors import ClusterError

_GROUP: Final = "client.authentication.k8s.io"
EXEC_API_VERSIONS: Final = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")
"""The supported versions of the contract; Kubernetes 1.24 has removed v1alpha1."""

PLUGIN_TIMEOUT_SECONDS: Final = 60.0
"""Enough for a plugin without interaction; a login in a browser is not supported."""


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """How to run one plugin.

    `command` is its path or name with the arguments; `environ` is its whole environment;
    `cluster_info` is the `cluster` of the contract, empty unless `provideClusterInfo` is set;
    `timeout` is in seconds.
    """

    command: tuple[str, ...]
    api_version: str
    environ: Mapping[str, str] = field(repr=False)
    cluster_info: Mapping[str, Any] = field(default_factory=dict)
    install_hint: str = ""
    timeout: float = PLUGIN_TIMEOUT_SECONDS

    def run(self, mask: SecretMask) -> bytes:
        """Run it and return its output; ClusterError if it fails or does not end in time."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own kubeconfig names it
                self.command,
                env={**self.environ, "KUBERNETES_EXEC_INFO": self._build_exec_info()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise self.build_error(
                f"cannot be started: {error.strerror}", self.install_hint
            ) from error
        with process:
            output, errors = self._wait(process)
        if process.returncode != 0:
            text = sanitize_text(errors.decode("utf-8", "replace"), mask, MAX_SERVER_TEXT)
            raise self.build_error(f"ended with exit code {process.returncode}", text)
        return output

    def build_error(self, *reasons: str) -> ClusterError:
        """Make the error; it does not contain the arguments, which may be secret."""
        head = f"credential plugin {self.command[0]}"
        return ClusterError(": ".join((head, *(reason for reason in reasons if reason))))

    def _build_exec_info(self) -> str:
        spec = {
            "interactive": False,
            **({"cluster": self.cluster_info} if self.cluster_info else {}),
        }
        content = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        return orjson.dumps(content).decode()

    def _wait(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        try:
            return process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired as error:
            raise self.build_error(f"has not ended within {self.timeout:g} s") from error
        finally:
            if process.poll() is None:
                # Its child processes keep the pipes open, so the whole group is killed.
                os.killpg(process.pid, signal.SIGKILL)


class ExecCredentials:
    """The credential of a plugin, used until it expires or the server refuses it."""

    def __init__(
        self,
        plugin: ExecPlugin,
        client_certificate: KeyPair | None,
        mask: SecretMask,
        time_of_day: TimeFunction = time.time,
    ) -> None:
        """Create the provider; the plugin runs on first use.

        Args:
            plugin: The plugin.
            client_certificate: The kubeconfig's client certificate, used if the plugin returns only
                a token.
            mask: Applied to the plugin's error output.
            time_of_day: The clock for expiry, in seconds since 1970.
        """
        self._plugin = plugin
        self._client_certificate = client_certificate
        self._mask = mask
        self._time_of_day = time_of_day
        self._lock = threading.Lock()
        self._credential: Credential | None = None
        self._expires_at = 0.0

    def current(self) -> Credential:
        with self._lock:
            if self._credential is None or self._time_of_day() >= self._expires_at:
                return self._run_plugin()
            return self._credential

    def renew(self, refused: Credential) -> bool:
        with self._lock:
            if self._credential is refused:
                new = self._run_plugin()
                return (new.token, new.key_pair) != (refused.token, refused.key_pair)
            return True

    def _run_plugin(self) -> Credential:
        status = self._parse_status(self._plugin.run(self._mask))
        expires = self._parse_expiry(status.get("expirationTimestamp"))
        token = status.get("token") or ""
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        if not isinstance(token, str) or bool(certificate) != bool(key) or not (token or key):
            raise self._plugin.build_error(
                "returned neither a token nor a client certificate with its key"
            )
        key_pair = (
            KeyPair(str(certificate).encode(), str(key).encode())
            if key
            else self._client_certificate
        )
        valid_token = (
            validate_token(token, f"credential plugin {self._plugin.command[0]}") if token else ""
        )
        self._credential, self._expires_at = Credential(valid_token, key_pair), expires
        return self._credential

    def _parse_status(self, output: bytes) -> Mapping[str, Any]:
        try:
            content = orjson.loads(output)
        except orjson.JSONDecodeError:
            # Without its cause: a JSON error quotes the document.
            raise self._plugin.build_error("did not print JSON") from None
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind != "ExecCredential" or content.get("apiVersion") != self._plugin.api_version:
            raise self._plugin.build_error(
                f"did not print an ExecCredential of {self._plugin.api_version}"
            )
        status = content.get("status")
        return status if isinstance(status, dict) else {}

    def _parse_expiry(self, timestamp: object) -> float:
        if timestamp is None:
            return float("inf")
        try:
            return datetime.fromisoformat(str(timestamp)).timestamp()
        except ValueError:
            raise self._plugin.build_error("returned an invalid expirationTimestamp") from None
