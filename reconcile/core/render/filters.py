"""The filters and tests that templates may use: an allow list, all of them bounded and pure."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson
from jinja2 import Undefined, pass_environment
from jinja2.filters import FILTERS
from jinja2.tests import TESTS

from reconcile.core.canonical_json import encode_canonical
from reconcile.core.render.metering import (
    CHARGE_CONTAINER,
    CHARGE_STEP,
    CHARGE_VALUE,
    CONCAT,
    MAX_OUTPUT,
    RenderError,
)


def split_words(text: str) -> frozenset[str]:
    """Return the set of words in a text; long lists of names are written this way."""
    return frozenset(text.split())


_MAX_LABEL_LENGTH: Final = 63
_HASH_LENGTH: Final = 8
_MAX_INDENT: Final = 40
_BARE_KEY: Final = re.compile("[a-z][A-Za-z0-9]{2,}(?<!true)(?<!false)(?<!null)")

# JSON allows these characters unescaped; YAML reads them as line breaks, or refuses them.
_UNSAFE: Final = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")


def render_value(value: Any) -> str:
    """Return a value as a template prints it: text and numbers as usual, booleans as in YAML."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Undefined):
        return str(value)  # raises with its name; only an `if` without `else` is empty text
    if value is None:
        raise RenderError(
            "prints null: leave the field out with `{% if %}`, or use `| default(…, true)` "
            "or `| tojson`"
        )
    raise RenderError(f"prints a {type(value).__name__}: use `| tojson` or `| toyaml`")


def tojson(value: Any) -> str:
    """Encode as JSON that is also valid YAML for any content; keys are sorted."""
    try:
        text = orjson.dumps(value, _reject_value, orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        if isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        raise
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def toyaml(value: Any, indent: int = 0) -> str:
    """Encode as a YAML block; every line but the first is indented by `indent` spaces."""
    return _yaml_block(value, _margin(indent))


def _yaml_block(value: Any, margin: str) -> str:
    inner = margin + "  "
    if isinstance(value, Mapping) and value:
        lines = [_yaml_entry(key, item, inner) for key, item in sorted(value.items())]
    elif isinstance(value, (list, tuple)) and value:
        lines = ["- " + _yaml_block(item, inner) for item in value]
    else:
        return tojson(value)
    return f"\n{margin}".join(lines)


def _yaml_entry(key: str, value: Any, inner: str) -> str:
    name = key if _BARE_KEY.fullmatch(key) else tojson(key)
    nested = isinstance(value, (Mapping, list, tuple)) and value
    gap = f"\n{inner}" if nested else " "
    return f"{name}:{gap}{_yaml_block(value, inner)}"


def quote(value: Any) -> str:
    """Quote the printed form as YAML text: `{{ 8080 | quote }}` is `"8080"`."""
    return tojson(render_value(value))


def env_literal(value: Any) -> str:
    """Quote the printed form as the value of a variable, so that `$(NAME)` is not expanded."""
    return tojson(render_value(value).replace("$", "$$"))


def b64encode(value: Any) -> str:
    """Encode the printed form as base64, as required in `data` of a Secret."""
    return base64.b64encode(render_value(value).encode()).decode()


def sha256(value: Any) -> str:
    """Hash a text, or the canonical JSON of any other value; the result is hexadecimal."""
    content = value.encode() if isinstance(value, str) else encode_canonical(value)
    return hashlib.sha256(content).hexdigest()


def truncate_name(value: str, limit: int = _MAX_LABEL_LENGTH) -> str:
    """Cut a name to `limit` characters; a hash at the end keeps truncated names distinct."""
    if len(value) <= limit:
        return value
    return value[: limit - _HASH_LENGTH - 1].rstrip("-.") + "-" + sha256(value)[:_HASH_LENGTH]


def dns_label(value: str) -> str:
    """Convert any text to a DNS label; a hash at the end keeps changed texts distinct."""
    label = re.sub("[^a-z0-9]+", "-", value.lower()).strip("-")
    if label == value:
        return truncate_name(label)
    kept = label[: _MAX_LABEL_LENGTH - _HASH_LENGTH - 1].rstrip("-")
    return "-".join(part for part in (kept, sha256(value)[:_HASH_LENGTH]) if part)


def merge_mappings(value: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings; later ones take precedence."""
    merged = dict(value)
    for other in others:
        merged |= other
    return merged


def compact(value: Any) -> Any:
    """Remove null values from mappings, at every depth."""
    if isinstance(value, Mapping):
        return {key: compact(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [compact(item) for item in value]
    return value


def indent(value: str, width: int = 4) -> str:
    """Indent every line but the first by `width` spaces."""
    margin = "\n" + _margin(width)
    _check_length(len(value) + value.count("\n") * len(margin))
    return value.replace("\n", margin)


def join(value: Any, separator: str = "") -> str:
    """Print the items of a list with `separator` between them."""
    items = [render_value(item) for item in value]
    _check_length(sum(map(len, items)) + len(items) * len(separator))
    return separator.join(items)


def replace(value: str, old: str, new: str) -> str:
    """Replace every `old` in a text."""
    _check_length(len(value) + value.count(old) * len(new))
    return value.replace(old, new)


def concat(values: list[Any]) -> str:
    """Print values one after the other, as `~` does."""
    return "".join(map(render_value, values))


def _margin(width: int) -> str:
    if not 0 <= width <= _MAX_INDENT:
        raise RenderError(f"indents by {width}: 0 to {_MAX_INDENT} spaces are allowed")
    return " " * width


def _check_length(characters: int) -> None:
    if characters > MAX_OUTPUT:
        raise RenderError(f"makes a text of more than {MAX_OUTPUT} characters")


def _reject_value(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises with its name
        raise RenderError("has no value: an `if` without `else`")
    raise RenderError(f"a {type(value).__name__} has no JSON form")


@pass_environment
def _charge_step(environment: Any, work: int) -> None:
    environment.budget.spend(abs(work))


@pass_environment
def _charge_value(environment: Any, value: Any) -> Any:
    return environment.budget.charge_value(value)


@pass_environment
def _charge_container(environment: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return value  # Looking up a key takes constant time.
    return environment.budget.charge_value(value)


@pass_environment
def _equal(environment: Any, value: Any, other: Any) -> bool:
    charge = environment.budget.charge_value
    return bool(charge(value) == charge(other))


@pass_environment
def _contained(environment: Any, value: Any, container: Any) -> bool:
    charge = environment.budget.charge_value
    return charge(value) in charge(container)


_ALLOWED_JINJA_FILTERS: Final = split_words(
    "abs capitalize count d default dictsort first float int items last length list lower map max "
    "min reject rejectattr select selectattr sort title trim unique upper"
)
_ALLOWED_JINJA_TESTS: Final = split_words(
    "boolean defined divisibleby even false float integer iterable mapping none number odd "
    "sequence string true undefined"
)
_FunctionTable: TypeAlias = Mapping[str, Callable[..., Any]]

# Typed here, since the library does not.
_JINJA_FILTERS: Final[Mapping[str, Any]] = FILTERS
_JINJA_TESTS: Final[Mapping[str, Any]] = TESTS

ALLOWED_FILTERS: Final[_FunctionTable] = {
    **{name: _JINJA_FILTERS[name] for name in _ALLOWED_JINJA_FILTERS},
    "tojson": tojson,
    "toyaml": toyaml,
    "quote": quote,
    "env_literal": env_literal,
    "b64encode": b64encode,
    "sha256": sha256,
    "truncate_name": truncate_name,
    "dns_label": dns_label,
    "merge": merge_mappings,
    "compact": compact,
    "indent": indent,
    "join": join,
    "replace": replace,
    "string": render_value,
}
"""The filters that a template may use after `|`."""

METERING_FILTERS: Final[_FunctionTable] = {
    CHARGE_STEP: _charge_step,
    CHARGE_VALUE: _charge_value,
    CONCAT: concat,
    CHARGE_CONTAINER: _charge_container,
}
"""The filters that `metering` inserts into a template."""

ALLOWED_TESTS: Final[_FunctionTable] = {
    **{name: _JINJA_TESTS[name] for name in _ALLOWED_JINJA_TESTS},
    "eq": _equal,
    "equalto": _equal,
    "in": _contained,
}
"""The tests that a template may use after `is`."""
