"""What servers say in XML, and what is no answer of S3 at all."""

from types import SimpleNamespace

import pytest

from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.store import s3_xml
from reconcile.mirror.store import s3_xml as answers
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
@pytest.mark.parametrize("time", ["2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00Z"])
def test_a_listing_is_read_with_or_without_its_namespace(space, time):
    more = "<IsTruncated>false</IsTruncated>"
    text = f"<ListBucketResult {space}>{ONE.format(time)}{more}</ListBucketResult>"
    page = s3_xml.parse_list_page(answer(text))
    assert page == s3_xml.ListPage((ListedObject("a\nb c", 7, 1769860800.0),), "")


def test_a_listing_that_goes_on_names_where():
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    text = f"<ListBucketResult>{more}</ListBucketResult>"
    assert s3_xml.parse_list_page(answer(text)) == s3_xml.ListPage((), "t")


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
        s3_xml.parse_list_page(answer(text))


def test_the_request_to_delete_names_keys_as_they_are():
    root = answers.parse_xml(s3_xml.build_delete_body(["a<b>&\u00e9", "c"]), "Delete")
    assert [
        answers.get_child_text(one, "Key") for one in answers.iter_children(root, "Object")
    ] == [
        "a<b>&\u00e9",
        "c",
    ]
    assert answers.get_child_text(root, "Quiet") == "true"


@pytest.mark.parametrize("space", ["", NAMESPACE])
def test_what_was_not_deleted_is_read(space):
    error = "<Key>a</Key><Code>AccessDenied</Code><Message>no</Message>"
    text = f"<DeleteResult {space}><Error>{error}</Error></DeleteResult>"
    assert s3_xml.parse_delete_errors(answer(text)) == [
        s3_xml.DeleteError("a", "AccessDenied", "no")
    ]
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
    assert answers.parse_error_body(text.encode()) == ("NoSuchKey", "gone")


@pytest.mark.parametrize("text", ["", "not found", "<html>no</html>", BOMB])
def test_a_complaint_of_somebody_else_is_empty(text):
    assert answers.parse_error_body(text.encode()) == ("", "")


def test_a_time_without_a_zone_is_universal():
    assert answers.parse_iso_time("2026-01-31T12:00:00") == answers.parse_iso_time(
        "2026-01-31T13:00:00+01:00"
    )
