"""What servers say in XML, and what is no answer of S3 at all."""

from types import SimpleNamespace

import pytest

from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.store import s3_xml
from reconcile.mirror.store import s3_xml as answers
from reconcile.mirror.store.port import Listed

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
@pytest.mark.parametrize("time", ["2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00Z"])
def test_a_listing_is_read_with_or_without_its_namespace(space, time):
    more = "<IsTruncated>false</IsTruncated>"
    text = f"<ListBucketResult {space}>{ONE.format(time)}{more}</ListBucketResult>"
    page = s3_xml.page(answer(text))
    assert page == s3_xml.Page((Listed("a\nb c", 7, 1769860800.0),), "")


def test_a_listing_that_goes_on_names_where():
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    text = f"<ListBucketResult>{more}</ListBucketResult>"
    assert s3_xml.page(answer(text)) == s3_xml.Page((), "t")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>Sign in</body></html>",
        "<ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>many</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        '<?xml version="1.0" encoding="nonsense"?><ListBucketResult/>',
    ],
)
def test_what_is_no_listing_is_never_taken_for_an_empty_one(text):
    with pytest.raises(StoreAwayError, match="listing"):
        s3_xml.page(answer(text))


def test_the_request_to_delete_names_keys_as_they_are():
    root = answers.parsed(s3_xml.deletion(["a<b>&\u00e9", "c"]), "Delete")
    assert [answers.text_of(one, "Key") for one in answers.children(root, "Object")] == [
        "a<b>&\u00e9",
        "c",
    ]
    assert answers.text_of(root, "Quiet") == "true"


@pytest.mark.parametrize("space", ["", NAMESPACE])
def test_what_was_not_deleted_is_read(space):
    error = "<Key>a</Key><Code>AccessDenied</Code><Message>no</Message>"
    text = f"<DeleteResult {space}><Error>{error}</Error></DeleteResult>"
    assert s3_xml.kept(answer(text)) == [s3_xml.Kept("a", "AccessDenied", "no")]
    with pytest.raises(StoreAwayError):
        s3_xml.kept(answer("<html/>"))


@pytest.mark.parametrize(
    "text",
    [
        f"<Error {NAMESPACE}><Code>NoSuchKey</Code><Message>gone</Message></Error>",
        "<ErrorResponse><Error><Code>NoSuchKey</Code><Message>gone</Message></Error></ErrorResponse>",
    ],
)
def test_a_complaint_is_read_in_both_shapes(text):
    assert answers.complaint(text.encode()) == ("NoSuchKey", "gone")


@pytest.mark.parametrize("text", ["", "not found", "<html>no</html>", BOMB])
def test_a_complaint_of_somebody_else_is_empty(text):
    assert answers.complaint(text.encode()) == ("", "")


def test_a_time_without_a_zone_is_universal():
    assert answers.time_of("2026-01-31T12:00:00") == answers.time_of("2026-01-31T13:00:00+01:00")
