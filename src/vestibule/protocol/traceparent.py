"""Trace context: which trace a request is part of, and which span of it the gateway's work is.

Spec: W3C Trace Context (Recommendation, 2021). Whoever sends a request may name any trace there is: it joins requests
for those who look, and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from vestibule.protocol.headers import value_of

RANDOM_BITS: Final = 192
"""How many random bits a span takes."""
_VALUE: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-[\x20-\x7e]*)?\Z")
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16
_SAMPLED: Final = "01"
"""What a trace that begins here says: record it. Otherwise no backend that goes by its caller's word ever would."""


class Span(NamedTuple):
    """The gateway's part of a trace; all in lower-case hex."""

    trace_id: str
    span_id: str
    parent_id: str
    """Empty: the trace begins here."""
    flags: str
    state: tuple[bytes, ...] = ()
    """Lines of `tracestate`, which are passed on as they came."""

    @property
    def line(self) -> bytes:
        """The header line for whoever is asked next: their parent is this span."""
        return f"traceparent: 00-{self.trace_id}-{self.span_id}-{self.flags}".encode()

    @property
    def lines(self) -> list[bytes]:
        """All header lines for whoever is asked next."""
        return [self.line, *self.state]


def span_of(lines: Sequence[bytes], bits: int) -> Span:
    """A span in the trace that a request's lines name, or in one that begins here; `bits` are random.

    A `traceparent` that is malformed, or comes twice, counts as none, and its `tracestate` isn't passed on.
    Spec: sections 3.2 and 4.2.
    """
    made = f"{bits:048x}"
    if not lines:
        return Span(made[:32], made[32:], "", _SAMPLED)
    parents = [line for line in lines if len(line.partition(b":")[0]) == len(b"traceparent")]
    found = _VALUE.match(value_of(parents[0])) if len(parents) == 1 else None
    if found is None or not _is_good(found):
        return Span(made[:32], made[32:], "", _SAMPLED)
    flags = f"{int(found[4], 16) & 1:02x}"
    state = tuple(line for line in lines if line is not parents[0])
    return Span(found[2].decode(), made[32:], found[3].decode(), flags, state)


def _is_good(found: re.Match[bytes]) -> bool:
    """Version 00 ends with its flags; a later one may go on. Nothing is all zeros, and there is no version ff."""
    is_whole = found[1] != b"00" or len(found[0]) == 55
    return is_whole and found[1] != b"ff" and found[2] != _NO_TRACE and found[3] != _NO_SPAN
