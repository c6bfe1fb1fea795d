"""When somebody has tried passwords too often: counted by person and by where the tries come from.

A person is counted under the one spelling of their name, whether there is such a person or not. An address is counted
by its network: who has an IPv6 address has 2^64 of them. Where a person has shown the right password before, only tries
of their name from there count against them: nobody keeps them out from elsewhere, or from the same office.

What this process counts is counted at once, tries that are under way among it. What failed is counted for all processes
besides, by `counters` (`service.tries`).
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from vestibule.core.limit import Limit
from vestibule.core.recent import Recent

TRIES_MAX: Final = 10
"""Wrong passwords for one person in a window."""
TRIES_FROM_MAX: Final = 50
"""Wrong passwords from one address (IPv6: one /64) in a window, whoever they were for."""
WINDOW_S: Final = 300.0
_KEYS_MAX: Final = 100_000
_NETWORK_BITS: Final = 64


class Counter(NamedTuple):
    """One thing that failures are counted by, for all processes."""

    kind: str
    key: str
    most: int
    """How many there may be in a window."""
    window_s: float


def network_of(address: str) -> str:
    """What an address is counted by: IPv4 itself, IPv6 by its first 64 bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else f"{IPv6Address(int(parsed) >> _NETWORK_BITS << _NETWORK_BITS)}/64"
    return str(parsed)


def place_of(person: str, address: str) -> str:
    """What a person at a place is known by: a digest, which other processes may be told."""
    return hashlib.sha256(f"{person}\0{network_of(address)}".encode("utf-8", "surrogatepass")).hexdigest()


class Lockout:
    """Counts tries; in this process, and for as long as it runs."""

    def __init__(self) -> None:
        self._of_person = Limit(TRIES_MAX, WINDOW_S, keys=_KEYS_MAX)
        self._from = Limit(TRIES_FROM_MAX, WINDOW_S, keys=_KEYS_MAX)
        self._places: Recent[str, None] = Recent(_KEYS_MAX)

    def wait_s(self, person: str, address: str, now: float) -> float:
        """For how long no password of this person (canonical) is tried from this address; 0: one may be."""
        place = place_of(person, address)
        if place in self._places:
            return self._of_person.wait_s(place, now)
        return max(self._of_person.wait_s(person, now), self._from.wait_s(network_of(address), now))

    def counters(self, person: str, address: str) -> tuple[Counter, ...]:
        """What a try that fails counts under, for all processes."""
        place = place_of(person, address)
        if place in self._places:
            return (Counter("password at", place, TRIES_MAX, WINDOW_S),)
        return (
            Counter("password of", person, TRIES_MAX, WINDOW_S),
            Counter("password from", network_of(address), TRIES_FROM_MAX, WINDOW_S),
        )

    def add(self, person: str, address: str, now: float) -> None:
        """A try begins. It counts at once: many at a time are many tries."""
        place = place_of(person, address)
        if place in self._places:
            self._of_person.add(place, now)
            return
        self._of_person.add(person, now)
        self._from.add(network_of(address), now)

    def take_back(self, person: str, address: str) -> None:
        """The try that was added was none, or the right password: it doesn't count."""
        place = place_of(person, address)
        if place in self._places:
            self._of_person.take_back(place)
        else:
            self._of_person.take_back(person)
            self._from.take_back(network_of(address))

    def succeeded(self, person: str, address: str) -> bool:
        """The try that was added was the right password; the place is known from now on. True: it was not before."""
        place = place_of(person, address)
        is_new = place not in self._places
        self.take_back(person, address)
        self.know(place)
        return is_new

    def know(self, place: str) -> None:
        """The right password was shown at this place (`place_of`), here or to another process."""
        self._places.put(place, None)
