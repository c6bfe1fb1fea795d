"""Trace context: which trace a request is part of, and which span of it the gateway's work is.

Spec: W3C Trace Context (Recommendation, 2021). Whoever sends a request may name any trace there is: it joins requests
for those who look, and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from vestibule.protocol.headers import value_of

MADE_BYTES: Final = 24
"""A trace and a span that begin here: so many random bytes, 16 and 8, each written as two hex digits."""
_VALUE: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-[\x20-\x7e]*)?\Z")
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16
_SAMPLED: Final = b"01"
"""What a trace that begins here says: record it. Otherwise no backend that goes by its caller's word ever would."""


class Span(NamedTuple):
    """The gateway's part of a trace."""

    span: str
    """The trace's id and its own, in lower-case hex: 32 and 16 digits."""
    parent_id: str
    """Empty: the trace begins here."""
    lines: bytes
    """The header lines for whoever is asked next, whose parent this is: `traceparent`, then `tracestate` as it came."""


def begun(made: bytes) -> bytes:
    """The header line for whoever is asked next in a trace that begins here; `made` is random."""
    return b"traceparent: 00-" + made.hex("-", -16).encode() + b"-" + _SAMPLED


def span_of(lines: Sequence[bytes], made: str) -> Span:
    """A span in the trace that a request's lines name, or in one that begins here; `made`: `MADE_BYTES` in hex.

    A `traceparent` that is malformed, or comes twice, counts as none, and its `tracestate` isn't passed on.
    Spec: sections 3.2 and 4.2.
    """
    parents = [line for line in lines if len(line.partition(b":")[0]) == len(b"traceparent")]
    found = _VALUE.match(value_of(parents[0])) if len(parents) == 1 else None
    if found is None or not _is_good(found):
        return Span(made, "", begun(bytes.fromhex(made)))
    trace_id, span_id = found[2].decode(), made[32:]
    flags = int(found[4], 16) & 1
    line = f"traceparent: 00-{trace_id}-{span_id}-{flags:02x}".encode()
    states = (state for state in lines if state is not parents[0])
    return Span(trace_id + span_id, found[3].decode(), b"\r\n".join((line, *states)))


def _is_good(found: re.Match[bytes]) -> bool:
    """Version 00 ends with its flags; a later one may go on. Nothing is all zeros, and there is no version ff."""
    is_whole = found[1] != b"00" or len(found[0]) == 55
    return is_whole and found[1] != b"ff" and found[2] != _NO_TRACE and found[3] != _NO_SPAN
