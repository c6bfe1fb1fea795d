"""The fictional people of the demo, and their portraits drawn in SVG."""

from __future__ import annotations

import msgspec


class Portrait(msgspec.Struct, frozen=True, kw_only=True):
    """The colours and the cut of a portrait."""

    ground: str
    skin: str
    hair: str
    coat: str
    cut: str
    """The path of the hair, in a square of 96."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to sign in as."""

    login: str
    subject: str
    """What the provider calls them for ever (`sub`); says nothing about them."""
    name: str
    email: str
    email_verified: bool = True
    groups: tuple[str, ...] = ()
    about: str
    portrait: Portrait

    def claims(self, scopes: tuple[str, ...]) -> dict[str, object]:
        """What these scopes let an app know (OpenID Connect Core section 5.4); `groups` is our own."""
        known: dict[str, object] = {"sub": self.subject}
        if "profile" in scopes:
            known |= {"name": self.name, "preferred_username": self.login}
        if "email" in scopes:
            known |= {"email": self.email, "email_verified": self.email_verified}
        if "groups" in scopes:
            known["groups"] = list(self.groups)
        return known


_SHORT = "M26 44 C24 22 38 14 50 15 C64 15 73 25 70 44 C66 36 62 31 56 29 C46 33 34 32 30 36 Q27 39 26 44Z"
_LONG = (
    "M22 70 C18 36 26 13 48 13 C70 13 78 36 74 70 L66 70 C69 52 67 38 60 31"
    " C50 36 36 34 32 38 C28 48 29 58 31 70Z"
)
_BUN = "M39 13 A9 9 0 1 1 57 13 C68 17 72 29 69 44 C64 34 58 30 48 30 C38 30 32 34 27 44 C24 29 28 17 39 13Z"
_CURLS = (
    "M24 46 A8 8 0 0 1 25 32 A9 9 0 0 1 33 20 A10 10 0 0 1 48 14 A10 10 0 0 1 63 20 A9 9 0 0 1 71 32"
    " A8 8 0 0 1 72 46 C66 42 66 36 60 33 C52 36 42 36 36 33 C30 36 30 42 24 46Z"
)
_CAP = "M26 37 C25 19 36 11 48 11 C60 11 71 19 70 35 L81 37 C82 39 80 41 77 41 L28 40Z"

PEOPLE: tuple[Person, ...] = (
    Person(
        login="alice",
        subject="u-4f1c8a20",
        name="Alice Adeyemi",
        email="alice@example.com",
        groups=("admins", "staff"),
        about="Looks after the building. The only one let into /admin/.",
        portrait=Portrait(ground="#d9c7f2", skin="#8a5a3c", hair="#2a1c1a", coat="#5b3fa0", cut=_BUN),
    ),
    Person(
        login="bob",
        subject="u-93d7e511",
        name="Bob Lindqvist",
        email="bob@example.com",
        groups=("staff",),
        about="Works here, and would like to see /admin/ too.",
        portrait=Portrait(ground="#bfe0d4", skin="#eec3a0", hair="#b5763a", coat="#2f6f5b", cut=_SHORT),
    ),
    Person(
        login="chiara",
        subject="u-0b62ac7e",
        name="Chiara Muñoz",
        email="chiara@example.org",
        groups=("editors", "staff"),
        about="An accent in the name, an address at another domain.",
        portrait=Portrait(ground="#f6d3c4", skin="#e0a77e", hair="#5c2e1c", coat="#b4532f", cut=_LONG),
    ),
    Person(
        login="dmitri",
        subject="u-7e40d9f3",
        name="Dmitri Okafor",
        email="dmitri@example.net",
        groups=("guests",),
        about="A guest: in no group that opens a door.",
        portrait=Portrait(ground="#c5d9f3", skin="#6d4630", hair="#1d1a1c", coat="#2c5a96", cut=_CURLS),
    ),
    Person(
        login="erin",
        subject="u-c81f3355",
        name="Erin Park",
        email="erin@example.com",
        email_verified=False,
        about="Never confirmed her address, so the app is told none.",
        portrait=Portrait(ground="#f3e3b3", skin="#f0cfae", hair="#8f6a14", coat="#7a6a2a", cut=_CAP),
    ),
)
BY_LOGIN = {person.login: person for person in PEOPLE}


def find(hint: str) -> Person | None:
    """The person whose login or e-mail address this is; None for anybody else."""
    wanted = hint.strip().lower()
    return next((person for person in PEOPLE if wanted in {person.login, person.email}), None)


def portrait_svg(person: Person) -> str:
    """A portrait as an SVG document: ground, coat, neck, head, hair, eyes and a smile."""
    look = person.portrait
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" role="img" aria-label="{person.name}">'
        f'<rect width="96" height="96" fill="{look.ground}"/>'
        f'<path d="M10 96 C12 74 30 68 48 68 C66 68 84 74 86 96Z" fill="{look.coat}"/>'
        f'<path d="M40 58 H56 V70 C56 76 40 76 40 70Z" fill="{look.skin}"/>'
        f'<ellipse cx="48" cy="44" rx="20" ry="23" fill="{look.skin}"/>'
        f'<path d="{look.cut}" fill="{look.hair}"/>'
        '<g fill="#1d1a22"><circle cx="40.5" cy="46" r="2.1"/><circle cx="55.5" cy="46" r="2.1"/></g>'
        '<path d="M41 56 Q48 61.5 55 56" fill="none" stroke="#1d1a22" stroke-width="2"/>'
        "</svg>"
    )
