"""XML of S3 and STS, and bodies that are not from S3."""

import html
from types import SimpleNamespace
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.store import s3_xml
from reconcile.mirror.store.port import ListedObject

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
ONE = "<Contents><Key>a%0Ab+c</Key><Size>7</Size><LastModified>{}</LastModified></Contents>"
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><Error><Code>&i;</Code></Error>"
)


def response(text):
    return SimpleNamespace(data=text.encode())


@pytest.mark.parametrize("namespace", ["", NAMESPACE])
@pytest.mark.parametrize(
    "time", ["2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000000Z"]
)
def test_a_listing_is_read_with_or_without_a_namespace(namespace, time):
    more = "<IsTruncated>false</IsTruncated>"
    text = (
        f"<ListBucketResult {namespace}><Name>b</Name><EncodingType>url</EncodingType>"
        f"{ONE.format(time)}{more}</ListBucketResult>"
    )
    page = s3_xml.parse_list_page(response(text), "")
    assert page == s3_xml.ListPage((ListedObject("a\nb c", 7, 1769860800.0),), "")


def test_a_truncated_listing_has_a_token():
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    text = f"<ListBucketResult><Name>b</Name>{more}</ListBucketResult>"
    assert s3_xml.parse_list_page(response(text), "") == s3_xml.ListPage((), "t")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>Sign in</body></html>",
        "<ListBucketResult>",
        "<ListBucketResult/>",
        '<ListBucketResult xmlns:x="x"><x:Name>b</x:Name><x:Contents/></ListBucketResult>',
        "<ListBucketResult><Name>b</Name><Contents><Key>a</Key><Size>many</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Name>b</Name><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated></ListBucketResult>",
        (
            "<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated><Contents><Key>a</Key>"
            "</Contents></ListBucketResult>"
        ),
        '<?xml version="1.0" encoding="nonsense"?><ListBucketResult/>',
    ],
)
def test_an_invalid_listing_is_never_taken_for_an_empty_one(text):
    with pytest.raises(StoreAwayError, match="listing"):
        s3_xml.parse_list_page(response(text), "")


@pytest.mark.parametrize("piece", ["<a/>", "<a b='' c=''/>", "<a>&lt;</a>"])
def test_a_listing_of_more_elements_than_a_page_has_is_not_parsed(piece):
    page = f"<ListBucketResult><Name>b</Name>{piece * 201_000}</ListBucketResult>"
    with pytest.raises(StoreAwayError, match="more than 200000 elements"):
        s3_xml.parse_list_page(response(page), "")


def test_a_delete_request_contains_all_keys():
    assert s3_xml.build_delete_body(["a<b>&\u00e9", "c"]) == (
        b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>'
        b"<Object><Key>a&lt;b&gt;&amp;&#233;</Key></Object><Object><Key>c</Key></Object></Delete>"
    )


@pytest.mark.parametrize("namespace", ["", NAMESPACE])
def test_objects_that_were_not_deleted_are_reported(namespace):
    error = "<Key>a</Key><Code>AccessDenied</Code><Message>no</Message>"
    text = f"<DeleteResult {namespace}><Error>{error}</Error></DeleteResult>"
    [failed] = s3_xml.parse_delete_errors(response(text))
    assert (failed.name, failed.code, failed.message) == ("a", "AccessDenied", "no")
    with pytest.raises(StoreAwayError):
        s3_xml.parse_delete_errors(response("<html/>"))


@pytest.mark.parametrize(
    "text",
    [
        f"<Error {NAMESPACE}><Code>NoSuchKey</Code><Message>gone</Message></Error>",
        "<ErrorResponse><Error><Code>NoSuchKey</Code><Message>gone</Message></Error></ErrorResponse>",
    ],
)
def test_an_error_is_read_in_both_forms(text):
    assert s3_xml.parse_error_body(text.encode()) == ("NoSuchKey", "gone")


@pytest.mark.parametrize("text", ["", "not found", "<html>no</html>", BOMB])
def test_a_body_that_is_not_an_error_of_s3_is_empty(text):
    assert s3_xml.parse_error_body(text.encode()) == ("", "")


def test_a_time_without_a_zone_is_utc():
    assert s3_xml.parse_iso_time("2026-01-31T12:00:00") == s3_xml.parse_iso_time(
        "2026-01-31T13:00:00+01:00"
    )


KEYS_OF_OTHERS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufffe\uffff"),
    min_size=1,
    max_size=12,
)


def raw_page(keys, escape_control):
    entries = "".join(f"<Contents><Key>{escape_control(key)}</Key></Contents>" for key in keys)
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>a%+b</NextContinuationToken>"
    return f"<ListBucketResult><Name>b</Name>{entries}{more}</ListBucketResult>"


def as_reference(key):
    return "".join(f"&#x{ord(c):X};" if ord(c) < 32 else html.escape(c) for c in key)


@given(st.lists(KEYS_OF_OTHERS, max_size=4), st.sampled_from([html.escape, as_reference]))
def test_keys_of_a_server_that_does_not_encode_them_are_read_as_they_are(keys, escape):
    page = s3_xml.parse_list_page(response(raw_page(keys, escape)), "")
    assert [each.key for each in page.objects] == keys
    assert page.token == "a%+b"


@pytest.mark.parametrize("encoded", [quote, quote_plus])
@given(KEYS_OF_OTHERS)
def test_encoded_keys_are_decoded(encoded, key):
    text = (
        "<ListBucketResult><Name>b</Name><EncodingType>url</EncodingType>"
        f"<Contents><Key>{encoded(key)}</Key></Contents></ListBucketResult>"
    )
    [listed] = s3_xml.parse_list_page(response(text), "").objects
    assert listed.key == key


def test_a_listing_of_another_prefix_is_refused():
    text = "<ListBucketResult><Name>b</Name><Contents><Key>x/a</Key></Contents></ListBucketResult>"
    assert s3_xml.parse_list_page(response(text), "x/").objects
    with pytest.raises(StoreAwayError, match="another prefix"):
        s3_xml.parse_list_page(response(text), "y/")
