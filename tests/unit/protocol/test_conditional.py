"""Preconditions and ranges (RFC 9110 sections 13 and 14)."""

from __future__ import annotations

import pytest

from vestibule.errors import BadRequest
from vestibule.protocol.conditional import Version, http_date, precondition, span_of

AT = 784111777
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = b"Sun, 06 Nov 1994 08:49:36 GMT"
LATER = b"Sun, 06 Nov 1994 08:49:38 GMT"
VERSION = Version(b'"v1"', AT)


def asked(**fields: bytes):
    """The headers of a request, as `RequestHead.value` gives them."""
    known = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return lambda name: known.get(name, b"")


def test_a_date_is_written_as_http_wants_it():
    assert http_date(AT) == DATE


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({}, 200, id="nothing asked"),
        pytest.param({"if_none_match": b'"v1"'}, 304, id="the client has it"),
        pytest.param({"if_none_match": b'W/"v1"'}, 304, id="weak comparison"),
        pytest.param({"if_none_match": b'"v0", W/"v1" , "v2"'}, 304, id="one of a list"),
        pytest.param({"if_none_match": b'"v0,v1"'}, 200, id="a comma inside a tag"),
        pytest.param({"if_none_match": b"*"}, 304, id="any version"),
        pytest.param({"if_none_match": b'"v2"'}, 200, id="another version"),
        pytest.param({"if_none_match": b"v1"}, 200, id="no quotes, no tag"),
        pytest.param({"if_modified_since": DATE}, 304, id="same second"),
        pytest.param({"if_modified_since": LATER}, 304, id="later"),
        pytest.param({"if_modified_since": EARLIER}, 200, id="earlier"),
        pytest.param({"if_modified_since": b"Sunday, 06-Nov-94 08:49:37 GMT"}, 304, id="RFC 850 date"),
        pytest.param({"if_modified_since": b"Sun Nov  6 08:49:37 1994"}, 304, id="asctime date"),
        pytest.param({"if_modified_since": b"yesterday"}, 200, id="no date"),
        pytest.param({"if_modified_since": b"Sun, 99 Nov 1994 08:49:37 GMT"}, 200, id="no such day"),
        pytest.param({"if_modified_since": b"Sun, 06 Nov 999999999 08:49:37 GMT"}, 200, id="no such year"),
        pytest.param({"if_modified_since": b"\xff"}, 200, id="not ASCII"),
        pytest.param({"if_modified_since": b"1" * 5000}, 200, id="endless"),
        pytest.param({"if_none_match": b'"v2"', "if_modified_since": LATER}, 200, id="the tag decides alone"),
        pytest.param({"if_match": b'"v1"'}, 200, id="still that version"),
        pytest.param({"if_match": b'W/"v1"'}, 412, id="strong comparison"),
        pytest.param({"if_match": b'"v0"'}, 412, id="no more that version"),
        pytest.param({"if_match": b"*"}, 200, id="any, and there is one"),
        pytest.param({"if_unmodified_since": EARLIER}, 412, id="modified since"),
        pytest.param({"if_unmodified_since": DATE}, 200, id="not modified since"),
        pytest.param(
            {"if_match": b'"v1"', "if_unmodified_since": EARLIER}, 200, id="the tag decides alone, too"
        ),
        pytest.param({"if_match": b'"v0"', "if_none_match": b'"v1"'}, 412, id="412 before 304"),
    ],
)
def test_preconditions_in_their_order(fields, status):
    assert precondition(asked(**fields), VERSION) == status


@pytest.mark.parametrize(
    ("value", "span"),
    [
        pytest.param(b"", None, id="none"),
        pytest.param(b"bytes=0-3", (0, 4), id="the beginning"),
        pytest.param(b"bytes=4-", (4, 6), id="from here on"),
        pytest.param(b"bytes=-3", (7, 3), id="the end"),
        pytest.param(b"bytes=-300", (0, 10), id="more than all of it from the end"),
        pytest.param(b"bytes=5-300", (5, 5), id="past the end"),
        pytest.param(b"bytes=9-9", (9, 1), id="the last byte"),
        pytest.param(b"BYTES=0-0", (0, 1), id="a unit is case-insensitive"),
        pytest.param(b"bytes=5-4", None, id="backwards: malformed"),
        pytest.param(b"bytes=-", None, id="neither end"),
        pytest.param(b"bytes=0-1,4-5", None, id="several: the whole"),
        pytest.param(b"lines=0-1", None, id="another unit"),
        pytest.param(b"bytes=+1-2", None, id="a sign"),
        pytest.param(b"bytes=1_0-", None, id="an underscore"),
        pytest.param(b"bytes=" + b"9" * 400 + b"-", None, id="a number without end"),
    ],
)
def test_a_range_of_ten_bytes(value, span):
    assert span_of(asked(range=value), VERSION, 10) == span


@pytest.mark.parametrize(
    ("value", "size"),
    [(b"bytes=10-", 10), (b"bytes=10-20", 10), (b"bytes=-0", 10), (b"bytes=0-", 0), (b"bytes=-1", 0)],
)
def test_a_range_without_a_byte_is_416(value, size):
    with pytest.raises(BadRequest) as caught:
        span_of(asked(range=value), VERSION, size)
    assert caught.value.status == 416


@pytest.mark.parametrize(
    ("condition", "span"),
    [
        pytest.param(b'"v1"', (0, 2), id="that version"),
        pytest.param(DATE, (0, 2), id="that date"),
        pytest.param(b'"v0"', None, id="another version: the whole"),
        pytest.param(b'W/"v1"', None, id="a weak tag is not enough"),
        pytest.param(LATER, None, id="another date"),
    ],
)
def test_a_range_of_one_version_only(condition, span):
    assert span_of(asked(range=b"bytes=0-1", if_range=condition), VERSION, 10) == span
