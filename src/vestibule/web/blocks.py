"""What pages are built of: ways on, fields to fill in, items of a list. Plain values that templates show.

Names of texts are looked up in the person's language, so that whoever makes a page writes no words.
"""

from __future__ import annotations

import msgspec

from vestibule.protocol.authorization import USER_LIMIT_CHARS


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One button of the sign-in page."""

    title: str
    href: str
    client: str = ""
    """ID of the client it begins a sign-in with."""
    kind: str = ""
    """`google`, `github` …: which mark it bears, where there is one; else its first letter."""
    is_last_used: bool = False
    """True for the one this browser signed in with before."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One way on from a page: a link, or a button that POSTs."""

    href: str
    label: str
    """Name of its text under `action.`."""
    post: bool = False
    """True: a form, for whatever changes something. Its Origin is checked (`asking.check_post`), so it needs no
    token."""
    hidden: tuple[tuple[str, str], ...] = ()
    """Parameters that a POST sends along."""
    danger: bool = False
    """True for what can't be undone."""
    aside: bool = False
    """True for a link that opens beside the page, so that nothing typed there is lost."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a form, with its label."""

    name: str
    """Of the parameter."""
    label: str
    """Name of its text, as are `hint` and `fault`."""
    label_text: str = ""
    """The label itself, where the operator wrote it; so is `hint_text`."""
    hint_text: str = ""
    value: str = ""
    """As it was sent, where the form is shown again. Of a checkbox: empty, or anything for checked (`yes`)."""
    type: str = "text"
    """`text`, `password`, `email` or `checkbox`, which is sent as `yes`."""
    options: tuple[str, ...] = ()
    """What to choose from, as it is shown and sent; empty: it is typed."""
    hint: str = ""
    """How to fill it in."""
    fault: str = ""
    """What is wrong with what was sent."""
    autocomplete: str = ""
    """What it is, so that browsers can fill it in: `name`, `email`, `url`. Spec: WCAG 2.2, 1.3.5."""
    keyboard: str = ""
    """`url`, `email` …: which keyboard a phone shows, without spelling and capitals of its own."""
    required: bool = True
    limit_chars: int = 0
    """0: none."""


def password_fields(user: str = "") -> tuple[Field, ...]:
    """The form of user name and password; `user`: as it was sent. What was sent as password is never shown again."""
    return (
        Field(
            name="user",
            label="signin_form.user",
            value=user,
            autocomplete="username",
            keyboard="text",
            limit_chars=USER_LIMIT_CHARS,
        ),
        Field(
            name="password", label="signin_form.password", type="password", autocomplete="current-password"
        ),
    )


class Fact(msgspec.Struct, frozen=True):
    """One thing that is known of somebody."""

    label: str
    """Name of its text."""
    value: str
    text: str = ""
    """Name of the text that says it, with `value` in its place `minutes`; empty: the value says it."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list, with what can be done about it."""

    title: str
    detail: str = ""
    kind: str = ""
    """A provider's kind, whose mark it bears."""
    actions: tuple[Action, ...] = ()


class TokenLine(msgspec.Struct, frozen=True, kw_only=True):
    """An app token on its owner's page."""

    title: str
    where: str
    """Host and path it is good for."""
    only_reads: bool
    until: str
    """The day it expires."""
    is_over: bool
    used: str = ""
    """The day it was last used; empty: never."""
    actions: tuple[Action, ...] = ()


class DeviceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A device on the page of whoever is signed in on it."""

    browser: str
    """Empty: unknown, as is `system`."""
    system: str
    address: str
    hosts: str
    since: str
    """The day of the sign-in."""
    seen: str
    """The day it was last seen."""
    service: str = ""
    """Which service made the session; empty: a sign-in did."""
    is_this: bool = False
    actions: tuple[Action, ...] = ()
