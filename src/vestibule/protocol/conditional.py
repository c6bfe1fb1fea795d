"""Conditional requests and byte ranges (RFC 9110 sections 13 and 14): what a stored file answers to them.

For one representation with one strong validator, and one range an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from typing import NamedTuple

from vestibule.errors import BadRequest

_DATE_LIMIT_CHARS = 64
_TAG = re.compile(rb'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile(rb"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*\Z", re.IGNORECASE)


class Version(NamedTuple):
    """Which state of a file this is."""

    etag: bytes
    """Strong, with its quotes."""
    modified_at: int
    """UNIX seconds."""


class Span(NamedTuple):
    """A part of a file."""

    at: int
    length: int


def http_date(at: int) -> bytes:
    """A time as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return formatdate(at, usegmt=True).encode("ascii")


def precondition(value: Callable[[bytes], bytes], version: Version) -> int:
    """200 when a GET or HEAD goes on, 304 when the client has it already, 412 when it wanted another version.

    `value` gives the value of a request header by its lower-case name, empty where there is none; a date that
    can't be read counts as none. Spec: RFC 9110 section 13.2.2.
    """
    # 1. and 2. Is it still the version the client knows?
    if given := value(b"if-match"):
        if not _names(given, version.etag, weak=False):
            return 412
    elif (at := _date(value(b"if-unmodified-since"))) is not None and version.modified_at > at:
        return 412
    # 3. and 4. Does the client have it? If-Modified-Since is not looked at beside If-None-Match.
    if given := value(b"if-none-match"):
        return 304 if _names(given, version.etag, weak=True) else 200
    at = _date(value(b"if-modified-since"))
    return 304 if at is not None and version.modified_at <= at else 200


def span_of(value: Callable[[bytes], bytes], version: Version, size: int) -> Span | None:
    """The part of a file of `size` bytes that a GET asks for; None for the whole.

    Several ranges, other units and a malformed Range are answered with the whole, which is always allowed.
    Raises BadRequest (416) when the range has no byte of the file. Spec: RFC 9110 sections 13.1.5 and 14.2.
    """
    found = _RANGE.match(value(b"range"))
    if found is None or found[1] == found[2] == b"":
        return None
    condition = value(b"if-range")
    if condition and condition not in (version.etag, http_date(version.modified_at)):
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        at = size - length
    else:
        at = int(first)
        if last and int(last) < at:
            return None
        length = min(int(last) + 1 if last else size, size) - at
    if length <= 0:
        raise BadRequest("the file has no such range", code="range_not_satisfiable", status=416)
    return Span(at, length)


def _names(listed: bytes, etag: bytes, *, weak: bool) -> bool:
    """Whether a list of entity tags, or `*`, names this one. Spec: RFC 9110 section 8.8.3.2."""
    if listed == b"*":
        return True
    return any(tag[1] == etag and (weak or tag[0] == etag) for tag in _TAG.finditer(listed))


def _date(text: bytes) -> int | None:
    if not text or len(text) > _DATE_LIMIT_CHARS:
        return None
    try:
        date = parsedate_to_datetime(text.decode("ascii"))
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
