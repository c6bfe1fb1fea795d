"""The chain of the trail: each row has the hash of the row before, so none can be changed, left out or put in unseen.

A row's hash is SHA-256 over all of its columns and the hash before; whoever has the rows can compute it. Beside it
stands a seal, an HMAC of the hash by a subkey of the key ring: who can write the database but has no key can make no
row that passes. A good seal vouches for all that is before it, so rows whose key has left the ring (a rotation) are
vouched for by the rows after them, and those from before there was a chain by the first that is sealed.

Two more seals stand beside the rows, the ends of the chain: the head (last row) and the anchor (last row that was swept
for its age). So the end can't be cut off, nor the beginning.

Threat: rows altered, deleted, put in, put in another order, cut off at either end: by anybody without the key.
What is put back to an earlier state, emptied, or written anew as if it were from before there was a chain, is noticed
by a process that has added rows before (`head_of`). It does not stop who has the key (the gateway's own user), nor
notice that this was done while no process ran: keep the head's hash elsewhere, and ask whether it is still there.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from vestibule.core.event import AUDIT_BROKEN, REFUSED, Event
from vestibule.core.seal import KeyRing

PURPOSE: Final = "audit"
NO_HASH: Final = "0" * 64
"""What the first row of all has before it."""
HEAD: Final = "head"
ANCHOR: Final = "anchor"
_FORM: Final = b"vestibule audit 1"
TEXTS: Final = (
    "id",
    "action",
    "outcome",
    "actor",
    "target",
    "user_id",
    "session_id",
    "host",
    "address",
    "device",
    "request_id",
    "detail",
    "key_id",
    "previous",
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the trail, as it is kept."""

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
    detail: str
    """JSON, byte for byte as it was written."""
    key_id: str
    """Of the key that sealed it; empty: it is from before there was a chain."""
    previous: str
    """Hash of the row before, in hex."""
    hash: str = ""
    seal: str = ""


class End(msgspec.Struct, frozen=True, kw_only=True, rename={"name": "end"}):
    """One end of the chain: the last row there is (`head`), or the last that was swept (`anchor`)."""

    name: str
    """`end`, as text."""
    seq: int = 0
    hash: str = NO_HASH
    key_id: str = ""
    seal: str = ""

    @property
    def is_new(self) -> bool:
        """True before anything was written: nobody has sealed it yet."""
        return self.seq == 0 and self.hash == NO_HASH and not self.key_id


def hash_of(entry: Entry) -> str:
    """SHA-256, in hex, over all columns but hash and seal.

    Each text stands behind its length and numbers are eight bytes wide, so no two rows are written alike.
    """
    parts = [_FORM, struct.pack(">qd", entry.seq, entry.at)]
    for name in TEXTS:
        text = getattr(entry, name).encode()
        parts += (struct.pack(">q", len(text)), text)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def linked(entry: Entry, previous: str) -> Entry:
    """The row with that one before it, and its hash."""
    entry = msgspec.structs.replace(entry, previous=previous)
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def sealed_end(name: str, seq: int, row_hash: str, ring: KeyRing) -> End:
    """The end of the chain at this row, sealed by the active key."""
    key_id = ring.active_id
    seal = ring.derive(PURPOSE, _end_data(name, seq, row_hash), key_id).hex()
    return End(name=name, seq=seq, hash=row_hash, key_id=key_id, seal=seal)


def is_sealed(end: End, ring: KeyRing) -> bool:
    """True where a key of the ring has sealed this."""
    return _is_ours(ring, _end_data(end.name, end.seq, end.hash), end.key_id, end.seal)


def head_of(
    head: End, last: tuple[int, str] | None, ring: KeyRing, seen: End | None = None
) -> tuple[End, str]:
    """Where the chain goes on, and what is wrong there; empty: nothing is.

    `last`: seq and hash of the last row there is; `seen`: the head as this process left it, others may have added
    since. Threat: a head that was moved back, so that rows would be written
    over what was cut off, or taken away; the chain goes on behind the last row in any case, and says so.
    """
    if last is not None and last != (head.seq, head.hash):
        return End(name=HEAD, seq=last[0], hash=last[1]), "the last row is another than the head says"
    if last is None and head.seq and not is_sealed(head, ring):
        return head, "the last row is gone"
    if seen is not None and (head.seq < seen.seq or (head.seq == seen.seq and head.hash != seen.hash)):
        return head, "the trail was put back to an earlier state, or replaced"
    if seen is not None and not head.key_id:
        return head, "the trail was replaced by one without seals"
    # What is from before the chain has no seal: the first row behind it vouches for it.
    if head.is_new or not head.key_id or is_sealed(head, ring):
        return head, ""
    return head, _end_fault(head, ring, "end")


def extended(
    head: End, events: Iterable[Event], ring: KeyRing, *, fault: str = ""
) -> tuple[tuple[Entry, ...], End]:
    """Rows for these events behind the head, and the head after them. The caller has locked the head.

    `fault`, as `head_of` found it, is a row of its own in front: what was done to the trail stays in it.
    """
    told = tuple(events)
    if fault and told:
        told = (_broken(head, fault, told[0].at), *told)
    entries = []
    seq, before, key_id = head.seq, head.hash, ring.active_id
    for event in told:
        seq += 1
        entry = linked(entry_of(event, seq, key_id), before)
        before = entry.hash
        seal = ring.derive(PURPOSE, _row_data(before), key_id).hex()
        entries.append(msgspec.structs.replace(entry, seal=seal))
    return tuple(entries), sealed_end(HEAD, seq, before, ring)


def _broken(head: End, fault: str, at: float) -> Event:
    return Event(
        id=f"evt_broken_{head.seq}_{head.hash[:16]}",
        at=at,
        action=AUDIT_BROKEN,
        outcome=REFUSED,
        detail={"seq": head.seq, "fault": fault},
    )


def entry_of(event: Event, seq: int, key_id: str) -> Entry:
    """The row of an event; not linked yet."""
    values = msgspec.structs.asdict(event)
    values["detail"] = msgspec.json.encode(event.detail).decode()
    # As the databases have it: a whole number comes back from them with a point.
    values["at"] = float(event.at)
    return Entry(**values, seq=seq, key_id=key_id, previous=NO_HASH)


def swept(anchor: End, oldest: Sequence[Entry], before: float, ring: KeyRing) -> End | None:
    """The anchor after those rows were swept that are older than that; None: there is nothing to sweep.

    `oldest`: the first rows of the chain. It stops at the first row that is young enough, whatever is behind it: a row
    that was dated wrongly keeps others, and never takes them along. Threat: tampering that is swept away with the rows
    it was done to; where the anchor or the links to it are not as they were left, nothing is swept.
    """
    if not (anchor.is_new or is_sealed(anchor, ring)):
        return None
    seq, row_hash = anchor.seq, anchor.hash
    for entry in oldest:
        if entry.at >= before or (entry.seq, entry.previous) != (seq + 1, row_hash):
            break
        seq, row_hash = entry.seq, entry.hash
    return None if seq == anchor.seq else sealed_end(ANCHOR, seq, row_hash, ring)


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with the chain, and at which row."""

    id: str
    """Of the row; empty: it is about an end."""
    detail: str


class Walk:
    """Goes along the chain, row by row in the order of `seq`; says what the first thing is that is wrong."""

    def __init__(self, anchor: End, ring: KeyRing | None) -> None:
        """Begin behind the anchor. `ring` None: there is no key at hand; hashes are checked, seals are not."""
        self._ring = ring
        self.seq = anchor.seq
        self.hash = anchor.hash
        self.rows = 0
        self.hashes_wanted: set[str] = set()
        """Hashes that are looked for on the way; those that were found are taken out."""
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.unsealed = 0
        """Rows from before there was a chain."""
        self._is_sealed = False
        self._unvouched = ""
        self._broken: Fault | None = None

    def start(self, anchor: End) -> Fault | None:
        """What is wrong with the anchor."""
        self.hashes_wanted.discard(anchor.hash)
        if self._ring is None or anchor.is_new or is_sealed(anchor, self._ring):
            return None
        return Fault("", _end_fault(anchor, self._ring, "beginning"))

    def take(self, entry: Entry) -> Fault | None:
        """What is wrong with the next row."""
        self.rows += 1
        self.first_at = entry.at if self.first_at is None else self.first_at
        self.last_at = entry.at
        if entry.seq != self.seq + 1:
            return Fault(entry.id, f"row {self.seq + 1} is missing: after row {self.seq} comes {entry.seq}")
        if entry.previous != self.hash:
            return Fault(entry.id, f"row {entry.seq} does not follow from the row before it")
        if _hash_or_none(entry) != entry.hash:
            return Fault(entry.id, f"row {entry.seq} is not what was written")
        self.seq, self.hash = entry.seq, entry.hash
        self.hashes_wanted.discard(entry.hash)
        if entry.action == AUDIT_BROKEN and self._broken is None:
            self._broken = Fault(entry.id, f"before row {entry.seq} the trail did not end as it was left")
        return None if self._ring is None else self._check_seal(entry, self._ring)

    def end(self, head: End) -> Fault | None:
        """What is wrong with the end: the last row must be the head's, and a key we have vouch for it."""
        if head.seq != self.seq or head.hash != self.hash:
            return Fault("", f"the end was cut off or added to: the last row is {self.seq}, not {head.seq}")
        if self._ring is not None and not head.is_new and not is_sealed(head, self._ring):
            return Fault(self._unvouched, _end_fault(head, self._ring, "end"))
        if self.hashes_wanted:
            return Fault(
                "", "the hash that was kept is in none of the rows: the trail was replaced, or cut off"
            )
        return self._broken

    def _check_seal(self, entry: Entry, ring: KeyRing) -> Fault | None:
        if not entry.key_id:
            # From before the chain: the first sealed row vouches for it.
            self.unsealed += 1
            self._unvouched = self._unvouched or entry.id
            return Fault(entry.id, f"row {entry.seq} bears no seal") if self._is_sealed else None
        self._is_sealed = True
        if entry.key_id not in ring:
            self._unvouched = self._unvouched or entry.id
            return None
        if not _is_ours(ring, _row_data(entry.hash), entry.key_id, entry.seal):
            return Fault(entry.id, f"row {entry.seq} bears another seal than ours")
        self._unvouched = ""
        return None


def first_fault(
    anchor: End, entries: Sequence[Entry], head: End, ring: KeyRing | None, *, wanted: Iterable[str] = ()
) -> Fault | None:
    """What is wrong first with a chain that is all at hand."""
    walk = Walk(anchor, ring)
    walk.hashes_wanted.update(wanted)
    if (fault := walk.start(anchor)) is not None:
        return fault
    for entry in entries:
        if (fault := walk.take(entry)) is not None:
            return fault
    return walk.end(head)


def _end_data(name: str, seq: int, row_hash: str) -> bytes:
    return b"|".join((b"end", name.encode(), str(seq).encode(), row_hash.encode()))


def _is_ours(ring: KeyRing, data: bytes, key_id: str, seal: str) -> bool:
    if key_id not in ring:
        return False
    expected = ring.derive(PURPOSE, data, key_id).hex()
    return hmac.compare_digest(expected.encode(), seal.encode("utf-8", "replace"))


def _row_data(row_hash: str) -> bytes:
    return b"|".join((b"row", row_hash.encode()))


def _end_fault(end: End, ring: KeyRing, which: str) -> str:
    if end.key_id and end.key_id not in ring:
        return f"the {which} is sealed by key {end.key_id}, which is not in the key ring"
    if not end.key_id:
        return f"the {which} of the trail bears no seal: nothing was written since an upgrade, or it was taken off"
    return f"the {which} of the trail bears another seal than ours"


def _hash_or_none(entry: Entry) -> str:
    """Threat: what stands in a row where a hash should is anything."""
    try:
        return hash_of(entry)
    except (AttributeError, TypeError, ValueError, struct.error):
        return ""
