"""Properties of masking: each secret is hidden, in any place and order, and no name is."""

import hashlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.canonical_json import compute_digest
from reconcile.core.mask.masker import Masker

ALNUM = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
CANARIES = st.text(ALNUM, min_size=9, max_size=24).map(lambda text: f"c4{text}")
SECRET_NAMES = st.sampled_from(
    ["API_TOKEN", "DBPASS", "PGPASS", "GITHUB_PAT", "OPENAI_KEY", "SMTP_PW", "SALT_2", "ROOT_PWD"]
)
OPEN_NAMES = st.sampled_from(["NOTE", "MODEL", "AWS_REGION", "MAX_TOKENS", "AUTHOR", "LEVEL"])
WORDS = st.sampled_from(["true", "main", "default", "none", "1", "false", "eu-west-1", "store"])
SHOWN = settings(max_examples=60, deadline=None)


def pod(name, env=(), **container):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "team-a", "labels": {"app": name}},
        "spec": {
            "containers": [{"name": "runner", "image": f"reg/{name}:1", "env": env, **container}]
        },
    }


def env(**values):
    return [{"name": name, "value": value} for name, value in values.items()]


def teller(kind, name, secret):
    """An object that says that a text is a secret."""
    return {
        "variable": pod("teller", env(**{name: secret})),
        "option": pod("teller", args=["run", "--password", secret]),
        "login": pod("teller", args=["login", "-u", "bob", "-p", secret]),
        "secret": {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": secret}},
        "url": {"spec": {"url": f"https://bob:{secret}@host/x"}},
        "declared": {"spec": {"environmentVariables": {name: secret}}},
    }[kind]


def quoter(place, secret):
    """An object that repeats it where nothing promises a secret."""
    return {
        "variable": pod("quoter", env(NOTE=secret)),
        "inside": pod("quoter", env(NOTE=f"use {secret}, please")),
        "argument": pod("quoter", args=["echo", secret]),
        "data": {"kind": "ConfigMap", "data": {"prompt": f"log in\nwith {secret}\n"}},
        "json": {"kind": "ConfigMap", "data": {"doc": json.dumps({"a": [secret]})}},
        "annotation": {"metadata": {"annotations": {"note": secret}}},
        "label": {"metadata": {"labels": {"note": secret}}},
        "field": {"spec": {"displayName": secret}},
    }[place]


KINDS = st.sampled_from(["variable", "option", "login", "secret", "url", "declared"])
PLACES = st.sampled_from(
    ["variable", "inside", "argument", "data", "json", "annotation", "label", "field"]
)


@SHOWN
@given(
    st.lists(st.tuples(KINDS, PLACES, SECRET_NAMES, CANARIES), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_each_secret_is_hidden_in_every_place_whatever_the_order(placed, random):
    objects = [teller(kind, name, secret) for kind, _, name, secret in placed]
    objects += [quoter(place, secret) for _, place, _, secret in placed]
    random.shuffle(objects)
    masker = Masker()
    masker.learn_later(lambda: objects)
    shown = json.dumps([masker.mask_object(each) for each in objects], ensure_ascii=False)
    shown += masker.mask_text(" ".join(secret for *_, secret in placed))
    assert [secret for *_, secret in placed if secret in shown] == []


@SHOWN
@given(OPEN_NAMES | SECRET_NAMES.map("{}_REGION".format) | SECRET_NAMES, WORDS)
def test_an_ordinary_word_stays_visible_under_any_name(name, word):
    hides = name in {"API_TOKEN", "DBPASS", "PGPASS", "GITHUB_PAT", "OPENAI_KEY", "SMTP_PW"}
    hides |= name in {"SALT_2", "ROOT_PWD"}
    masker = Masker()
    body = pod(word, env(**{name: word}), args=[f"x {word} y"])
    shown = masker.mask_object(body)
    if hides and word in {"eu-west-1", "store"}:
        shown["spec"]["containers"][0]["env"][0]["value"] = word
    assert shown == body


IDENTIFIERS = st.text("abcdefghijklmnop", min_size=1, max_size=12).filter(
    lambda word: word != "mnemonic"
)
"""Words that promise no secret as a name."""


@SHOWN
@given(st.dictionaries(IDENTIFIERS, IDENTIFIERS, min_size=1), SECRET_NAMES, IDENTIFIERS)
def test_no_field_name_key_or_object_name_is_hidden(fields, name, other):
    secret, *_ = fields
    body = {
        **pod(other, env(**{name: secret})),
        "metadata": {"name": secret, "namespace": other, "labels": {secret: other}},
        "data": {**fields, "image": "x"},
    }
    masker = Masker()
    shown = masker.mask_object(body)
    assert shown.keys() == body.keys()
    assert shown["data"].keys() == body["data"].keys()
    assert shown["metadata"] == body["metadata"]
    assert shown["spec"]["containers"][0]["image"] == body["spec"]["containers"][0]["image"]
    assert masker.mask_text(f"Pod {other}/{secret}: spec.{secret}") == (
        f"Pod {other}/{secret}: spec.{secret}"
    )


@SHOWN
@given(st.text("abcdefgh", min_size=4, max_size=12), st.text("0123456789", min_size=4, max_size=9))
def test_query_parameters_keep_their_names_and_ordinary_words(word, number):
    query = f"https://host/items?code={word}&key={word}&page={number}#top"
    assert Masker().mask_text(query) == query
    hidden = Masker().mask_text(f"https://host/x?a=b&access_token={word}9&key={number}")
    assert hidden.startswith("https://host/x?a=b&access_token=\u2039")
    assert "&key=\u2039" in hidden


@SHOWN
@given(st.text("0123456789", min_size=2, max_size=6))
def test_no_digest_is_shown_next_to_a_short_secret(code):
    bare = pod("x", env(DOOR_TOKEN=code, MODEL="opus"))
    digests = {
        "a": compute_digest(bare),
        "b": hashlib.sha256(json.dumps(bare).encode()).hexdigest(),
    }
    body = {**bare, "metadata": {**bare["metadata"], "annotations": digests}}
    shown = json.dumps(Masker().mask_object(body))
    assert not [digest for digest in digests.values() if digest in shown]


def test_a_declared_digest_and_an_image_stay_visible():
    digest = "0123456789abcdef" * 4
    body = pod("x", env(DOOR_TOKEN="4711", MODEL_SHA256=digest), image=f"reg/x@sha256:{digest}")
    masker = Masker()
    masker.learn_later(lambda: [{"spec": {"environmentVariables": {"MODEL_SHA256": digest}}}])
    container = masker.mask_object(body)["spec"]["containers"][0]
    assert container["env"][1]["value"] == digest
    assert container["image"] == f"reg/x@sha256:{digest}"


def test_digests_stay_visible_without_a_secret():
    body = pod("x", env(INPUTS_DIGEST="0123456789abcdef" * 4))
    assert Masker().mask_object(body) == body
    assert Masker().mask_digest("sha256:" + "0" * 64) == "sha256:" + "0" * 64
