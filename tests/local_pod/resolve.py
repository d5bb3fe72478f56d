"""What a kubelet computes of a pod: the files of its volumes and the variables of a container."""

import base64
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_][A-Za-z0-9_.-]*)\))")


@dataclass
class PodContext:
    """A pod, the ConfigMaps and Secrets of its namespace (data as text), and its address."""

    body: Mapping[str, Any]
    objects: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    ip: str = "127.0.0.1"

    def read_field(self, path: str) -> str:
        """Return the value of a `fieldPath` of the downward API."""
        metadata = self.body["metadata"]
        match = re.fullmatch(r"metadata\.(annotations|labels)\['(.+)'\]", path)
        if match:
            return str((metadata.get(match[1]) or {}).get(match[2], ""))
        if path in {"metadata.annotations", "metadata.labels"}:
            values = metadata.get(path.partition(".")[2]) or {}
            return "\n".join(f'{name}="{value}"' for name, value in sorted(values.items()))
        if path == "status.podIP":
            return self.ip
        return str(metadata[path.removeprefix("metadata.")])

    def data(self, kind: str, source: Mapping[str, Any]) -> dict[str, str] | None:
        """Return an object's data; None if it is not there, and optional."""
        name = source.get("name") or source.get("secretName")
        found = self.objects.get((kind, str(name)))
        if found is None and not source.get("optional"):
            raise LookupError(f"{kind} {name} is missing")
        return found


def build_variables(context: PodContext, container: Mapping[str, Any]) -> dict[str, str]:
    """Build the variables of a container, in the order and with the references of Kubernetes."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for kind, name in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
            if name in source:
                variables |= context.data(kind, source[name]) or {}
    for item in container.get("env") or ():
        value = _read_value(context, item)
        if value is not None:
            variables[item["name"]] = _expand(value, variables)
    return variables


def _read_value(context: PodContext, item: Mapping[str, Any]) -> str | None:
    source = item.get("valueFrom")
    if source is None:
        return str(item.get("value") or "")
    if "fieldRef" in source:
        return context.read_field(source["fieldRef"]["fieldPath"])
    for kind, name in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
        if name in source:
            data = context.data(kind, source[name]) or {}
            if source[name]["key"] not in data and not source[name].get("optional"):
                raise LookupError(f"{kind} {source[name]['name']} has no {source[name]['key']}")
            return data.get(source[name]["key"])
    raise LookupError(f"{item['name']} has a source that is not supported")


def _expand(text: str, variables: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else variables.get(match[2], match[0])

    return _REFERENCE.sub(replace, text)


def list_files(context: PodContext, volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the files of a volume that is not an emptyDir, as path and text."""
    if "projected" in volume:
        for source in volume["projected"]["sources"]:
            yield from _list_source(context, source)
    else:
        yield from _list_source(context, volume)


def _list_source(context: PodContext, source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, name in (("Secret", "secret"), ("ConfigMap", "configMap")):
        if name in source:
            data = context.data(kind, source[name]) or {}
            items = source[name].get("items")
            named = [(each["key"], each["path"]) for each in items or ()]
            pairs = named if items is not None else [(key, key) for key in data]
            yield from ((path, data[key]) for key, path in pairs if key in data)
    for item in source.get("downwardAPI", {}).get("items", ()):
        yield item["path"], context.read_field(item["fieldRef"]["fieldPath"])
    if "serviceAccountToken" in source:
        yield source["serviceAccountToken"]["path"], "a-service-account-token"


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write a volume as the kubelet does: a new folder, and one link that is replaced at once."""
    number = sum(1 for each in folder.iterdir() if each.name.startswith("..20"))
    version = folder / f"..2026_{number}"
    for path, text in files.items():
        target = version / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o644)
    version.mkdir(exist_ok=True)
    temporary = folder / "..data_tmp"
    temporary.symlink_to(version.name)
    temporary.rename(folder / "..data")
    tops = {path.partition("/")[0] for path in files}
    for top in tops:
        if not os.path.lexists(folder / top):
            (folder / top).symlink_to(f"..data/{top}")
    for each in list(folder.iterdir()):
        if not each.name.startswith("..") and each.name not in tops:
            each.unlink()


def decode_secret(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the data of a Secret as text."""
    data = {
        name: base64.b64decode(text).decode() for name, text in (body.get("data") or {}).items()
    }
    return data | dict(body.get("stringData") or {})
