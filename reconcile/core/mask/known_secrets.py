"""Secret names, the registry of known secret values, and the marks that replace them.

A name of a variable, annotation, map key or option says whether its value is a secret. Each known
value has a number, is recognised in any text, and is replaced by a mark in angle quotes with that
number.
"""

import base64
import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, pairwise
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus

SecretNameMatcher: TypeAlias = Callable[[str], bool]

_WORD_PATTERN: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def build_word_set(words: str) -> frozenset[str]:
    """Return the set of words in a text."""
    return frozenset(words.split())


_SECRET_WORDS: Final = build_word_set(
    "APIKEY AUTH AUTHORIZATION BEARER COOKIE COOKIES CREDENTIAL CREDENTIALS CREDS DOCKERCFG "
    "DOCKERCONFIGJSON DSN HTPASSWD JWT NETRC PASSCODE PASSPHRASE PASSWORDS SECRETS"
)

_SECRET_ENDINGS: Final = tuple(
    build_word_set("ACCESSKEY APIKEY PASSWD PASSWORD PRIVATEKEY SECRET SECRETKEY SESSIONKEY TOKEN")
)
"""Words that end like this count too: `PGPASSWORD`, `authtoken`, but not `TOKENIZER`, `TOKENS`."""

_SECRET_PHRASES: Final = frozenset(
    tuple(phrase.split("_"))
    for phrase in build_word_set(
        "ACCESS_KEY ACCESS_TOKENS ACCOUNT_KEY API_KEY API_KEYS API_TOKENS CONNECTION_STRING "
        "CONN_STR DEPLOY_KEY ENCRYPTION_KEY HMAC_KEY MASTER_KEY PRIVATE_KEY PRIVATE_KEYS "
        "REFRESH_TOKENS SERVICE_KEY SESSION_KEY SHARED_KEY SIGNING_KEY SSH_KEY STORAGE_KEY"
    )
)

_SECRET_LAST_WORDS: Final = frozenset({"PASS", "PWD"})
"""Secret only at the end of a longer name: `DB_PASS`, but neither `PASS_THROUGH` nor `PWD`."""

_REFERENCE_WORDS: Final = build_word_set(
    "CLASS DIR ENABLED FILE FILENAME KIND LIMIT MODE NAME NAMES NAMESPACE PATH PROVIDER REF "
    "REFS SECONDS TIMEOUT TTL TYPE URL USER USERNAME VERSION"
)


def split_name(name: str) -> tuple[str, ...]:
    """Split a name into words at `_`, `-`, other signs, digits and changes of case."""
    return tuple(word.upper() for word in _WORD_PATTERN.findall(name))


def is_reference_name(name: str) -> bool:
    """Return whether a name refers to a secret and does not hold one: `secretName`, `TOKEN_FILE`.

    Such a value is not searched for elsewhere, since it is usually an ordinary name or path.
    """
    return any(word in _REFERENCE_WORDS for word in split_name(name)[-1:])


def build_secret_name_matcher(globs: Iterable[str]) -> SecretNameMatcher:
    """Build the test for secret names: the built-in words, and `globs`, which ignore case."""
    extra = tuple(re.compile(fnmatch.translate(glob.upper())) for glob in globs)

    @lru_cache(maxsize=8192)
    def is_secret(name: str) -> bool:
        upper = name.upper()
        return _has_secret_word(name) or any(pattern.match(upper) for pattern in extra)

    return is_secret


def _has_secret_word(name: str) -> bool:
    parts = split_name(name)
    return (
        any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in parts)
        or any(pair in _SECRET_PHRASES for pair in pairwise(parts))
        or (len(parts) > 1 and parts[-1] in _SECRET_LAST_WORDS)
    )


_OPENING: Final = "\u2039masked #"
_CLOSING: Final = "\u203a"
_MARK: Final = re.compile(f"{_OPENING}[0-9]+{_CLOSING}")


def format_mark(number: int) -> str:
    """Return the mark of the value with this number."""
    return f"{_OPENING}{number}{_CLOSING}"


def is_mark(text: str) -> bool:
    """Return whether `text` is exactly one mark."""
    return _MARK.fullmatch(text) is not None


def find_marks(text: str) -> list[tuple[int, int]]:
    """Find the marks in `text`, as pairs of start and end."""
    return [match.span() for match in _MARK.finditer(text)]


_MIN_LENGTH: Final = 4
_WHOLE_WORD_BELOW: Final = 8
_MAX_NUMBER_LENGTH: Final = 7

_COMMON_VALUES: Final = build_word_set(
    "true false none null yes no on off enabled disabled default auto always never optional "
    "required admin user username root password secret token changeme basic bearer localhost "
    "oauth2 x-oauth-basic x-access-token"
)
"""Common values; searching for them would mask large parts of any text."""


@dataclass(frozen=True, slots=True)
class SecretMatch:
    """A secret from `start` to `end` of a text; its number is that of `value`."""

    start: int
    end: int
    value: str


class SecretRegistry:
    """The known secret values and their numbers, in order of first appearance.

    Safe to use from several threads: a race can skip a number, but never confuse two values.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._next = count(1)
        self._exact: set[str] = set()
        self._values: dict[str, str] = {}
        self._by_tail: dict[str, tuple[str, ...]] = {}

    def mark_of(self, value: str) -> str:
        """Return the mark of a value; it gets a number if it has none yet."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers.setdefault(value, next(self._next))
        return format_mark(number)

    def original_value(self, form: str) -> str:
        """Return the value of which `form` is a known form, else `form` itself."""
        return self._values.get(form, form)

    def add_exact(self, value: str) -> None:
        """Remember that exactly this value, however short, is the value of a secret field."""
        self._exact.add(value)

    def is_exact_secret(self, value: str) -> bool:
        """Return whether exactly this value is the value of a secret field."""
        return value in self._exact

    def add_searchable(self, value: str, raw: str) -> None:
        """Recognise `value`, which was written as `raw`, inside any later text.

        Values that are too short or too common are not added, since other text would be masked.
        """
        if _is_distinctive(value) and raw not in self._values:
            for form in _encoded_forms(value) | {raw}:
                if _is_distinctive(form) and form not in self._values:
                    self._values[form] = value
                    # Tails, because the heads of tokens are often alike.
                    tail = form[-_MIN_LENGTH:]
                    self._by_tail[tail] = (*self._by_tail.get(tail, ()), form)

    def find_secrets(self, text: str) -> Iterator[SecretMatch]:
        """Find every known value in `text`; the matches may overlap."""
        if not self._values:
            return
        for tail in {text[at : at + _MIN_LENGTH] for at in range(len(text) - _MIN_LENGTH + 1)}:
            for form in self._by_tail.get(tail, ()):
                for start in _find_occurrences(form, text):
                    yield SecretMatch(start, start + len(form), self._values[form])


def _is_distinctive(value: str) -> bool:
    bare = value.strip()
    return (
        len(bare) >= _MIN_LENGTH
        and bare.lower() not in _COMMON_VALUES
        and not (bare.isdecimal() and len(bare) <= _MAX_NUMBER_LENGTH)
    )


def _encoded_forms(value: str) -> set[str]:
    """Return the encodings in which a value is likely to appear elsewhere."""
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    twice = {json.dumps(form)[1:-1] for form in escaped}
    raw = value.encode(errors="surrogatepass")
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    unpadded = {form.rstrip("=") for form in encoded}
    other = {quote(raw, safe=""), quote_plus(raw), value.replace("'", "''")} | encoded | unpadded
    lines = {line.strip() for line in value.splitlines()}
    long_lines = {line for line in lines if len(line) >= _WHOLE_WORD_BELOW}
    return {value, value.strip()} | escaped | twice | other | long_lines


def _find_occurrences(form: str, text: str) -> Iterator[int]:
    start = text.find(form)
    while start >= 0:
        if len(form) >= _WHOLE_WORD_BELOW or _is_whole_word(text, start, start + len(form)):
            yield start
            start = text.find(form, start + len(form))
        else:
            start = text.find(form, start + 1)


def _is_whole_word(text: str, start: int, end: int) -> bool:
    inside_before = text[start - 1 : start].isalnum() and text[start].isalnum()
    inside_after = text[end : end + 1].isalnum() and text[end - 1].isalnum()
    return not (inside_before or inside_after)
