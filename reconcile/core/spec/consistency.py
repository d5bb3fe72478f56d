"""Finds merged settings of a session that contradict each other, or that have no effect."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from reconcile.core.fields.quantity import parse_quantity
from reconcile.core.source_location import DocumentPath, Position, printable_excerpt
from reconcile.core.spec.agent_fields import find_length_error
from reconcile.core.spec.formats import FOLDER_NAME, STATE_DIR, clone_directory
from reconcile.core.spec.resolve import STATE_DIR_VARIABLE

_MIRROR_BASE_BYTES: Final = 128 * 2**20
_MIRROR_BYTES_PER_FILE: Final = 1536
"""Memory of a mirror, and for each file, in bytes: measured with names of 100 letters."""

_CUSTOM_STORAGE_FIELDS: Final = ("secretName", "bucket", "endpoint", "region")


@dataclass(frozen=True, slots=True)
class Finding:
    """Settings that contradict each other, or may not do what the author expects.

    `paths` are the settings in `spec` that are to blame: a problem names the one that is written.
    `cause` is the setting that demands one that is missing.
    """

    paths: tuple[DocumentPath, ...]
    message: str
    cause: DocumentPath = ()


def is_image_missing(spec: Mapping[str, Any]) -> bool:
    """Whether the installation has no image, and a merged `spec` stores its workspace with it."""
    return spec["storage"]["mode"] != "none" and not spec["image"]


def is_agent_idle(spec: Mapping[str, Any]) -> bool:
    """Whether nothing clones for the agent and delivers its prompt, for lack of the image."""
    return _speaks_ag_ui(spec) and not spec["image"]


def find_contradictions(spec: Mapping[str, Any]) -> list[Finding]:
    """Find the settings of a merged `spec` that contradict another one."""
    findings = [
        *_requests_above_limits(spec, "runner"),
        *_find_state_dir_errors(spec),
        *_find_folder_errors(spec),
        *_find_long_list(spec["repos"]),
        *_find_port_errors(spec),
    ]
    if spec["storage"]["mode"] != "none":
        findings += [
            *_find_storage_errors(spec["storage"]),
            *_requests_above_limits(spec, "mirror"),
        ]
    return findings


def find_spec_warnings(spec: Mapping[str, Any]) -> list[Finding]:
    """Find the settings of a merged `spec` that may not do what the author expects."""
    findings = [
        *_find_unused_storage(spec["storage"]),
        *_find_fractional_bytes(spec, "runner"),
        *_find_missing_model_key(spec),
    ]
    if spec["storage"]["mode"] != "none":
        findings += [
            *_find_memory_warnings(spec["mirror"]),
            *_find_fractional_bytes(spec, "mirror"),
        ]
    return findings


def find_unread_settings(
    places: Mapping[DocumentPath, Position], protocol: str
) -> Iterator[tuple[DocumentPath, Position, str]]:
    """Yield the settings of a file that have no effect with the runner's protocol.

    Each has the position at which it, or the first value below it, is written in the file.
    """
    unread, message = _UNREAD[protocol]
    for setting in unread:
        found = (at for path, at in places.items() if path[: len(setting)] == setting)
        if (first := next(found, None)) is not None:
            yield setting, first, message


_UNREAD: Final[Mapping[str, tuple[tuple[DocumentPath, ...], str]]] = {
    "ag-ui": (
        (
            ("interactive",),
            ("timeout",),
            ("llmSettings", "temperature"),
            ("llmSettings", "maxTokens"),
            ("autoPushOnComplete",),
        ),
        "has no effect: the platform's runner does not read it",
    ),
    "none": (
        (
            ("credentials",),
            ("inactivityTimeout",),
            ("inactivityTimeoutSeconds",),
            ("stopOnRunFinished",),
            ("onPrepareFailure",),
            ("onInterruptedRun",),
        ),
        "has no effect with `runner.protocol: none`",
    ),
}


def _speaks_ag_ui(spec: Mapping[str, Any]) -> bool:
    return bool(spec["runner"]["protocol"] == "ag-ui")


def _requests_above_limits(spec: Mapping[str, Any], container: str) -> Iterator[Finding]:
    resources = spec[container]["resources"]
    limits = resources["limits"]
    for name, amount in resources["requests"].items():
        if name in limits and _parse_amount(amount) > _parse_amount(limits[name]):
            paths = tuple((container, "resources", each, name) for each in ("limits", "requests"))
            message = f"the request of {amount} is more than the limit of {limits[name]}: set both"
            yield Finding(paths, message)


_BYTES: Final = ("memory", "ephemeral-storage", "hugepages-")


def _find_fractional_bytes(spec: Mapping[str, Any], container: str) -> Iterator[Finding]:
    for kind in ("requests", "limits"):
        for name, amount in spec[container]["resources"][kind].items():
            if name.startswith(_BYTES) and _parse_amount(amount).denominator != 1:
                message = f"{amount} is not a whole number of bytes: write `M` or `Mi` for millions"
                yield Finding(((container, "resources", kind, name),), message)


_STORAGE_MODE: Final = ("storage", "mode")


def _find_storage_errors(storage: Mapping[str, Any]) -> Iterator[Finding]:
    """Neither Secret replaces the other, and the shared one is used only if it is named."""
    own, shared = storage["secretName"], storage["sharedSecretName"]
    if storage["mode"] == "shared" and not shared:
        yield Finding(
            (("storage", "sharedSecretName"),),
            "is missing: `mode: shared` needs the installation's Secret by name, in defaults.yaml",
            cause=_STORAGE_MODE,
        )
    if storage["mode"] == "custom" and not own:
        yield Finding(
            (("storage", "secretName"),),
            "is missing: `mode: custom` needs the project's own Secret; the shared one is not used",
            cause=_STORAGE_MODE,
        )
    if storage["mode"] == "custom" and own and own == shared:
        yield Finding(
            (("storage", "secretName"),), "is the installation's Secret: write `mode: shared`"
        )


BRIDGE_PORT: Final = 8095
"""The port of the bridge next to the runner, at which the runner's own calls arrive."""


def _find_port_errors(spec: Mapping[str, Any]) -> Iterator[Finding]:
    ports = {"runner": spec["runner"]["port"]}
    if spec["storage"]["mode"] != "none":
        ports["mirror"] = spec["mirror"]["port"]
    if ports["runner"] == ports.get("mirror"):
        yield Finding(
            (("mirror", "port"), ("runner", "port")),
            "the mirror's port is also the runner's port: choose another one",
        )
    for container, port in ports.items():
        if port == BRIDGE_PORT and _speaks_ag_ui(spec):
            message = f"{BRIDGE_PORT} is the port of the bridge: choose another one"
            yield Finding(((container, "port"),), message)


def _find_state_dir_errors(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """The runner reads the variable, and the pod has its mounts by the other setting."""
    named, chosen = (
        spec["environmentVariables"].get(STATE_DIR_VARIABLE),
        spec["runner"]["stateDir"],
    )
    paths = (("environmentVariables", STATE_DIR_VARIABLE), ("runner", "stateDir"))
    if named and (reason := STATE_DIR.find_error(named)):
        yield Finding(paths, reason)
    elif named and named != chosen:
        message = f"{STATE_DIR_VARIABLE} is `{named}`, and runner.stateDir is `{chosen}`"
        yield Finding(paths, f"{message}: set one of them")


def _find_folder_errors(spec: Mapping[str, Any]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, repo in enumerate(spec["repos"]):
        path, name = ("repos", index, "url"), repo["name"]
        at = first.setdefault(name, index)
        if at != index:
            reason = f"is cloned into the same folder `{name}` as spec.repos[{at}]"
            yield Finding((path,), f"{reason}: give one of them another `name`")
        if FOLDER_NAME.find_error(name):
            reason = f"ends in `{printable_excerpt(name)}`, which is no name for a folder"
            yield Finding((path,), f"{reason}: add `name`")
    workflow = spec["activeWorkflow"]["gitUrl"]
    if workflow and FOLDER_NAME.find_error(clone_directory(workflow)):
        reason = "must end in a name for a folder: letters, digits, `-`, `_`, `.`"
        yield Finding((("activeWorkflow", "gitUrl"),), reason)


def _find_long_list(repos: list[Mapping[str, Any]]) -> Iterator[Finding]:
    given = [{name: value for name, value in repo.items() if value is not None} for repo in repos]
    if reason := find_length_error(given):
        yield Finding((("repos",),), reason)


def _find_missing_model_key(spec: Mapping[str, Any]) -> Iterator[Finding]:
    runner = spec["runner"]
    has_secret = any("secretRef" in source for source in runner["envFrom"])
    is_known = not _MODEL_VARIABLES.isdisjoint(spec["environmentVariables"])
    image = re.split("[:@]", runner["image"].rpartition("/")[2])[0]
    if _speaks_ag_ui(spec) and image == _PLATFORM_RUNNER and not has_secret and not is_known:
        yield Finding((("runner", "envFrom"),), _NO_MODEL_KEY)


_PLATFORM_RUNNER: Final = "vteam_claude_runner"
"""The last part of the name of the platform's image, in whatever registry."""

_MODEL_VARIABLES: Final = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "CLAUDE_CODE_USE_VERTEX",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "USE_VERTEX",
    }
)
"""Variables without which the platform's runner cannot call any model."""

_NO_MODEL_KEY: Final = (
    "gives the runner no key for its model: add `- secretRef: {name: ambient-runner-secrets}`, a "
    "Secret with the key `ANTHROPIC_API_KEY`"
)


def _find_memory_warnings(mirror: Mapping[str, Any]) -> Iterator[Finding]:
    files, limit = mirror["maxFiles"], mirror["resources"]["limits"].get("memory")
    needed = _MIRROR_BASE_BYTES + files * _MIRROR_BYTES_PER_FILE
    if limit is not None and _parse_amount(limit) < needed:
        reason = f"a workspace with so many files may need {-(-needed // 2**20)}Mi of memory"
        yield Finding(
            (("mirror", "maxFiles"), ("mirror", "resources", "limits", "memory")),
            f"maxFiles is {files}: {reason}, and the limit is {limit}",
        )


def _find_unused_storage(storage: Mapping[str, Any]) -> Iterator[Finding]:
    if storage["mode"] != "custom":
        for name in _CUSTOM_STORAGE_FIELDS:
            if storage[name] is not None:
                message = f"has no effect with `mode: {storage['mode']}`"
                yield Finding((("storage", name),), message)


def _parse_amount(quantity: str) -> Fraction:
    return parse_quantity(quantity) or Fraction()
