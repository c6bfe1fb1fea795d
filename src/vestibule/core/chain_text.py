"""The trail as text: a line of JSON a row, in the order of the chain, with the two ends before and behind.

::

    {"end": "anchor", "seq": 0, "hash": "0000…", "key_id": "", "seal": ""}
    {"seq": 1, "id": "evt_…", "at": 1800000000.25, "action": "session.created", …, "hash": "5f0c…", "seal": "91ab…"}
    {"end": "head", "seq": 1, "hash": "5f0c…", "key_id": "3f9a1c07", "seal": "c07d…"}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from vestibule.core.chain import ANCHOR, HEAD, End, Entry, Fault, Walk
from vestibule.core.seal import KeyRing

_Row: Final = msgspec.defstruct(
    "_Row",
    [(one.name, msgspec.Raw if one.name == "detail" else one.type) for one in msgspec.structs.fields(Entry)],
    frozen=True,
    kw_only=True,
)
"""A row as it is written: but for its detail, which stands there as JSON, byte for byte what was hashed."""


class _Which(msgspec.Struct, frozen=True):
    end: str = ""


_decode_which = msgspec.json.Decoder(_Which).decode
_decode_end = msgspec.json.Decoder(End).decode
_decode_row = msgspec.json.Decoder(_Row).decode


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What reading a copy of the trail has found."""

    rows: int
    unsealed: int
    """Of them, those from before there was a chain."""
    first_at: float | None
    last_at: float | None
    head: str
    fault: Fault | None
    """None: it is whole."""


def line_of(one: Entry | End) -> bytes:
    """The line, with its end."""
    if isinstance(one, End):
        return msgspec.json.encode(one) + b"\n"
    values = {**msgspec.structs.asdict(one), "detail": msgspec.Raw(one.detail.encode())}
    return msgspec.json.encode(values) + b"\n"


def read_line(line: bytes) -> Entry | End:
    """What the line says. Raises ValueError."""
    if _decode_which(line).end:
        return _decode_end(line)
    values = msgspec.structs.asdict(_decode_row(line))
    return Entry(**{**values, "detail": bytes(values["detail"]).decode()})


def check(lines: Iterable[bytes], ring: KeyRing | None, *, wanted: Iterable[str] = ()) -> Checked:
    """Whether a copy is all of the trail from its beginning to the head that is with it.

    `ring` None: hashes are checked, seals are not. Threat: a copy that was cut short, at a line or within one. What
    it can't say is whether the trail has gone on since.
    """
    anchor, head, fault = End(name=ANCHOR), None, None
    walk = Walk(anchor, ring)
    for number, line in enumerate(lines, start=1):
        try:
            found = read_line(line)
        except (ValueError, UnicodeError):
            fault = Fault("", f"line {number} is no row of a trail")
            break
        if isinstance(found, Entry):
            fault = walk.take(found) if head is None else Fault(found.id, f"line {number} is behind the head")
        elif found.name == HEAD:
            head = found
        elif number == 1:
            walk = Walk(found, ring)
            walk.hashes_wanted.update(wanted)
            fault = walk.start(found)
        else:
            fault = Fault("", f"line {number} begins another trail")
        if fault is not None:
            break
    if fault is None:
        fault = _fault_at_end(walk, head)
    return Checked(
        rows=walk.rows,
        unsealed=walk.unsealed,
        first_at=walk.first_at,
        last_at=walk.last_at,
        head=walk.hash,
        fault=fault,
    )


def _fault_at_end(walk: Walk, head: End | None) -> Fault | None:
    if head is None:
        return Fault("", f"the copy breaks off: it has no head; go on with what comes after row {walk.seq}")
    return walk.end(head)
