"""The form of an identity provider of the database, as the page shows it: groups of fields with their texts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from vestibule.config.row import section_of
from vestibule.config.row_form import Filled, Group, Setting, settings_of

_SPOKEN: Final[Mapping[str, str]] = {
    "acr": "ACR",
    "api": "API",
    "email": "e-mail",
    "id": "ID",
    "ids": "IDs",
    "orgs": "organisations",
    "pkce": "PKCE",
    "url": "URL",
    "userinfo": "userinfo",
}
_GROUPS: Final[tuple[tuple[Group, str, str], ...]] = (
    ("frame", "How it is offered", ""),
    ("client", "The client", "As it is registered with the provider."),
    (
        "restriction",
        "Who is let in",
        "Empty lists let in every account of the provider; the rules of each host hold besides.",
    ),
    ("more", "Everything else", "Good as it is for most."),
)
_KINDS: Final[Mapping[str, str]] = {
    "adfs": "AD FS",
    "alibaba": "Alibaba Cloud",
    "cognito": "Amazon Cognito",
    "digitalocean": "DigitalOcean",
    "entra": "Microsoft Entra ID",
    "github": "GitHub",
    "gitlab": "GitLab",
    "homeassistant": "Home Assistant",
    "indieauth": "IndieAuth",
    "linkedin": "LinkedIn",
    "logingov": "Login.gov",
    "oauth2": "OAuth 2.0",
    "oidc": "OpenID Connect",
    "openstax": "OpenStax",
    "sourcehut": "SourceHut",
}
_FOLDED: Final = frozenset({"more"})
_SHORT: Final[Mapping[str, str]] = {
    "email_domains": "The domains whose addresses this provider is believed about, one a line. An address outside of "
    "them counts as none.",
}
_CODE_RE: Final = re.compile(r"`([^`]+)`")


class Piece(msgspec.Struct, frozen=True):
    """A part of a text."""

    text: str
    is_code: bool = False


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """One field."""

    name: str
    label: str
    shape: str
    """As of `Setting`."""
    value: str = ""
    hint: tuple[Piece, ...] = ()
    placeholder: str = ""
    is_required: bool = False
    is_set: bool = False
    """Of a secret: there is one, which stays unless another is written."""
    is_needed: bool = False
    """It can't be taken away."""
    choices: tuple[str, ...] = ()
    rows: int = 3
    fault: str = ""
    now: str = ""
    """What somebody else has put there since, where that is something else."""


class FieldGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that stand together."""

    title: str
    hint: str
    fields: tuple[FormField, ...]
    is_folded: bool


def groups_of(
    kind: str,
    filled: Filled,
    *,
    secrets: Collection[str] = (),
    faults: Mapping[str, str] = {},
    current: Filled | None = None,
    is_new: bool = True,
) -> tuple[FieldGroup, ...]:
    """The form of a kind.

    `secrets`: paths of those that are set. `current`: what is there now, for a form that is shown again because
    somebody else was faster.
    """
    section = section_of(kind)
    settings = settings_of(kind)
    found = []
    for group, title, hint in _GROUPS:
        fields = [
            _field(one, filled, is_set=f"{section}.{one.name}" in secrets, faults=faults, current=current)
            for one in settings
            if one.group == group
        ]
        if group == "frame":
            fields = [*_own_fields(kind, filled, faults, is_new=is_new), *fields]
        is_told = any(one.fault or one.now for one in fields)
        if fields:
            is_folded = group in _FOLDED and not is_told
            found.append(FieldGroup(title=title, hint=hint, fields=tuple(fields), is_folded=is_folded))
    return tuple(found)


def _own_fields(kind: str, filled: Filled, faults: Mapping[str, str], *, is_new: bool) -> list[FormField]:
    enabled = FormField(
        name="enabled",
        label="Offer it to people",
        shape="flag",
        value=filled.get("enabled", ""),
        hint=(Piece("Without it the provider is kept, and nobody gets in by it."),),
        fault=faults.get("enabled", ""),
    )
    if not is_new:
        return [enabled]
    named = FormField(
        name="id",
        label="ID",
        shape="text",
        value=filled.get("id", ""),
        hint=pieces(
            f"Stands in `/@ID/signin` and in rules. It can't be changed later; without it: `{kind}`."
        ),
        placeholder=kind,
        fault=faults.get("id", ""),
    )
    return [named, enabled]


def _field(
    setting: Setting, filled: Filled, *, is_set: bool, faults: Mapping[str, str], current: Filled | None
) -> FormField:
    is_secret = setting.shape in {"secret", "key"}
    value = "" if is_secret else filled.get(setting.name, "")
    now = "" if current is None or is_secret else current.get(setting.name, "")
    is_other = current is not None and not is_secret and _alike(now) != _alike(value)
    return FormField(
        name=setting.name,
        label=label_of(setting.name),
        shape=setting.shape,
        value=value,
        hint=pieces(_hint(setting)),
        placeholder=str(setting.default) if isinstance(setting.default, str) and not setting.choices else "",
        is_required=setting.is_required and not is_set,
        is_set=is_set,
        is_needed=setting.is_required,
        choices=setting.choices,
        rows=6 if setting.shape == "key" else min(max(2, value.count("\n") + 1), 12),
        fault=faults.get(setting.name, ""),
        now=("yes" if now else "no") if is_other and setting.shape == "flag" else (now or "empty") * is_other,
    )


def _hint(setting: Setting) -> str:
    text = _SHORT.get(setting.name, setting.text)
    if setting.shape == "list" and setting.name not in _SHORT:
        return f"{text} One a line."
    return f"{text} One a line: `name = value`." if setting.shape == "map" and "=" not in text else text


def _alike(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def title_of(kind: str) -> str:
    """A kind's name for people."""
    return _KINDS.get(kind, kind.capitalize())


def label_of(name: str) -> str:
    """A setting's name for people: `client_id` is `Client ID`."""
    words = [_SPOKEN.get(word, word) for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def pieces(text: str) -> tuple[Piece, ...]:
    """The text, with what stands in backticks as code."""
    split = _CODE_RE.split(text)
    return tuple(Piece(part, is_code=number % 2 == 1) for number, part in enumerate(split) if part)


def removed(kind: str, form: Mapping[str, str]) -> dict[str, Any]:
    """The part of a patch that takes away the secrets which are ticked to go."""
    gone = [
        one.name
        for one in settings_of(kind)
        if one.shape in {"secret", "key"}
        and form.get(f"remove_{one.name}") == "yes"
        and not form.get(one.name)
    ]
    return {section_of(kind): dict.fromkeys(gone)} if gone else {}
