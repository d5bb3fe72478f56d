"""The filters and tests that templates may use: an allow list, all of them bounded and pure.

The allow and deny lists of rendering are long: they are written as text.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson
from jinja2 import Undefined, pass_environment
from jinja2.filters import FILTERS
from jinja2.tests import TESTS

from reconcile.core.canonical_json import canonical
from reconcile.core.render.metering import CONCAT, MAX_OUTPUT, MEMBERS, STEP, WEIGH, RefusedError


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_LABEL: Final = 63
_HASH: Final = 8
_MAX_INDENT: Final = 40
_BARE_KEY: Final = re.compile("[a-z][A-Za-z0-9]{2,}(?<!true)(?<!false)(?<!null)")

# JSON allows these bare; YAML takes them for line breaks, or refuses to read them.
_UNSAFE: Final = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")


def text_of(value: Any) -> str:
    """Say a value as a template prints it: text and numbers as they are, booleans as YAML does."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Undefined):
        return str(value)  # raises: it knows its name; only an `if` without `else` is empty text
    if value is None:
        raise RefusedError(
            "prints null: leave the field out with `{% if %}`, or use `| default(…, true)` "
            "or `| tojson`"
        )
    raise RefusedError(f"prints a {type(value).__name__}: use `| tojson` or `| toyaml`")


def tojson(value: Any) -> str:
    """Encode as JSON that is YAML at once, whatever is in it; keys are sorted."""
    try:
        text = orjson.dumps(value, _complain, orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        if isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        raise
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def toyaml(value: Any, indent: int = 0) -> str:
    """Encode as a YAML block; every line but the first is indented by `indent` blanks."""
    return _block(value, _margin(indent))


def _block(value: Any, margin: str) -> str:
    inner = margin + "  "
    if isinstance(value, Mapping) and value:
        lines = [_entry(key, item, inner) for key, item in sorted(value.items())]
    elif isinstance(value, (list, tuple)) and value:
        lines = ["- " + _block(item, inner) for item in value]
    else:
        return tojson(value)
    return f"\n{margin}".join(lines)


def _entry(key: str, value: Any, inner: str) -> str:
    name = key if _BARE_KEY.fullmatch(key) else tojson(key)
    nested = isinstance(value, (Mapping, list, tuple)) and value
    gap = f"\n{inner}" if nested else " "
    return f"{name}:{gap}{_block(value, inner)}"


def quote(value: Any) -> str:
    """Make YAML text of what would be printed: `{{ 8080 | quote }}` is `"8080"`."""
    return tojson(text_of(value))


def env_literal(value: Any) -> str:
    """Quote what would be printed as the value of a variable, in which `$(NAME)` means nothing."""
    return tojson(text_of(value).replace("$", "$$"))


def b64encode(value: Any) -> str:
    """Encode the printed form as base64, as `data` of a Secret wants it."""
    return base64.b64encode(text_of(value).encode()).decode()


def sha256(value: Any) -> str:
    """Hash text as it is, and anything else by its canonical JSON; hexadecimal."""
    content = value.encode() if isinstance(value, str) else canonical(value)
    return hashlib.sha256(content).hexdigest()


def truncate_name(value: str, limit: int = _LABEL) -> str:
    """Cut a name to `limit` characters; a hash at the end keeps names apart that were cut."""
    if len(value) <= limit:
        return value
    return value[: limit - _HASH - 1].rstrip("-.") + "-" + sha256(value)[:_HASH]


def dns_label(value: str) -> str:
    """Make a DNS label of any text; a hash at the end keeps texts apart that were changed."""
    label = re.sub("[^a-z0-9]+", "-", value.lower()).strip("-")
    if label == value:
        return truncate_name(label)
    kept = label[: _LABEL - _HASH - 1].rstrip("-")
    return "-".join(part for part in (kept, sha256(value)[:_HASH]) if part)


def merge(value: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    """Put mappings together; what comes later wins."""
    merged = dict(value)
    for other in others:
        merged |= other
    return merged


def compact(value: Any) -> Any:
    """Leave out what is null in mappings, at every depth."""
    if isinstance(value, Mapping):
        return {key: compact(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [compact(item) for item in value]
    return value


def indent(value: str, width: int = 4) -> str:
    """Indent every line but the first by `width` blanks."""
    margin = "\n" + _margin(width)
    _bounded(len(value) + value.count("\n") * len(margin))
    return value.replace("\n", margin)


def join(value: Any, separator: str = "") -> str:
    """Print the items of a list with `separator` between them."""
    items = [text_of(item) for item in value]
    _bounded(sum(map(len, items)) + len(items) * len(separator))
    return separator.join(items)


def replace(value: str, old: str, new: str) -> str:
    """Replace every `old` in a text."""
    _bounded(len(value) + value.count(old) * len(new))
    return value.replace(old, new)


def concat(values: list[Any]) -> str:
    """Do what `~` does: print one behind the other."""
    return "".join(map(text_of, values))


def _margin(width: int) -> str:
    if not 0 <= width <= _MAX_INDENT:
        raise RefusedError(f"indents by {width}: 0 to {_MAX_INDENT} blanks are possible")
    return " " * width


def _bounded(characters: int) -> None:
    if characters > MAX_OUTPUT:
        raise RefusedError(f"makes a text of more than {MAX_OUTPUT} characters")


def _complain(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises: it knows its name
        raise RefusedError("has no value: an `if` without `else`")
    raise RefusedError(f"a {type(value).__name__} has no JSON form")


@pass_environment
def _step(environment: Any, work: int) -> None:
    environment.budget.spend(abs(work))


@pass_environment
def _weigh(environment: Any, value: Any) -> Any:
    return environment.budget.weigh(value)


@pass_environment
def _members(environment: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return value  # Looking up a key walks over nothing.
    return environment.budget.weigh(value)


@pass_environment
def _equal(environment: Any, value: Any, other: Any) -> bool:
    weigh = environment.budget.weigh
    return bool(weigh(value) == weigh(other))


@pass_environment
def _contained(environment: Any, value: Any, container: Any) -> bool:
    weigh = environment.budget.weigh
    return weigh(value) in weigh(container)


_FILTERS_OF_JINJA: Final = words(
    "abs capitalize count d default dictsort first float int items last length list lower map max "
    "min reject rejectattr select selectattr sort title trim unique upper"
)
_TESTS_OF_JINJA: Final = words(
    "boolean defined divisibleby even false float integer iterable mapping none number odd "
    "sequence string true undefined"
)
_Functions: TypeAlias = Mapping[str, Callable[..., Any]]

# Typed here, since the library leaves it to be guessed.
_JINJA_FILTERS: Final[Mapping[str, Any]] = FILTERS
_JINJA_TESTS: Final[Mapping[str, Any]] = TESTS

ALLOWED_FILTERS: Final[_Functions] = {
    **{name: _JINJA_FILTERS[name] for name in _FILTERS_OF_JINJA},
    "tojson": tojson,
    "toyaml": toyaml,
    "quote": quote,
    "env_literal": env_literal,
    "b64encode": b64encode,
    "sha256": sha256,
    "truncate_name": truncate_name,
    "dns_label": dns_label,
    "merge": merge,
    "compact": compact,
    "indent": indent,
    "join": join,
    "replace": replace,
    "string": text_of,
}
"""What a template may write behind `|`."""

HIDDEN_FILTERS: Final[_Functions] = {STEP: _step, WEIGH: _weigh, CONCAT: concat, MEMBERS: _members}
"""What `metering` writes into a template."""

ALLOWED_TESTS: Final[_Functions] = {
    **{name: _JINJA_TESTS[name] for name in _TESTS_OF_JINJA},
    "eq": _equal,
    "equalto": _equal,
    "in": _contained,
}
"""What a template may write behind `is`."""
