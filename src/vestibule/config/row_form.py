"""What a kind of provider takes as a row of the database, told for a form: the very fields that `config.row` reads.

A form has a field for each `Setting`, and what it holds becomes a document (`document_of`), or what changes one
(`patch_between`). Texts say what each is for: the docstrings that the manual is made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from vestibule.config.client import class_of, fields_of, provider_kinds
from vestibule.config.manual import texts_of
from vestibule.config.row import section_of
from vestibule.config.shape import Field

Shape = Literal["text", "secret", "key", "list", "map", "flag", "choice"]
Group = Literal["frame", "client", "restriction", "more"]

_PARAMETERS: Final = "authorize_parameters"
_BESIDE: Final = frozenset({"title", "email_domains"})
_FIRST: Final = ("issuer", "client_id", "client_secret")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "auth_style": ("", "basic", "post", "none"),
    "private_key_algorithm": ("RS256", "ES256"),
}
#: settings that a row can't have, whatever they hold
_REFUSED: Final = frozenset({("oauth2", "issuer")})
_PARAMETERS_TEXT: Final = "Further parameters of the authorization URL: `prompt = consent`."
#: how a fault of the whole section names the setting that it is about
_ABOUT_RE: Final = re.compile(r'^\w+ "[^"]*"(?: has no `(?P<missing>\w+)`.*|: (?P<about>\w+) .*)$', re.DOTALL)
_ITEM_RE: Final = re.compile(r"^(?P<name>[^\[.]+)(?:\[(?P<number>\d+)\]|\.(?P<key>.+))?$")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is filled in."""

    name: str
    shape: Shape
    """`key` is a secret of several lines; a `list` has one item a line, a `map` one `name = value`."""
    group: Group
    text: str = ""
    """What it is for."""
    is_required: bool = False
    default: Any = None
    """What holds where it is empty."""
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other names that a document may have it by."""
    is_number: bool = False


Filled = Mapping[str, str]
"""What a form holds, by the setting's name; of a flag `yes` or nothing."""


def kinds() -> tuple[str, ...]:
    """The kinds that a row can be of."""
    known = sorted([*provider_kinds(), "oauth2"])
    return tuple(kind for kind in known if "is_trusted" in getattr(class_of(kind), "__struct_fields__", ()))


def settings_of(kind: str) -> tuple[Setting, ...]:
    """All that a row of this kind takes beside `id` and `enabled`, the important first. Raises KeyError."""
    cls = class_of(kind)
    if cls is None or kind not in kinds():
        raise KeyError(kind)
    texts = texts_of(cls)
    infos = {info.name: info for info in msgspec.structs.fields(cls)}
    written = fields_of(cls).attributes
    found = [
        _setting(kind, field, infos[name], texts.get(name, ""), tuple(_others(written, name)))
        for name, field in written.items()
        if name == field.name and not name.endswith("_file") and (kind, name) not in _REFUSED
    ]
    if _PARAMETERS in infos:
        found.append(Setting(name=_PARAMETERS, shape="map", group="more", text=_PARAMETERS_TEXT))
    return tuple(sorted(found, key=_rank))


def _others(written: Mapping[str, Field], name: str) -> Iterator[str]:
    return (other for other, field in written.items() if field.name == name and other != name)


def _rank(setting: Setting) -> tuple[bool, int]:
    first = _FIRST.index(setting.name) if setting.name in _FIRST else len(_FIRST)
    return not setting.is_required, first


def _setting(
    kind: str, field: Field, info: msgspec.structs.FieldInfo, text: str, aliases: tuple[str, ...]
) -> Setting:
    shape = _shape(field)
    default = None if info.required or field.secret else info.default
    return Setting(
        name=field.name,
        shape=shape,
        group=_group(kind, field.name, is_required=info.required),
        text=" ".join(text.split()),
        is_required=info.required or field.name == "email_domains",
        default=default if isinstance(default, str | bool | int | float) else None,
        choices=_CHOICES.get(field.name, ()),
        aliases=aliases,
        is_number=field.kind is not None and not field.kind.text and shape == "text",
    )


def _shape(field: Field) -> Shape:
    if field.mapped:
        return "map"
    if field.listed:
        return "list"
    if field.secret:
        return "key" if field.name.endswith("key") else "secret"
    if field.name in _CHOICES:
        return "choice"
    return "flag" if field.kind is not None and field.kind.words == "true or false" else "text"


def _group(kind: str, name: str, *, is_required: bool) -> Group:
    if name in _BESIDE:
        return "frame"
    if is_required or name in _FIRST or name in _OWN.get(kind, ()):
        return "client"
    return "restriction" if name.startswith(("allowed_", "hosted_")) else "more"


#: what says where a provider is, though it can be left out
_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "forgejo": ("web_url",),
    "gitea": ("web_url",),
    "github": ("web_url",),
    "gitlab": ("web_url",),
    "keycloak": ("base_url", "realm"),
    "oauth2": ("userinfo_url",),
    "okta": ("domain", "authorization_server"),
    "logingov": ("environment",),
}


# -- from the form to the document ------------------------------------------------------------


def document_of(kind: str, filled: Filled, old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document that a form describes; what is left empty is left out, secrets too.

    `old`: the one it was filled from, whose spelling stays: names by alias, and defaults that it writes.
    """
    section = section_of(kind)
    before = old or {}
    was = before.get(section, {})
    settings: dict[str, Any] = {}
    frame: dict[str, Any] = {"provider_type": kind, "enabled": filled.get("enabled") == "yes"}
    if filled.get("id", "").strip():
        frame["id"] = filled["id"].strip()
    for setting in settings_of(kind):
        inside = setting.group != "frame"
        name = written_name(setting, was if inside else before)
        value = value_of(setting, filled.get(setting.name, ""))
        if value in (None, "", [], {}):
            continue
        if value == setting.default and name not in (was if inside else before):
            continue
        (settings if inside else frame)[name] = value
    return {**frame, section: settings}


def value_of(setting: Setting, text: str) -> Any:
    """What a field says, as a document has it."""
    if setting.shape == "flag":
        return text == "yes"
    if setting.shape == "list":
        return _lines(setting, text)
    if setting.shape == "map":
        pairs = (line.partition("=") for line in text.splitlines() if line.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}
    if setting.shape == "key":
        return text.replace("\r\n", "\n").strip()
    text = text.strip()
    return int(text) if setting.is_number and text.isdecimal() else text


def _lines(setting: Setting, text: str) -> list[str]:
    if setting.name in {"email_domains", "scopes"}:
        return re.split(r"[\s,]+", text.strip(" \t\r\n,")) if text.strip(" \t\r\n,") else []
    return [line.strip() for line in text.splitlines() if line.strip()]


def filled_from(kind: str, document: Mapping[str, Any]) -> dict[str, str]:
    """What a form begins with, from a document without secrets."""
    was = document.get(section_of(kind), {})
    filled = {"id": str(document.get("id", "")), "enabled": "yes" if document.get("enabled", True) else ""}
    for setting in settings_of(kind):
        place = document if setting.group == "frame" else was
        without = setting.default if setting.shape in {"flag", "choice"} else None
        filled[setting.name] = _shown(place.get(written_name(setting, place), without))
    return filled


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list | tuple):
        return "\n".join(str(item) for item in value)
    if isinstance(value, Mapping):
        return "\n".join(f"{name} = {item}" for name, item in value.items())
    return "" if value is None else str(value)


def written_name(setting: Setting, place: Mapping[str, Any]) -> str:
    """The name that it has there, or would get."""
    return next((name for name in setting.aliases if name in place), setting.name)


def patch_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Merge Patch that makes the one of the other; empty: they are alike. Spec: RFC 7396."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        was = old.get(name)
        if isinstance(value, Mapping) and isinstance(was, Mapping):
            if inner := patch_between(was, value):
                patch[name] = inner
        elif name not in old or value != was:
            patch[name] = value
    return patch


# -- from faults to fields --------------------------------------------------------------------


def faults_by_field(kind: str, faults: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """What is wrong with each field, by its name; what is about none stands under the empty name."""
    section = section_of(kind)
    names = {"id": "id", "enabled": "enabled"}
    for setting in settings_of(kind):
        names |= dict.fromkeys((setting.name, *setting.aliases), setting.name)
    found: dict[str, list[str]] = {}
    for path, message in faults:
        name, said = _field_of(path.removeprefix(f"{section}."), message, names)
        if said not in found.setdefault(name, []):
            found[name].append(said)
    return {name: "; ".join(said) for name, said in found.items()}


def _field_of(path: str, message: str, names: Mapping[str, str]) -> tuple[str, str]:
    about = _ABOUT_RE.match(message)
    if about is not None and (named := about["missing"] or about["about"]) in names:
        return names[named], "is missing" if about["missing"] else message.partition('": ')[2]
    item = _ITEM_RE.match(path)
    if item is None or item["name"] not in names:
        return "", f"{path}: {message}" if path else message
    if item["number"] is not None:
        message = f"line {int(item['number']) + 1}: {message}"
    elif item["key"] is not None:
        message = f"{item['key']}: {message}"
    return names[item["name"]], message
