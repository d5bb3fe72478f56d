"""What servers say in XML, and what is no answer of S3 at all."""

from types import SimpleNamespace

import pytest

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


def answer(text):
    return SimpleNamespace(data=text.encode())


@pytest.mark.parametrize("space", ["", NAMESPACE])
@pytest.mark.parametrize(
    "time", ["2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000000Z"]
)
def test_a_listing_is_read_with_or_without_its_namespace(space, time):
    more = "<IsTruncated>false</IsTruncated>"
    text = f"<ListBucketResult {space}><Name>b</Name>{ONE.format(time)}{more}</ListBucketResult>"
    page = s3_xml.parse_list_page(answer(text))
    assert page == s3_xml.ListPage((ListedObject("a\nb c", 7, 1769860800.0),), "")


def test_a_listing_that_goes_on_names_where():
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    text = f"<ListBucketResult><Name>b</Name>{more}</ListBucketResult>"
    assert s3_xml.parse_list_page(answer(text)) == s3_xml.ListPage((), "t")


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
def test_what_is_no_listing_is_never_taken_for_an_empty_one(text):
    with pytest.raises(StoreAwayError, match="listing"):
        s3_xml.parse_list_page(answer(text))


def test_the_request_to_delete_names_keys_as_they_are():
    assert s3_xml.build_delete_body(["a<b>&\u00e9", "c"]) == (
        b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>'
        b"<Object><Key>a&lt;b&gt;&amp;&#233;</Key></Object><Object><Key>c</Key></Object></Delete>"
    )


@pytest.mark.parametrize("space", ["", NAMESPACE])
def test_what_was_not_deleted_is_read(space):
    error = "<Key>a</Key><Code>AccessDenied</Code><Message>no</Message>"
    text = f"<DeleteResult {space}><Error>{error}</Error></DeleteResult>"
    [failed] = s3_xml.parse_delete_errors(answer(text))
    assert (failed.name, failed.code, failed.message) == ("a", "AccessDenied", "no")
    with pytest.raises(StoreAwayError):
        s3_xml.parse_delete_errors(answer("<html/>"))


@pytest.mark.parametrize(
    "text",
    [
        f"<Error {NAMESPACE}><Code>NoSuchKey</Code><Message>gone</Message></Error>",
        "<ErrorResponse><Error><Code>NoSuchKey</Code><Message>gone</Message></Error></ErrorResponse>",
    ],
)
def test_a_complaint_is_read_in_both_shapes(text):
    assert s3_xml.parse_error_body(text.encode()) == ("NoSuchKey", "gone")


@pytest.mark.parametrize("text", ["", "not found", "<html>no</html>", BOMB])
def test_a_complaint_of_somebody_else_is_empty(text):
    assert s3_xml.parse_error_body(text.encode()) == ("", "")


def test_a_time_without_a_zone_is_universal():
    assert s3_xml.parse_iso_time("2026-01-31T12:00:00") == s3_xml.parse_iso_time(
        "2026-01-31T13:00:00+01:00"
    )
