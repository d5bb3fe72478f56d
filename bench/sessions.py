"""Makes desired trees of any size, with realistic sessions that all differ."""

from pathlib import Path

_SESSION = """\
apiVersion: vteam.ambient-code/v1alpha1
kind: AgenticSession
metadata:
  name: {name}
  labels:
    topic: topic-{number}
spec:
  displayName: Session number {number}
  initialPrompt: |
    Look into ticket {number}: the page answers 500 when its form is sent twice.
    Find out why, fix it, and add a test that would have found it.
  llmSettings:
    model: claude-sonnet-4-5
  repos:
  - url: https://github.com/example/shop-{number}.git
    branch: main
    autoPush: true
  environmentVariables:
    TICKET: "{number}"
    LOG_LEVEL: info
  runner:
    resources:
      limits: {{cpu: "2", memory: 4Gi}}
"""
_DEFAULTS = """\
apiVersion: vteam.ambient-code/v1alpha1
kind: SessionDefaults
spec:
  image: registry.example.com/platform/reconcile:0.1.0
  runner:
    envFrom:
    - secretRef: {name: ambient-runner-secrets}
"""


def write_tree(root: Path, namespace: str, count: int) -> None:
    """Write defaults and `count` sessions into one namespace, one file each."""
    folder = root / namespace
    folder.mkdir(parents=True)
    (root / "defaults.yaml").write_text(_DEFAULTS, encoding="utf-8")
    for number in range(count):
        name = f"session-{number:05d}"
        text = _SESSION.format(name=name, number=number)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
