"""Finds and merges kubeconfig files as kubectl does, and resolves one context.

The first file that has a name wins. pykube-ng reads one file and decodes every cluster and user in
it; so the files are read here, and pykube-ng gets the one context in use.
"""

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reconcile.core.errors import ClusterError, Problem, SpecError
from reconcile.core.yaml_loader import decode_utf8, load_documents
from reconcile.runtime.files import read_limited

_CLUSTER_PATHS: Final = ("certificate-authority",)
_USER_PATHS: Final = ("client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True, slots=True)
class ResolvedContext:
    """One context with its `cluster` and `user`; paths in them are absolute.

    `origin` names the context and its files, for errors.
    """

    origin: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any] = field(repr=False)


def read_kubeconfig(path: Path) -> Mapping[str, Any] | None:
    """Read one kubeconfig; None if the file does not exist.

    ClusterError with file, line and column, but without its text, if it is invalid.
    """
    try:
        documents = load_documents(decode_utf8(_without_mark(read_limited(path))))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterError(f"{path}: cannot read the kubeconfig: {error.strerror}") from error
    except SpecError as error:
        # Without its cause, which may quote a value: the file has secrets.
        raise ClusterError(f"{path}{_format_location(error.problems[0])}") from None
    content = documents[0].value if documents else None
    if len(documents) > 1 or not isinstance(content, dict | None):
        raise ClusterError(f"{path}: the kubeconfig is not one mapping")
    return content or {}


def _without_mark(content: bytes) -> bytes:
    """Remove the byte order mark that PowerShell writes, as kubectl does; UTF-16 has one, too."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace").encode()
    return content.removeprefix(codecs.BOM_UTF8)


def _format_location(problem: Problem) -> str:
    place = f":{problem.line}:{problem.column}" if problem.line else ""
    where = f": {problem.field}" if problem.field else ""
    return f"{place}{where}: the kubeconfig is not readable YAML"


@dataclass(frozen=True, slots=True)
class MergedKubeconfig:
    """The sections of all files by name; the first file that has a name wins."""

    current_context: str
    contexts: Mapping[str, Mapping[str, Any]]
    clusters: Mapping[str, Mapping[str, Any]]
    users: Mapping[str, Mapping[str, Any]]

    def resolve(self, requested: str | None, files: str) -> ResolvedContext:
        """Resolve one context; ClusterError names `files` and the available contexts."""
        name = requested or self.current_context
        available = ", ".join(sorted(self.contexts)) or "none"
        if not name:
            raise ClusterError(
                f"{files}: no current-context; choose one with --context: {available}"
            )
        if name not in self.contexts:
            raise ClusterError(f'{files}: no context "{name}"; available: {available}')
        origin, context = f'context "{name}" of {files}', self.contexts[name]
        cluster = _find_entry(self.clusters, "cluster", context.get("cluster"), origin)
        user = context.get("user")
        return ResolvedContext(
            origin, cluster, _find_entry(self.users, "user", user, origin) if user else {}
        )


def _find_entry(
    section: Mapping[str, Mapping[str, Any]], word: str, name: object, origin: str
) -> Mapping[str, Any]:
    if not isinstance(name, str) or name not in section:
        available = ", ".join(sorted(section)) or "none"
        raise ClusterError(f'{origin}: no {word} "{name or ""}"; available: {available}')
    return section[name]


def merge_kubeconfigs(documents: list[tuple[Path, Mapping[str, Any]]]) -> MergedKubeconfig:
    """Merge several files, given in their order of precedence."""
    currents = (document.get("current-context") for _, document in documents)
    return MergedKubeconfig(
        current_context=next((name for name in currents if isinstance(name, str) and name), ""),
        contexts=_merge_section(documents, "contexts", "context", ()),
        clusters=_merge_section(documents, "clusters", "cluster", _CLUSTER_PATHS),
        users=_merge_section(documents, "users", "user", _USER_PATHS),
    )


def _merge_section(
    documents: list[tuple[Path, Mapping[str, Any]]], section: str, word: str, paths: tuple[str, ...]
) -> Mapping[str, Mapping[str, Any]]:
    merged: dict[str, Mapping[str, Any]] = {}
    for path, document in documents:
        for name, content in _iterate_entries(path, document, section, word):
            merged.setdefault(name, _resolve_paths(content, paths, path.absolute().parent))
    return merged


def _iterate_entries(
    path: Path, document: Mapping[str, Any], section: str, word: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    listed = document.get(section) or []
    for entry in listed if isinstance(listed, list) else [None]:
        fields = entry if isinstance(entry, dict) else {}
        name, content = fields.get("name"), fields.get(word) or {}
        if not isinstance(name, str) or not isinstance(content, dict):
            raise ClusterError(f"{path}: {section}: each entry needs a `name` and a `{word}`")
        yield name, content


def _resolve_paths(
    content: Mapping[str, Any], keys: tuple[str, ...], folder: Path
) -> Mapping[str, Any]:
    """Resolve relative paths from the folder of the kubeconfig, as kubectl does."""
    paths = {key: str(folder / content[key]) for key in keys if isinstance(content.get(key), str)}
    plugin = content.get("exec")
    command = plugin.get("command") if isinstance(plugin, dict) else None
    if isinstance(plugin, dict) and isinstance(command, str) and "/" in command:
        return {**content, **paths, "exec": {**plugin, "command": str(folder / command)}}
    return {**content, **paths}


SERVICE_ACCOUNT_DIR: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod's service account is mounted."""


@dataclass(frozen=True, slots=True)
class LoadingRules:
    """Where to find the configuration.

    `kubeconfig` and `context` are the user's options, if given; `environ` is the program's
    environment; `service_account` is the folder that is mounted into a pod.
    """

    kubeconfig: str | None
    context: str | None
    environ: Mapping[str, str] = field(repr=False)
    service_account: Path = SERVICE_ACCOUNT_DIR


def resolve_context(rules: LoadingRules) -> ResolvedContext:
    """Find the cluster to connect to.

    From the requested file, else the files of $KUBECONFIG, else ~/.kube/config, else the pod's
    service account. ClusterError if there is none, with the searched files or available contexts.
    """
    paths = _find_paths(rules)
    contents = ((path, read_kubeconfig(path)) for path in paths)
    documents = [(path, content) for path, content in contents if content is not None]
    if rules.kubeconfig and not documents:
        raise ClusterError(f"{rules.kubeconfig}: the kubeconfig does not exist")
    merged = merge_kubeconfigs(documents)
    if not merged.contexts and not rules.context:
        return _read_service_account(rules) or _raise_not_configured(paths)
    return merged.resolve(rules.context, ", ".join(str(path) for path in paths))


def _find_paths(rules: LoadingRules) -> tuple[Path, ...]:
    home = rules.environ.get("HOME", "")
    if rules.kubeconfig:
        # Shells do not expand the tilde of `--kubeconfig=~/file`.
        bare = rules.kubeconfig.removeprefix("~/")
        return (Path(home) / bare if home and bare != rules.kubeconfig else Path(rules.kubeconfig),)
    if listed := [part for part in rules.environ.get("KUBECONFIG", "").split(":") if part]:
        return tuple(Path(part) for part in listed)
    return (Path(home) / ".kube" / "config",) if home else ()


def _raise_not_configured(paths: tuple[Path, ...]) -> ResolvedContext:
    searched = (
        ", ".join(str(path) for path in paths) or "nowhere: neither KUBECONFIG nor HOME is set"
    )
    raise ClusterError(
        f"no cluster is configured (searched: {searched}; not in a pod either); "
        "give --kubeconfig FILE or set KUBECONFIG"
    )


def _read_service_account(rules: LoadingRules) -> ResolvedContext | None:
    host = rules.environ.get("KUBERNETES_SERVICE_HOST")
    port = rules.environ.get("KUBERNETES_SERVICE_PORT")
    token = rules.service_account / "token"
    if not host or not port or not token.is_file():
        return None
    address = f"[{host}]" if ":" in host else host
    return ResolvedContext(
        origin="the pod's service account",
        cluster={
            "server": f"https://{address}:{port}",
            "certificate-authority": str(rules.service_account / "ca.crt"),
        },
        user={"tokenFile": str(token)},
    )
