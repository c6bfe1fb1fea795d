"""The trail as text: a line of JSON a row, in the order of the chain, with the two ends before and behind.

::

    {"end": "anchor", "seq": 0, "hash": "0000…", "key_id": "", "seal": ""}
    {"seq": 1, "id": "evt_…", "at": 1800000000.25, "action": "session.created", …, "hash": "5f0c…", "seal": "91ab…"}
    {"end": "head", "seq": 1, "hash": "5f0c…", "key_id": "3f9a1c07", "seal": "c07d…"}
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vestibule.core.chain import ANCHOR, HEAD, End, Entry, Fault, Walk
from vestibule.core.seal import KeyRing


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it is written: its detail stands there as JSON, byte for byte what was hashed."""

    seq: int
    id: str
    at: float
    action: str
    outcome: str
    actor: str
    target: str
    user_id: str
    session_id: str
    host: str
    address: str
    device: str
    request_id: str
    detail: msgspec.Raw
    key_id: str
    previous: str
    hash: str
    seal: str


class _End(msgspec.Struct, frozen=True, kw_only=True):
    """An end as it is written."""

    end: str
    seq: int
    hash: str
    key_id: str
    seal: str


class _Which(msgspec.Struct, frozen=True):
    end: str = ""


_decode_which = msgspec.json.Decoder(_Which).decode
_decode_end = msgspec.json.Decoder(_End).decode
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
        end = _End(end=one.name, seq=one.seq, hash=one.hash, key_id=one.key_id, seal=one.seal)
        return msgspec.json.encode(end) + b"\n"
    values = {name: getattr(one, name) for name in Entry.__struct_fields__}
    return msgspec.json.encode(_Row(**{**values, "detail": msgspec.Raw(one.detail.encode())})) + b"\n"


def read_line(line: bytes) -> Entry | End:
    """What the line says. Raises ValueError."""
    if _decode_which(line).end:
        end = _decode_end(line)
        return End(name=end.end, seq=end.seq, hash=end.hash, key_id=end.key_id, seal=end.seal)
    row = _decode_row(line)
    values = {name: getattr(row, name) for name in Entry.__struct_fields__}
    return Entry(**{**values, "detail": bytes(row.detail).decode()})


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
