"""Secret names, the registry of known secret values, and the marks that replace them.

A name of a variable, annotation, map key or option says whether its value is a secret. Each known
value has a number, is recognised in any text, and is replaced by a mark in angle quotes with that
number.
"""

import base64
import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import count, pairwise
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus


class NameClass(IntEnum):
    """What a name says about its value; PLAIN, nothing, is false.

    REFERENCE: the value refers to a secret or describes it (`TOKEN_FILE`, `AUTH_ENABLED`). SECRET:
    a built-in word promises a secret. CONFIGURED: a pattern of the policy does.
    """

    PLAIN = 0
    REFERENCE = 1
    SECRET = 2
    CONFIGURED = 3


SecretNameMatcher: TypeAlias = Callable[[str], NameClass]

_WORD_PATTERN: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def build_word_set(words: str) -> frozenset[str]:
    """Return the set of words in a text."""
    return frozenset(words.split())


_SECRET_WORDS: Final = build_word_set(
    "APIKEY AUTH AUTHORIZATION BEARER COOKIE COOKIES CREDENTIAL CREDENTIALS CREDS DOCKERCFG "
    "DOCKERCONFIGJSON DSN HTPASSWD JWT MACAROON MNEMONIC NETRC PASSCODE PASSPHRASE PASSWORDHASH "
    "PASSWORDS SECRETS"
)

_SECRET_ENDINGS: Final = tuple(
    build_word_set(
        "ACCESSKEY APIKEY AUTHKEY KENNWORT PASS PASSKEY PASSWD PASSWORD PASSWORT PRIVATEKEY PWD "
        "SECRET SECRETKEY SESSIONKEY TOKEN"
    )
)
"""Words that end like this count too: `PGPASSWORD`, `authtoken`, but not `TOKENIZER`, `TOKENS`."""

_ORDINARY_WORDS: Final = build_word_set(
    "BYPASS COMPASS ENCOMPASS OVERPASS PASS PWD SURPASS TRESPASS UNDERPASS"
)
"""Words with such an ending that promise no secret, at least not in the middle of a name."""

_SECRET_PHRASES: Final = frozenset(
    tuple(phrase.split("_"))
    for phrase in build_word_set(
        "ACCESS_KEY ACCESS_TOKENS ACCOUNT_KEY API_KEY API_KEYS API_TOKENS BACKUP_CODE "
        "BACKUP_CODES CONNECTION_STRING CONN_STR DEPLOY_KEY ENCRYPTION_KEY HMAC_KEY ID_RSA "
        "MASTER_KEY MFA_SEED PASS_PHRASE PASS_WORD PRIVATE_KEY PRIVATE_KEYS RECOVERY_CODE "
        "RECOVERY_CODES REFRESH_TOKENS SEED_PHRASE SERVICE_KEY SESSION_KEY SHARED_KEY SIGNING_KEY "
        "SNMP_COMMUNITY SSH_KEY STORAGE_KEY TOTP_SEED"
    )
)

_SECRET_LAST_WORDS: Final = build_word_set(
    "HMAC KEY OTP PASS PAT PEPPER PIN PSK PW PWD SALT SK TOTP"
)
"""Secret at the end of a name: `SMTP_PW`, `STRIPE_KEY_2`, but not `PAT_MODE`."""

_QUALIFIERS: Final = build_word_set(
    "B BACKUP BASE CONTENT CONTENTS CURRENT DATA DEFAULT DEV HASH HEX JSON LIVE MATERIAL NEW OLD "
    "PEM PREVIOUS PRIMARY PROD PRODUCTION RAW SANDBOX SECONDARY STAGING STRING TEST TEXT VALUE"
)
"""Words after it that change nothing: `STRIPE_KEY_LIVE`, `client-key-data`, `KEY_BASE64`."""

_LONGER_ONLY: Final = build_word_set("HMAC KEY OTP PEPPER PIN SK")
"""Of these, those that are ordinary words unless another word precedes them."""

_ORDINARY_BEFORE: Final = {
    "KEY": build_word_set(
        "ANY CACHE FOREIGN HOT INDEX ISSUE PARTITION PRIMARY PROJECT PUB PUBLIC PUBLISHABLE "
        "ROUTING SECONDARY SHORTCUT SORT TOPOLOGY TRANSLATION"
    ),
    "OTP": build_word_set("ERLANG"),
    "PASS": build_word_set("BAND FIRST HIGH LOW MULTI NEXT ONE PROXY RENDER SECOND SINGLE TWO"),
    "TOKEN": build_word_set("BOS CLS EOS MASK PAD SEP STOP UNK"),
}
"""Words before it that make it an ordinary value: `CACHE_KEY`, `PROXY_PASS`, `PAD_TOKEN`."""

_ORDINARY_ENDINGS: Final = frozenset({("CREDENTIAL", "SOURCES")})
"""Last words of names whose value says where secrets are: its own names say what is one."""

_REFERENCE_WORDS: Final = build_word_set(
    "ADDR ADDRESS AGE ALG ALGORITHM ALLOWED ARN AUDIENCE BACKEND BRANCH BUCKET BUDGET CLASS COUNT "
    "DAYS DIR DIRECTORY DISABLED DOMAIN DRIVER DURATION ENABLED ENDPOINT ENGINE ENV EXPIRATION "
    "EXPIRES EXPIRY FIELD FILE FILENAME FLOW FOLDER FORMAT GROUP HEADER HELPER HOST HOSTNAME HOURS "
    "INTERVAL ISSUER KIND LABEL LENGTH LEVEL LIMIT LOCATION MANAGER METHOD METHODS MINUTES MODE "
    "NAME NAMES NAMESPACE OPTIONAL PATH POLICY PORT PREFIX PROFILE PROVIDER REALM REF REFS REGION "
    "QUOTA RATE REQUIRED ROLE ROTATION SCOPE SCOPES SECONDS SERVER SERVICE SIZE SOURCE STATUS "
    "STORE STRATEGY SUFFIX TAG TIMEOUT TTL TYPE URI URL USER USERNAME VAR VARIABLE VERSION WINDOW"
)

_SWITCHES: Final = build_word_set("ALLOW DISABLE ENABLE REQUIRE SKIP")
"""First words of a name that turns something on or off: `REQUIRE_PASSWORD`."""


def split_name(name: str) -> tuple[str, ...]:
    """Split a name into words at `_`, `-`, other signs, digits and changes of case."""
    return tuple(word.upper() for word in _WORD_PATTERN.findall(name))


def is_reference_name(name: str) -> bool:
    """Return whether a name refers to a secret and does not hold one: `secretName`, `TOKEN_FILE`.

    Such a value is not searched for elsewhere, since it is usually an ordinary name or path.
    """
    words = split_name(name)
    return any(word in _REFERENCE_WORDS for word in words[-1:]) or not _SWITCHES.isdisjoint(
        words[:1]
    )


def build_secret_name_matcher(globs: Iterable[str]) -> SecretNameMatcher:
    """Build the test for secret names: the built-in words, and `globs`, which ignore case."""
    extra = tuple(re.compile(fnmatch.translate(glob.upper())) for glob in globs)

    @lru_cache(maxsize=8192)
    def classify(name: str) -> NameClass:
        upper = name.upper()
        if any(pattern.match(upper) for pattern in extra):
            return NameClass.CONFIGURED
        if not _has_secret_word(name):
            return NameClass.PLAIN
        return NameClass.REFERENCE if is_reference_name(name) else NameClass.SECRET

    return classify


def _has_secret_word(name: str) -> bool:
    parts = split_name(name)
    if _is_ordinary_name(parts):
        return False
    return (
        any(map(_is_secret_word, parts))
        or any(pair in _SECRET_PHRASES for pair in pairwise(parts))
        or _ends_with_secret_word([part for part in parts if not part.isdecimal()])
    )


def _is_secret_word(word: str) -> bool:
    return word in _SECRET_WORDS or (word.endswith(_SECRET_ENDINGS) and word not in _ORDINARY_WORDS)


def _is_ordinary_name(words: Sequence[str]) -> bool:
    is_ordinary = len(words) > 1 and words[-2] in _ORDINARY_BEFORE.get(words[-1], ())
    return is_ordinary or tuple(words[-2:]) in _ORDINARY_ENDINGS


def _ends_with_secret_word(words: Sequence[str]) -> bool:
    """Test the last word, or the one before a word such as `FILE` or `LIVE`: `STRIPE_KEY_FILE`."""
    *before, last = words or ("",)
    if last in _SECRET_LAST_WORDS:
        return not _is_ordinary_name(words) and (bool(before) or last not in _LONGER_ONLY)
    is_qualified = last in _REFERENCE_WORDS or last in _QUALIFIERS
    return is_qualified and bool(before) and _ends_with_secret_word(before)


_FLAGS: Final = build_word_set(
    "0 1 -1 true false yes no on off none null nil undefined enabled disabled default auto "
    "automatic always never optional required main master latest basic bearer digest jwt ldap "
    "mtls oauth oauth2 oidc saml x-oauth-basic x-access-token aes128 aes256 argon2 argon2id "
    "ed25519 es256 hs256 hs512 md5 rs256 rsa2048 rsa4096 sha1 sha256 sha512"
)


def is_flag(text: str) -> bool:
    """Return whether a text is a word that sets a mode, such as a switch or an algorithm."""
    return text.lower() in _FLAGS


_PATH: Final = re.compile(
    r"(?:file://)?(?:~|\$\{?HOME\}?|/(?:app|data|dev|etc|home|mnt|opt|proc|root|run|secrets|srv|tmp|usr"
    r"|var|vault|workspace))(?:/[\w.@%+,:=-]*)*|(?:/[a-z][a-z._-]{0,40}){1,8}/?"
)

_PLACEHOLDER: Final = re.compile(
    r"\$\{?[A-Z_][A-Z0-9_]{0,99}\}?|\$\([A-Za-z_][\w.-]{0,99}\)?|\$?\{\{[^{}]{0,200}(?:\}\})?"
    r"|<[A-Za-z_| /-]{1,60}>|\[[A-Z_]{1,60}\]|\*{3,60}|\.{3}"
)
"""Refers to a value, or stands for one: `$NAME`, `$(NAME)`, `{{ name }}`, `<password>`."""

_ORDINARY_TEXT: Final = re.compile(r"[\w .:/,@*+=~$%?&#-]{0,200}")
_RANDOM_RUN: Final = re.compile(
    r"(?=[A-Za-z+=_]{0,64}[0-9])(?=[0-9+=_]{0,64}[A-Za-z])[A-Za-z0-9+=_]{16,}"
)


def is_ordinary_value(value: Any, name: NameClass) -> bool:
    """Return whether a value is not a secret although its name promises one: a flag, or a path.

    Under a name that only describes a secret, this is any text without a long random part.
    """
    if value is None or isinstance(value, bool):
        return name is not NameClass.CONFIGURED
    if not isinstance(value, str | int | float) or name is NameClass.CONFIGURED:
        return False
    text = str(value).strip()
    if not text or is_flag(text) or _PATH.fullmatch(text) or _PLACEHOLDER.fullmatch(text):
        return True
    return (
        name is NameClass.REFERENCE
        and _ORDINARY_TEXT.fullmatch(text) is not None
        and _RANDOM_RUN.search(text) is None
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


def without_mark_numbers(text: str) -> str:
    """Return a text with equal marks only: numbers depend on the order of masking."""
    return _MARK.sub(f"{_OPENING}0{_CLOSING}", text)


def find_marks(text: str) -> list[tuple[int, int]]:
    """Find the marks in `text`, as pairs of start and end."""
    return [match.span() for match in _MARK.finditer(text)]


_WORDS: Final = re.compile(r"[A-Za-z]{1,40}(?:[-_./][A-Za-z]{1,40}){0,8}(?:-[0-9]{1,3})?")
_DIGEST: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Return whether a text is exactly one SHA-256 in hexadecimal."""
    return len(text) in {64, 71} and _DIGEST.fullmatch(text) is not None


_MIN_LENGTH: Final = 4
_WHOLE_WORD_BELOW: Final = 8
_MAX_NUMBER_LENGTH: Final = 7

_COMMON_VALUES: Final = _FLAGS | build_word_set(
    "admin user username root password secret token changeme localhost"
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
        self._open: set[str] = set()
        self._declared_digests: set[str] = set()
        self.knows_secrets = False
        """Whether there is a secret, which need not be searchable."""
        self._values: dict[str, str] = {}
        self._by_tail: dict[str, tuple[str, ...]] = {}

    def mark_of(self, value: str) -> str:
        """Return the mark of a value; it gets a number if it has none yet."""
        self.knows_secrets = True
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

    def note_secret(self) -> None:
        """Remember that there is a secret, which need not be searchable."""
        self.knows_secrets = True

    def is_revealing_digest(self, text: str) -> bool:
        """Return whether a text is a digest with which one could try values for a secret.

        That is every SHA-256 that no file declares, once there is a secret: a template may have
        computed it from one, and short secrets are found by trying all of them.
        """
        is_computed = is_digest(text) and text not in self._declared_digests
        return self.knows_secrets and is_computed

    def add_open(self, name: str) -> None:
        """Remember a field name, key or object name: if it is a word, equal text is never hidden.

        Other names do not count: a secret that is written into a key by mistake stays hidden.
        """
        if _WORDS.fullmatch(name):
            self._open.add(name)

    def add_declared_digest(self, digest: str) -> None:
        """Remember a digest that a file declares, which no template has computed."""
        self._declared_digests.add(digest)

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
                if self._values[form] in self._open:
                    continue
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
    unpadded = {form.rstrip("=") for form in encoded} | _forms_inside_base64(raw)
    other = {quote(raw, safe=""), quote_plus(raw), value.replace("'", "''")} | encoded | unpadded
    # A pod has it twice in a literal variable.
    doubled = {form.replace("$", "$$") for form in {value} | escaped}
    lines = {line.strip() for line in value.splitlines()}
    long_lines = {line for line in lines if len(line) >= _WHOLE_WORD_BELOW}
    return {value, value.strip()} | escaped | twice | doubled | other | long_lines


def _forms_inside_base64(raw: bytes) -> set[str]:
    """Return what a value becomes in the base64 of a longer text, by its position in it.

    The characters that also encode the bytes next to it are left out.
    """
    if len(raw) < _WHOLE_WORD_BELOW:
        return set()
    forms = set()
    for offset, begin in enumerate((0, 2, 3)):
        end = (offset + len(raw)) * 8 // 6
        forms.add(base64.b64encode(bytes(offset) + raw).decode()[begin:end])
    return forms | {form.translate(_URL_SAFE) for form in forms}


_URL_SAFE: Final = str.maketrans("+/", "-_")


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
