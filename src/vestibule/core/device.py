"""Which browser on which system a session is held by, and whether the person has come by it, or from there, before.

Names alone, no versions: an update makes no new device of one. What User-Agent says anybody can say: it is shown, and
decides whether a person is told of a sign-in, nothing else.
"""

from __future__ import annotations

import enum
import hashlib
import ipaddress
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from vestibule.model import Device, Session
from vestibule.protocol.address import parse

NETWORKS_MAX: Final = 20
"""How many networks are remembered of a device, the latest."""
ID_BYTES: Final = 16
USER_AGENT_MAX: Final = 500
"""How much of a User-Agent is kept, in characters."""
_READ_CHARS: Final = 512
_V4_BITS: Final = 24
_V6_BITS: Final = 48

#: what stands in User-Agent → the browser; the first that is found counts, since most name others after themselves
_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("OPiOS/", "Opera"),
    ("Opera/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("UCBrowser/", "UC Browser"),
    ("MiuiBrowser/", "Mi Browser"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("Silk/", "Silk"),
    ("Epiphany/", "GNOME Web"),
    ("Seamonkey/", "SeaMonkey"),
    ("FxiOS/", "Firefox"),
    ("Focus/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Trident/", "Internet Explorer"),
    ("MSIE ", "Internet Explorer"),
    ("Version/", "Safari"),
)
#: how User-Agent begins → the program
_PROGRAMS: Final = (
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("git/", "Git"),
    ("python-requests/", "Python"),
    ("Python/", "Python"),
    ("Python-urllib/", "Python"),
    ("python-httpx/", "Python"),
    ("Go-http-client/", "Go"),
    ("okhttp/", "OkHttp"),
    ("Dart/", "Dart"),
    ("PostmanRuntime/", "Postman"),
    ("vestibule", "Vestibule"),
)
_SYSTEMS: Final = (
    ("Windows Phone", "Windows Phone"),
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("iPod", "iPod"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
    ("X11", "Unix"),
)
#: only Apple's own names no other browser beside "Safari/"
_SAFARI: Final = "Safari/"


class Family(msgspec.Struct, frozen=True):
    """A browser on a system, by name; empty: unknown."""

    browser: str = ""
    system: str = ""

    @property
    def words(self) -> str:
        """As events tell it: `Firefox on Linux`; empty where nothing is known."""
        return " on ".join(
            name for name in (self.browser or (self.system and "browser"), self.system) if name
        )


class KnownDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device by which a person has signed in, as it is remembered."""

    user_id: str
    digest: bytes
    """Of the id in its cookie, another for every person (`digest_of`)."""
    family: Family = Family()
    networks: tuple[str, ...] = ()
    """Where it signed in from, the latest first."""
    first_at: float
    seen_at: float


class Novelty(enum.Enum):
    """What is new about a sign-in."""

    FIRST = "first"
    """Nothing is remembered of the person: there is nothing to compare it with."""
    NONE = ""
    DEVICE = "device"
    PLACE = "place"
    """A known device, from a network that none of the person's has signed in from."""


def user_agent_of(raw: bytes) -> str:
    """What a User-Agent says, as it is kept: one line, which can be shown anywhere.

    Threat: controls that a terminal obeys; so much of it that sessions fill the store, or that no list shows them.
    """
    return "".join(char for char in raw[:USER_AGENT_MAX].decode("latin-1") if char.isprintable())


def family_of(user_agent: str) -> Family:
    """The browser and the system that User-Agent names; bounded work, whatever it is."""
    text = user_agent[:_READ_CHARS]
    browser = next((name for start, name in _PROGRAMS if text.startswith(start)), "")
    if not browser:
        browser = next((name for mark, name in _BROWSERS if mark in text), "")
    if browser == "Safari" and _SAFARI not in text:
        browser = ""
    return Family(browser, next((name for mark, name in _SYSTEMS if mark in text), ""))


def network_of(address: str) -> str:
    """The network that an address is in, as far as it says where somebody is: /24, or /48; empty for no address."""
    try:
        found = parse(address)
    except ValueError:
        return ""
    bits = _V4_BITS if found.version == 4 else _V6_BITS
    return str(ipaddress.ip_network((found, bits), strict=False))


def digest_of(device_id: str, user_id: str) -> bytes:
    """By what a device is remembered for this person.

    Threat: a copy of the database in which people can be seen to share a device. The id has 128 random bits.
    """
    return hashlib.sha256(f"{device_id}\0{user_id}".encode()).digest()


def novelty(known: Iterable[KnownDevice], digest: bytes, device: Device) -> Novelty:
    """What is new about a sign-in by this device: `known` are the person's.

    It is known by its cookie, or as the same browser on the same system in a network where one of theirs has been;
    a browser that has no name is known by its cookie only.
    """
    theirs = tuple(known)
    if not theirs:
        return Novelty.FIRST
    family, network = family_of(device.user_agent), network_of(device.address)
    if any(one.digest == digest for one in theirs):
        is_there = not network or any(network in one.networks for one in theirs)
        return Novelty.NONE if is_there else Novelty.PLACE
    if family.browser and any(one.family == family and network in one.networks for one in theirs):
        return Novelty.NONE
    return Novelty.DEVICE


def remembered(
    before: KnownDevice | None, *, user_id: str, digest: bytes, device: Device, now: float
) -> KnownDevice:
    """The device as it is remembered from now on; `before`: as it was."""
    known = before or KnownDevice(user_id=user_id, digest=digest, first_at=now, seen_at=now)
    network = network_of(device.address)
    earlier = tuple(one for one in known.networks if one != network)
    networks = ((network,) if network else ()) + earlier
    return replace(
        known,
        family=family_of(device.user_agent),
        networks=networks[:NETWORKS_MAX],
        seen_at=max(now, known.seen_at),
    )


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A device that somebody is signed in on: a session, and what was handed on from it to hosts of its domain."""

    session: Session
    children: tuple[Session, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """What it is good for, each once."""
        return tuple(dict.fromkeys((self.session.host, *sorted(one.host for one in self.children))))

    @property
    def seen_at(self) -> float:
        """When it was last seen, on whichever host."""
        return max(one.seen_at for one in (self.session, *self.children))

    def is_of(self, session: Session) -> bool:
        """True for the device that this session is on."""
        return self.session.id in (session.id, session.parent_id)


def held_by(sessions: Iterable[Session]) -> tuple[Held, ...]:
    """The devices behind a person's sessions, the one seen last first."""
    theirs = tuple(sessions)
    found = (
        Held(session=one, children=tuple(child for child in theirs if child.parent_id == one.id))
        for one in theirs
        if not one.parent_id
    )
    return tuple(sorted(found, key=lambda one: (-one.seen_at, one.session.id)))
