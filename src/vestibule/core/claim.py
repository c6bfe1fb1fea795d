"""What a provider's document says of a person, read by name: `claims { groups = "realm_access.roles" }`.

A mapping names, for each thing that is known of people, the claim it stands in. Standard names are those of
`TEXTS` and `LISTS`; every other name is a further claim to keep. An empty claim name switches one off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from vestibule.errors import ProviderInvalid
from vestibule.model import Identity

TEXTS: Final = ("subject", "login", "name", "email", "email_verified")
"""Claims that are one value."""
LISTS: Final = ("groups", "orgs", "teams", "projects", "repos", "roles")
"""Claims that are lists of strings; rules are made on them."""
ENTRIES_MAX: Final = 5000
"""Most entries any list may have."""
#: claims that are the gateway's own affair, or bound to one token: never kept as "further claims"
_NOT_KEPT: Final = frozenset(
    {"nonce", "at_hash", "c_hash", "s_hash", "exp", "iat", "nbf", "aud", "azp", "jti"}
)


def at(document: Mapping[str, Any], path: str) -> Any:
    """The value at a claim's name or dotted path; None where there is nothing.

    A name that holds dots itself (`https://example.com/roles`) is found before it is taken apart.
    """
    if path in document:
        return document[path]
    head, dot, rest = path.partition(".")
    while dot:
        inner = document.get(head)
        if isinstance(inner, Mapping) and (found := at(inner, rest)) is not None:
            return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def text_of(value: Any) -> str:
    """The claim when it is a string without control characters, else ""; what is shown must be showable."""
    return value if isinstance(value, str) and value.isprintable() else ""


def entries_of(value: Any) -> tuple[str, ...]:
    """The claim as texts: each entry of a list; numbers and booleans as JSON writes them, and of an object none."""
    items = value if isinstance(value, list) else [value]
    return tuple(
        item if isinstance(item, str) else msgspec.json.encode(item).decode()
        for item in items
        if isinstance(item, str | int | float)
    )


def is_number(text: str) -> bool:
    """True for ASCII digits alone: what `isdigit` takes besides is no number of an API."""
    return text.isascii() and text.isdigit()


def subject_of(document: Mapping[str, Any], path: str = "") -> str:
    """The account's name for good, at `path` or else `sub` or `id`: text, or a whole number as text.

    Raises ProviderInvalid without one.
    """
    for name in (path,) if path else ("sub", "id"):
        value = at(document, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if text_of(value):
            return text_of(value)
    raise ProviderInvalid("the provider doesn't say who this is", detail="no subject")


def texts_of(value: Any, name: str, *, is_lone_text: bool = False) -> tuple[str, ...]:
    """The strings of a list, each once. Raises ProviderInvalid (`claim_invalid`) for any other shape.

    `is_lone_text`: the provider writes a list of one as bare text.
    Threat: a group claim of the wrong type read as a list of characters, as one group, or as no groups
    (attacks.md O3): whoever should be kept out by it would come in.
    """
    if is_lone_text and isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _invalid(name, f"is {type(value).__name__}, not a list of strings")
    if len(value) > ENTRIES_MAX:
        raise _invalid(name, f"has more than {ENTRIES_MAX} entries")
    if not all(item.isprintable() for item in value):
        raise _invalid(name, "has an entry with control characters")
    return tuple(dict.fromkeys(item for item in value if item))


def lists_of(
    document: Mapping[str, Any], mapping: Mapping[str, str], *, is_lone_text: bool = False
) -> dict[str, tuple[str, ...]]:
    """Of `LISTS` those the document speaks about; a claim that isn't there is not an empty list.

    Raises ProviderInvalid as `texts_of` does.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in LISTS:
        path = mapping.get(name, "")
        value = at(document, path) if path else None
        if value is not None:
            found[name] = texts_of(value, path, is_lone_text=is_lone_text)
    return found


def kept_names(mapping: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the further claims this mapping keeps."""
    return tuple(name for name in mapping if name not in TEXTS and name not in LISTS)


def further(document: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The further claims to keep, by the names the operator gave them."""
    found = {
        name: at(document, mapping[name]) for name in kept_names(mapping) if mapping[name] not in _NOT_KEPT
    }
    return {name: value for name, value in found.items() if value is not None and _is_storable(value)}


def identity_of(
    document: Mapping[str, Any],
    mapping: Mapping[str, str],
    *,
    client: str,
    issuer: str,
    subject: str,
    email: str,
    is_lone_text: bool = False,
) -> Identity:
    """The identity a document gives; `email` is one that is believed already (`core.person.verified_email`).

    Raises ProviderInvalid (`claim_invalid`) for a list of the wrong type.
    """
    return with_lists(
        Identity(
            client=client,
            issuer=issuer,
            subject=subject,
            login=text_of(at(document, mapping.get("login", ""))),
            name=text_of(at(document, mapping.get("name", ""))),
            email=email,
            unknown=LISTS,
            claims=further(document, mapping),
        ),
        **lists_of(document, mapping, is_lone_text=is_lone_text),
    )


def with_lists(identity: Identity, **lists: tuple[str, ...]) -> Identity:
    """The identity with these lists, which are known now: `with_lists(identity, orgs=(…), teams=(…))`."""
    unknown = tuple(name for name in identity.unknown if name not in lists)
    return msgspec.structs.replace(identity, unknown=unknown, **lists)


def _invalid(name: str, why: str) -> ProviderInvalid:
    return ProviderInvalid(
        "the provider's groups or roles can't be read", detail=f"claim {name} {why}", code="claim_invalid"
    )


def _is_storable(value: Any) -> bool:
    """Threat: half a surrogate pair, or lists in lists without end, which no store can hold."""
    try:
        msgspec.json.encode(value)
    except (ValueError, RecursionError):
        return False
    return True
