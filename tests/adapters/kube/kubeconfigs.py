"""Kubeconfig files for tests."""

import json
from pathlib import Path
from typing import Any

Fields = dict[str, Any]


def document(cluster: Fields, user: Fields | None = None, name: str = "main") -> Fields:
    """A kubeconfig of one context, cluster and user of the same name."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def written(path: Path, cluster: Fields, user: Fields | None = None, name: str = "main") -> Path:
    """Write such a kubeconfig; JSON is YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(cluster, user, name)))
    return path
