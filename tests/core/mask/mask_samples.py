"""Random secrets in the formats of their issuers, so that no file triggers a secret scanner."""

import base64
import json
import random
import string

_ALNUM = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"
_DRAW = random.Random(20260131)


def drawn(length: int, alphabet: str = _ALNUM) -> str:
    """Random characters, the same in each run; the first is a digit, so that they form no word."""
    digits = "".join(c for c in alphabet if c.isdecimal())
    rest = "".join(_DRAW.choice(alphabet) for _ in range(length - 1))
    return _DRAW.choice(digits) + rest


def _tokens() -> dict[str, str]:
    forms = {
        "ghp_*": 36,
        "gho_*": 36,
        "ghs_*": 36,
        "github_pat_*": 82,
        "glpat-*": 20,
        "glrt-*": 20,
        "glffct-*": 20,
        "GR1348941*": 20,
        "ATATT3*": 60,
        "ATBB*": 32,
        "CCIPAT_*": 40,
        "AIza*": 35,
        "ya29.*": 40,
        "GOCSPX-*": 28,
        "abc8Q~*": 34,
        "xoxb-*": 24,
        "xoxe.xoxp-*": 24,
        "xapp-*": 30,
        "sk-*": 48,
        "sk-ant-api03-*": 90,
        "sk-proj-*": 60,
        "hf_*": 34,
        "gsk_*": 50,
        "xai-*": 80,
        "pplx-*": 48,
        "r8_*": 37,
        "fw_*": 24,
        "tvly-*": 32,
        "lsv2_pt_*": 40,
        "npm_*": 36,
        "pypi-*": 60,
        "dckr_pat_*": 27,
        "dckr_oat_*": 27,
        "AKCp*": 69,
        "cmVmdGtuOj*": 54,
        "cio*": 32,
        "hvs.*": 90,
        "dp.pt.*": 43,
        "atlasv1.*": 60,
        "glc_*": 40,
        "glsa_*": 40,
        "sntrys_*": 60,
        "NRAK-*": 27,
        "sha256~*": 43,
        "lin_api_*": 40,
        "ntn_*": 46,
        "secret_*": 43,
        "figd_*": 40,
        "sk_live_*": 24,
        "rk_test_*": 24,
        "whsec_*": 32,
        "sq0atp-*": 22,
        "EAACEdEose0cBA*": 40,
        "HRKU-*": 40,
        "fm2_*": 60,
        "vcp_*": 40,
        "nfp_*": 36,
        "pscale_tkn_*": 40,
    }
    hexadecimal = {
        "dop_v1_*": 64,
        "sbp_*": 40,
        "rubygems_*": 48,
        "pul-*": 40,
        "dapi*": 32,
        "key-*": 32,
        "SK*": 32,
        "shpat_*": 32,
        "sk-or-v1-*": 64,
    }
    return {
        **{form: form.replace("*", drawn(length)) for form, length in forms.items()},
        **{form: form.replace("*", drawn(length, _HEX)) for form, length in hexadecimal.items()},
        "AKIA": "AKIA" + drawn(16, _UPPER),
        "ASIA": "ASIA" + drawn(16, _UPPER),
        "age": "AGE-SECRET-KEY-1" + drawn(58, _UPPER),
        "jwt": f"eyJ{drawn(20)}.eyJ{drawn(40)}.{drawn(43)}",
        "sendgrid": f"SG.{drawn(22)}.{drawn(43)}",
        "postman": f"PMAK-{drawn(24)}-{drawn(34)}",
        "dynatrace": f"dt0c01.{drawn(24)}.{drawn(64)}",
        "cloudflare": f"v1.0-{drawn(24)}-{drawn(146)}",
        "telegram": f"{drawn(10, string.digits)}:AA{drawn(33)}",
        "discord": f"M{drawn(23)}.{drawn(6)}.{drawn(38)}",
        "azure devops": f"{drawn(76)}AZDO{drawn(4)}",
    }


TOKENS = _tokens()
"""Tokens that are secret in any context."""


def _spoken() -> dict[str, tuple[str, str]]:
    secret = {name: drawn(14) for name in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")}
    line, key = drawn(64), drawn(40)
    pair = base64.b64encode(f"user:{drawn(8)}".encode()).decode()
    return {
        "url": (f"https://user:{secret['a']}@example.com/x", secret["a"]),
        "url without user": (f"redis://:{secret['b']}@cache:6379/0", secret["b"]),
        "git url": (f"git clone https://oauth2:{secret['c']}@example.com/x.git", secret["c"]),
        "bearer": (f"Authorization: Bearer {secret['d']}", secret["d"]),
        "basic": (f"Authorization: Basic {pair}", pair),
        "header": (f"-H 'X-Api-Key: {secret['e']}'", secret["e"]),
        "curl": (f"curl -s -u user:{secret['f']} https://example.com", secret["f"]),
        "netrc": (f"machine example.com login me password {secret['g']}", secret["g"]),
        "sshpass": (f"sshpass -p {secret['h']} ssh host", secret["h"]),
        "mysql": (f"mysql -uroot -p{secret['i']} db", secret["i"]),
        "prose": (f"The password is {secret['j']}, use it.", secret["j"]),
        "query": (f"https://example.com/?access_token={secret['k']}&a=b", secret["k"]),
        "aws": (f"aws_secret_access_key = {key}", key),
        "pem": (
            f"-----BEGIN OPENSSH PRIVATE KEY-----\n{line}\n-----END OPENSSH PRIVATE KEY-----",
            line,
        ),
        "pgp": (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{line}", line),
        "putty": (f"PuTTY-User-Key-File-3: x\nPrivate-Lines: 1\n{line}\n", line),
        "docker": (json.dumps({"auths": {"r": {"auth": pair}}}), pair),
        "connection": (f"AccountName=x;AccountKey={key};EndpointSuffix=y", key),
        "hook": (f"https://hooks.slack.com/services/T0/B0/{secret['a']}x", f"{secret['a']}x"),
        "curl --user": (f"curl --user=bob:{secret['b']} https://example.com", secret["b"]),
        "redis": (f"redis-cli -h cache -a {secret['c']} ping", secret["c"]),
        "ldap": (f"ldapsearch -x -D cn=a -w {secret['d']}", secret["d"]),
        "samba": (f"smbclient -U bob%{secret['e']} //host/share", secret["e"]),
        "openssl": (f"openssl enc -pass pass:{secret['f']}", secret["f"]),
        "archive": (f"unzip -P {secret['g']} x.zip", secret["g"]),
        "netrc lines": (f"machine example.com\n  password {secret['h']}\n", secret["h"]),
        "netrc default": (f"default login me account a password {secret['i']}", secret["i"]),
        "go database": (f"user:{secret['j']}@tcp(host:3306)/db", secret["j"]),
        "oracle": (f"jdbc:oracle:thin:scott/{secret['k']}@//host:1521/s", secret["k"]),
        "hash": (f"bob:$apr1$abcdefgh${secret['a']}", secret["a"]),
        "telegram bot": (f"https://api.telegram.org/bot123456789:AA{key}/x", key),
        "basic alone": (f"send Basic {pair} with it", pair),
        "ssh2": (
            f"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n{line}\n---- END SSH2 PRIVATE KEY ----",
            line,
        ),
        "prose without is": (f"log in with user bob and password {secret['b']}", secret["b"]),
        "prose for": (f"the password for bob: {secret['c']}", secret["c"]),
        "prose as": (f"use {secret['d']} as the password", secret["d"]),
        "prose pair": (f"credentials: bob / {secret['e']}", secret["e"]),
        "markdown": (f"**Password:** {secret['f']}", secret["f"]),
        "go": (f'password := "{secret["g"]}"', secret["g"]),
        "ruby": (f"'password' => '{secret['h']}'", secret["h"]),
        "python": (f"os.environ['API_KEY'] = '{secret['i']}'", secret["i"]),
        "toml": (f'api_token = """\n{secret["j"]}"""', secret["j"]),
        "fish": (f"set -x API_KEY {secret['a']}", secret["a"]),
        "csh": (f"setenv API_KEY {secret['b']}", secret["b"]),
        "xml element": (f"<password>{secret['c']}</password>", secret["c"]),
        "xml attribute": (f'<add key="ApiKey" value="{secret["d"]}"/>', secret["d"]),
        "yaml list": (f"passwords:\n- {secret['e']}\n- other\n", secret["e"]),
        "yaml below": (f"password:\n  value: {secret['f']}\n", secret["f"]),
        "json list": (json.dumps({"passwords": ["x", secret["g"]]}), secret["g"]),
        "json map": (json.dumps({"credentials": {"value": secret["h"]}}), secret["h"]),
        "discord hook": (f"https://discord.com/api/webhooks/123456789/{key}", key),
    }


SPOKEN = _spoken()
"""Texts with a secret that its context identifies, and the part that must not be shown."""

ORDINARY = (
    "sha256:" + drawn(64, _HEX),
    "registry.example/runner@sha256:" + drawn(64, _HEX),
    drawn(40, _HEX),
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "INPUTS_DIGEST=" + drawn(64, _HEX),
    "2026-01-31T12:00:00Z",
    "scikit-learn and sk-learn, task-runner, disk-of-many-words-in-a-row, npm_config_cache=/x",
    "hf_hub_download(repo), pypi-server, secret_name_of_the_thing_that_is_long_enough, SKIP",
    "Fix the login page: the password is not checked and the token is expired.",
    "the api key-value store is token based",
    "user@example.com, git@example.com:org/repo.git, https://example.com/org/repo.git",
    "auth-proxy:8080 is up, http://host:8080/p",
    "docker run -u 1000:1000 -p 8080:80 x; mysql -uroot -p; ssh -p 2222 host; sshpass -e ssh x",
    "curl -u user https://example.com",
    "curl -u https://example.com, sk-learn-something-long-name",
    "Bearer tokens are short-lived, and bearer authentication is used",
    "basic authentication, Basic concepts; the token is sha256, the key is ed25519",
    "password=$PASSWORD, password=${DB_PASSWORD}, --token $(API_TOKEN)",
    "password: {{ password }}; token: <token>; secret: ***",
    "password = os.environ[0], token = load_token(path), if token == None: pass",
    "def login(password: str): ...; tests pass: 120, fail: 3; Authorization: none",
    "https://example.com/x?code=404&key=topic",
    "v1.0-rc1, s3://bucket/secret/data, key: value, team: platform",
)
"""Texts that resemble secrets, but are not."""
