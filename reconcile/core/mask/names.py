"""Which names promise a secret: environment variables, annotations, keys of maps, options."""

import fnmatch
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeAlias

IsSecret: TypeAlias = Callable[[str], bool]

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def vocabulary(words: str) -> frozenset[str]:
    """The set of the words in a text."""
    return frozenset(words.split())


_WORDS: Final = vocabulary(
    "APIKEY AUTH AUTHORIZATION BEARER COOKIE COOKIES CREDENTIAL CREDENTIALS CREDS DOCKERCFG "
    "DOCKERCONFIGJSON DSN HTPASSWD JWT NETRC PASSCODE PASSPHRASE PASSWORDS SECRETS"
)

_ENDINGS: Final = tuple(
    vocabulary("ACCESSKEY APIKEY PASSWD PASSWORD PRIVATEKEY SECRET SECRETKEY SESSIONKEY TOKEN")
)
"""A word that ends so counts too: `PGPASSWORD`, `authtoken`; `TOKENIZER` and `TOKENS` do not."""

_PHRASES: Final = frozenset(
    tuple(phrase.split("_"))
    for phrase in vocabulary(
        "ACCESS_KEY ACCESS_TOKENS ACCOUNT_KEY API_KEY API_KEYS API_TOKENS CONNECTION_STRING "
        "CONN_STR DEPLOY_KEY ENCRYPTION_KEY HMAC_KEY MASTER_KEY PRIVATE_KEY PRIVATE_KEYS "
        "REFRESH_TOKENS SERVICE_KEY SESSION_KEY SHARED_KEY SIGNING_KEY SSH_KEY STORAGE_KEY"
    )
)

_LAST_WORDS: Final = frozenset({"PASS", "PWD"})
"""Secret only at the end of a longer name: `DB_PASS`, but neither `PASS_THROUGH` nor `PWD`."""

_REFERENCES: Final = vocabulary(
    "CLASS DIR ENABLED FILE FILENAME KIND LIMIT MODE NAME NAMES NAMESPACE PATH PROVIDER REF "
    "REFS SECONDS TIMEOUT TTL TYPE URL USER USERNAME VERSION"
)


def words(name: str) -> tuple[str, ...]:
    """Split a name where `_`, `-`, other signs, digits and changes of case divide it."""
    return tuple(word.upper() for word in _WORD.findall(name))


def is_reference(name: str) -> bool:
    """Tell whether a name speaks about a secret and does not hold one: `secretName`, `TOKEN_FILE`.

    Such a value is not hunted for elsewhere, since it is usually an ordinary name or path.
    """
    return any(word in _REFERENCES for word in words(name)[-1:])


def secret_names(globs: Iterable[str]) -> IsSecret:
    """Make the test for secret names: the built-in words, and `globs` whatever their case."""
    extra = tuple(re.compile(fnmatch.translate(glob.upper())) for glob in globs)

    @lru_cache(maxsize=8192)
    def is_secret(name: str) -> bool:
        upper = name.upper()
        return _has_secret_word(name) or any(pattern.match(upper) for pattern in extra)

    return is_secret


def _has_secret_word(name: str) -> bool:
    parts = words(name)
    return (
        any(word in _WORDS or word.endswith(_ENDINGS) for word in parts)
        or any(pair in _PHRASES for pair in pairwise(parts))
        or (len(parts) > 1 and parts[-1] in _LAST_WORDS)
    )
