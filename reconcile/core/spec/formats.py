"""The formats of single values: Kubernetes names, quantities, images, durations, git URLs.

Each format is a pattern that JSON Schema and validation share, and a message with a valid example.
Git URLs, branches and paths are refused if git could read them as an option or run a program.

Sources: Kubernetes' "Object Names and IDs", "Labels and Selectors" and "Quantity", the OCI
distribution specification for images, Amazon's bucket naming rules, git-clone "GIT URLS",
git-check-ref-format, and gitremote-helpers for `<transport>::<address>`.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from reconcile.core.model import LABEL_MANAGED_BY, LABEL_PREFIX, RECORD_PREFIX
from reconcile.core.spec.field_types import TEXT, Scalar, identity

MAX_NAME_LENGTH: Final = 63 - len(RECORD_PREFIX)
"""The longest session name: `session-<name>` has to fit into a Service's name."""

MAX_TEXT_BYTES: Final = 120_000
"""Linux limits an environment entry of a process to 128 KiB."""

MAX_LINE_LENGTH: Final = 1024
MAX_DURATION_SECONDS: Final = 366 * 24 * 3600

RESERVED_ENVIRONMENT: Final = frozenset(
    {
        "ACTIVE_WORKFLOW_BRANCH",
        "ACTIVE_WORKFLOW_GIT_URL",
        "ACTIVE_WORKFLOW_PATH",
        "AGENTIC_SESSION_NAME",
        "AGENTIC_SESSION_NAMESPACE",
        "AGUI_TOKEN",
        "ARTIFACTS_DIR",
        "AUTO_PUSH_ON_COMPLETE",
        "BACKEND_API_URL",
        "CUSTOM_MCP_SERVERS",
        "INITIAL_PROMPT",
        "INPUTS_DIR",
        "INTERACTIVE",
        "LLM_MAX_TOKENS",
        "LLM_MODEL",
        "LLM_TEMPERATURE",
        "PROJECT_MCP_SERVERS",
        "PROJECT_NAME",
        "REPOS_JSON",
        "SESSION_ID",
        "TIMEOUT",
        "USER_ID",
        "USER_NAME",
        "USE_AGUI",
        "WORKSPACE_PATH",
    }
)
"""Variables that the shipped templates set, by value or by a reference.

`RUNNER_STATE_DIR` and `RUNNER_TYPE` are not among them: the state directory follows from both.
"""

RESERVED_FOLDERS: Final = frozenset(
    {
        ".reconcile-mirror-restoring",
        ".reconcile-runner-cloning",
        ".session",
        "artifacts",
        "file-uploads",
        "repos",
        "workflows",
    }
)
"""Folders of the workspace that have a purpose of their own."""

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_PART: Final = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_IMAGE_PART: Final = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
_NUMBER: Final = "([0-9]{1,18}(\\.[0-9]{0,9})?|\\.[0-9]{1,9})"
_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_ALLOWED_KUBERNETES_KEYS: Final = (
    "app.kubernetes.io/",
    "cluster-autoscaler.kubernetes.io/safe-to-evict",
)


def text_format(
    expected: str, pattern: str, max_length: int, convert: Callable[[Any], Any] = identity
) -> Scalar:
    """A text that matches a whole pattern; `expected` describes it in messages."""
    compiled = re.compile(pattern, re.ASCII)
    schema = {"type": "string", "pattern": f"^({pattern})$", "maxLength": max_length}

    def reason(value: str) -> str:
        if len(value) > max_length:
            return f"is longer than {max_length} characters"
        return "" if compiled.fullmatch(value) else f"must be {expected}"

    return Scalar("text", TEXT, schema, reason, convert)


def find_label_error(key: str) -> str:
    """Return why a file may not set this label or annotation, or an empty text."""
    domain = key.rpartition("/")[0]
    if key == LABEL_MANAGED_BY or key.startswith(LABEL_PREFIX):
        return "is reserved: the reconciler sets it itself"
    is_kubernetes = f".{domain}".endswith((".kubernetes.io", ".k8s.io"))
    if is_kubernetes and not key.startswith(_ALLOWED_KUBERNETES_KEYS):
        return "is reserved for Kubernetes"
    return QUALIFIED_NAME.find_error(key)


def find_variable_error(name: str) -> str:
    """Return why a file may not set this variable, or an empty text."""
    if name in RESERVED_ENVIRONMENT:
        return "is reserved: the session's other fields set it"
    return ENVIRONMENT_NAME.find_error(name)


def parse_duration_seconds(duration: str | int) -> int:
    """Convert a valid duration into seconds."""
    if isinstance(duration, int):
        return duration
    return sum(
        int(count) * _UNITS[unit] for count, unit in re.findall("([0-9]+)([dhms])", duration)
    )


def _find_duration_error(value: str | int) -> str:
    if isinstance(value, str) and not re.fullmatch(_DURATION, value, re.ASCII):
        return "must be a duration such as 90m, 8h or 1h30m, or a number of seconds"
    is_sensible = 0 < parse_duration_seconds(value) <= MAX_DURATION_SECONDS
    return "" if is_sensible else "must be from one second to 366 days"


def _find_quantity_error(value: str | float) -> str:
    if re.fullmatch(_QUANTITY, str(value), re.ASCII):
        return ""
    return "must be a quantity such as 500m, 2 or 8Gi"


def _find_line_error(value: str) -> str:
    if len(value) > MAX_LINE_LENGTH:
        return f"is longer than {MAX_LINE_LENGTH} characters"
    return "" if re.fullmatch(_LINE, value) else "must be one line without control characters"


def _find_text_error(value: str) -> str:
    if len(value.encode()) > MAX_TEXT_BYTES:
        return f"is longer than {MAX_TEXT_BYTES} bytes, more than a process accepts in a variable"
    return ""


_DURATION: Final = "(?=.)([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?"
_QUANTITY: Final = f"{_NUMBER}(m|u|n|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei|[eE][0-9]{{1,2}})?"
_LINE: Final = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*"

SESSION_NAME: Final = text_format(
    f"lower-case letters, digits and `-`, at most {MAX_NAME_LENGTH} of them: "
    f"the session's Service is called `{RECORD_PREFIX}<name>`, and Kubernetes allows 63",
    f"(?=.{{1,{MAX_NAME_LENGTH}}}$){_LABEL}",
    MAX_LINE_LENGTH,
)
LABEL_NAME: Final = text_format("lower-case letters, digits and `-`", _LABEL, 63)
OBJECT_NAME: Final = text_format(
    "lower-case letters, digits, `-` and `.`", f"{_LABEL}(\\.{_LABEL})*", 253
)
SESSION_REF: Final = text_format("`<namespace>/<session>`", f"{_LABEL}/{_LABEL}", 127)
QUALIFIED_NAME: Final = text_format(
    "a name such as `team` or `example.com/team`",
    f"({_LABEL}(\\.{_LABEL})*/)?(?=.{{1,63}}$){_LABEL_PART}",
    317,
)
LABEL_VALUE: Final = text_format("letters, digits, `-`, `_` and `.`", f"({_LABEL_PART})?", 63)
ENVIRONMENT_NAME: Final = text_format(
    "letters, digits, `_`, `-` and `.`, not beginning with a digit or `..`",
    "(?!\\.\\.)(?!\\.$)[-._A-Za-z][-._A-Za-z0-9]*",
    253,
)
IMAGE: Final = text_format(
    "an image reference such as quay.io/team/runner:1.2",
    f"(?:(?:[A-Za-z0-9.-]+|\\[[0-9a-f:]+\\])(?::[0-9]{{1,5}})?/)?{_IMAGE_PART}(?:/{_IMAGE_PART})*"
    "(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    512,
)
BUCKET: Final = text_format(
    "a bucket name: 3 to 63 lower-case letters, digits, `-` and `.`",
    "(?=.{3,63}$)(?!.*\\.\\.)(?![0-9.]*$)[a-z0-9][-.a-z0-9]*[a-z0-9]",
    63,
)
REGION: Final = text_format("a region such as eu-central-1", "[A-Za-z0-9-]+", 63)
ENDPOINT: Final = text_format(
    "a URL such as https://s3.example.com:9000, without user, password and query",
    "https?://(?:[A-Za-z0-9][A-Za-z0-9.-]*|\\[[0-9a-fA-F:.]+\\])(?::[0-9]{1,5})?/?",
    MAX_LINE_LENGTH,
)
AUDIENCE: Final = text_format(
    "an audience such as sts.amazonaws.com", "[A-Za-z0-9][A-Za-z0-9._:/@-]*", MAX_LINE_LENGTH
)
BANDWIDTH: Final = text_format(
    "bytes per second, at least 100kB, such as 20MiB",
    "([1-9][0-9]{2,8}(k|Ki)|[1-9][0-9]{0,5}(M|Mi|G|Gi))B?",
    16,
)
MODEL: Final = text_format("a model's name", "[A-Za-z0-9][A-Za-z0-9._:/@-]*", 256)
NAME_PATTERN: Final = text_format("a pattern such as `*_DSN`", "[A-Za-z0-9_.*?-]+", 253)
ALLOW_PATTERN: Final = text_format(
    "a pattern such as `registry.example.com/agents/*`", "[A-Za-z0-9_.:/@=*?-]+", 512
)
DURATION: Final = Scalar(
    "a duration",
    frozenset({str, int}),
    {
        "type": ["string", "integer"],
        "pattern": f"^{_DURATION}$",
        "minimum": 1,
        "maximum": MAX_DURATION_SECONDS,
    },
    _find_duration_error,
    parse_duration_seconds,
)
QUANTITY: Final = Scalar(
    "a quantity",
    frozenset({str, int, float}),
    {"type": ["string", "number"], "pattern": f"^{_QUANTITY}$", "minimum": 0},
    _find_quantity_error,
    str,
)
FOLDER_NAME: Final = text_format(
    "one folder's name: letters, digits, `-`, `_` and `.`, beginning with a letter, digit or `_`, "
    "without `..`",
    r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]*",
    200,
)
HOME: Final = text_format(
    "an absolute path such as /app, not / and not below /workspace",
    r"(?!/workspace(?:/|$))(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+",
    MAX_LINE_LENGTH,
)
STATE_DIR: Final = text_format(
    "a folder of the workspace such as .claude, and none of " + ", ".join(sorted(RESERVED_FOLDERS)),
    f"(?!(?:{'|'.join(map(re.escape, sorted(RESERVED_FOLDERS)))})(?:/|$))"
    r"(?!\.{1,2}(?:/|$))[A-Za-z0-9_.][A-Za-z0-9._-]*(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.][A-Za-z0-9._-]*)*",
    200,
)
SECRET_KEY: Final = text_format(
    "a key of a Secret: letters, digits, `-`, `_` and `.`", r"(?!\.{1,2}$)[A-Za-z0-9._-]+", 253
)
HOST: Final = text_format(
    "a host such as github.com", "[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", 253
)
SINGLE_LINE: Final = Scalar(
    "text",
    TEXT,
    {"type": "string", "maxLength": MAX_LINE_LENGTH, "pattern": f"^{_LINE}$"},
    _find_line_error,
)
FREE_TEXT: Final = Scalar(
    "text", TEXT, {"type": "string", "maxLength": MAX_TEXT_BYTES}, _find_text_error
)
LABEL_KEY: Final = Scalar("text", TEXT, QUALIFIED_NAME.schema, find_label_error)
VARIABLE: Final = Scalar("text", TEXT, ENVIRONMENT_NAME.schema, find_variable_error)


_HOST: Final = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
_URL: Final = re.compile(
    rf"(?P<scheme>https?|ssh|git)://(?:(?P<user>[^/@]*)@)?{_HOST}(?::[0-9]{{1,5}})?/.+"
)
_SCP: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]*@{_HOST}:[^:-].*")
_SSH_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_NO_BLANK: Final = r"[^\x00-\x20\x7f-\xa0\u2028\u2029]"
_BAD_IN_BRANCH: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|\.$|/$")
_MAX_URL_LENGTH: Final = 2048
_MAX_BRANCH_LENGTH: Final = 244
_EXAMPLE: Final = "such as https://host/team/repo or git@host:team/repo"


def _find_url_error(value: str) -> str:
    if value.startswith("-"):
        return "begins with `-`: git would read it as an option"
    if len(value) > _MAX_URL_LENGTH or not re.fullmatch(f"{_NO_BLANK}+", value):
        return f"must be a URL {_EXAMPLE}, without spaces and control characters"
    if re.match("[A-Za-z0-9+.-]*::", value):
        return "names a remote helper (`ext::` and the like), which git would run as a program"
    address = _URL.fullmatch(value)
    if address is None:
        return "" if _SCP.fullmatch(value) else f"must be an https or ssh URL {_EXAMPLE}"
    return _find_address_error(address["scheme"], address["user"], value)


def _find_address_error(scheme: str, user: str | None, value: str) -> str:
    is_plain_user = scheme == "ssh" and user is not None and _SSH_USER.fullmatch(user)
    if user is not None and not is_plain_user:
        return "has credentials in it: remove them, and give them to the runner in a Secret"
    if "?" in value or "#" in value:
        return "has a query or a fragment: remove it, and give credentials in a Secret"
    return ""


def _find_branch_error(value: str) -> str:
    if value.startswith("-"):
        return "begins with `-`: git would read it as an option"
    is_odd = not value or value.startswith(("/", ".")) or value in {"@", "HEAD"}
    if is_odd or len(value) > _MAX_BRANCH_LENGTH or _BAD_IN_BRANCH.search(value):
        return "must be a valid branch name (see git-check-ref-format)"
    return ""


def _find_path_error(value: str) -> str:
    if value.startswith(("/", "-")) or ".." in value.split("/"):
        return "must be a path inside the repository"
    is_plain = len(value) <= _MAX_URL_LENGTH and re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\\]*", value)
    return "" if is_plain else "must be a path inside the repository, without control characters"


def clone_directory(url: str) -> str:
    """The folder into which git clones a URL: its last part without `.git`."""
    return re.split("[/:]", url.rstrip("/"))[-1].removesuffix(".git")


def workflow_directory(url: str) -> str:
    """The folder in which the platform's runner looks for a workflow: see runner-contract.md."""
    parts = [part for part in url.split("/")[3:] if part]
    if url.startswith(("http://", "https://")) and len(parts) > 1:
        return parts[1].removesuffix(".git")
    return url.rstrip("/").rpartition("/")[2].removesuffix(".git")


GIT_URL: Final = Scalar(
    "text",
    TEXT,
    {
        "type": "string",
        "maxLength": _MAX_URL_LENGTH,
        "pattern": rf"^((https?|git)://[^/@]+/|ssh://[^/:]+(:[0-9]+)?/|[^-:/][^:/]*@[^:]+:[^:-])"
        rf"{_NO_BLANK}*$",
    },
    _find_url_error,
)
BRANCH: Final = Scalar(
    "text",
    TEXT,
    {"type": "string", "maxLength": _MAX_BRANCH_LENGTH, "pattern": r"^[^-/.\s][^\s~^:?*\[\\]*$"},
    _find_branch_error,
)
REPOSITORY_PATH: Final = Scalar(
    "text",
    TEXT,
    {"type": "string", "maxLength": _MAX_URL_LENGTH, "pattern": r"^([^/\\-][^\\]*)?$"},
    _find_path_error,
)
