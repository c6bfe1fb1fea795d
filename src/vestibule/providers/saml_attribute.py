"""What an assertion says of a person, read by attributes' names; what they are called where, by preset.

Which names there are is the provider's admin's choice: a preset holds those that a product sends unasked, or that its
own pages propose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from vestibule.core import claim
from vestibule.core.person import verified_email
from vestibule.model import Identity

GIVEN: Final = "given_name"
FAMILY: Final = "family_name"
NAMES: Final = ("subject", "login", "name", GIVEN, FAMILY, "email", *claim.LISTS)
"""What an attribute may be read for; every other name is a further claim to keep."""
_WS: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_MICROSOFT: Final = "http://schemas.microsoft.com/ws/2008/06/identity/claims"
_PLAIN: Final[Mapping[str, str]] = {
    "login": "login",
    "name": "displayName",
    GIVEN: "firstName",
    FAMILY: "lastName",
    "email": "email",
    "groups": "groups",
}

PRESETS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "": {**_PLAIN, "name": "name"},
        "entra": {
            # A user's object ID in its tenant: no name, no address, never given to another (NameIDs of Entra are).
            "subject": "http://schemas.microsoft.com/identity/claims/objectidentifier",
            "login": f"{_WS}/name",
            "name": "http://schemas.microsoft.com/identity/claims/displayname",
            GIVEN: f"{_WS}/givenname",
            FAMILY: f"{_WS}/surname",
            "email": f"{_WS}/emailaddress",
            "groups": f"{_MICROSOFT}/groups",
            "roles": f"{_MICROSOFT}/role",
        },
        "okta": _PLAIN,
        "google": {**_PLAIN, "name": "name", GIVEN: "first_name", FAMILY: "last_name"},
        "keycloak": {
            "login": "username",
            "name": "name",
            GIVEN: "urn:oid:2.5.4.42",
            FAMILY: "urn:oid:2.5.4.4",
            "email": "urn:oid:1.2.840.113549.1.9.1",
            "groups": "member",
            "roles": "Role",
        },
        "adfs": {
            "login": f"{_WS}/upn",
            "name": f"{_WS}/name",
            GIVEN: f"{_WS}/givenname",
            FAMILY: f"{_WS}/surname",
            "email": f"{_WS}/emailaddress",
            "groups": "http://schemas.xmlsoap.org/claims/Group",
            "roles": f"{_MICROSOFT}/role",
        },
        "shibboleth": {
            # Its NameIDs are transient, unless asked otherwise (SAML V2.0 Subject Identifier Attributes Profile).
            "subject": "urn:oasis:names:tc:SAML:attribute:subject-id",
            "login": "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
            "name": "urn:oid:2.16.840.1.113730.3.1.241",
            GIVEN: "urn:oid:2.5.4.42",
            FAMILY: "urn:oid:2.5.4.4",
            "email": "urn:oid:0.9.2342.19200300.100.1.3",
            "groups": "urn:oid:1.3.6.1.4.1.5923.1.5.1.1",
            "roles": "urn:oid:1.3.6.1.4.1.5923.1.1.1.7",
        },
    }
)
"""What is read by which attribute, by product; empty: where no preset is written."""


def document_of(values: Callable[[str], tuple[str, ...]], names: Mapping[str, str]) -> dict[str, Any]:
    """What the attributes say, by what they are read for: lists as lists, all else as text.

    A further claim with several values is a list. What isn't said is left out: for a list, that is not an empty one.
    """
    found: dict[str, Any] = {}
    for name, attribute in names.items():
        said = values(attribute) if attribute else ()
        if said:
            is_list = name in claim.LISTS or (name not in NAMES and len(said) > 1)
            found[name] = list(said) if is_list else said[0]
    if "name" not in found and (parts := [found[part] for part in (GIVEN, FAMILY) if part in found]):
        found["name"] = " ".join(parts)
    return found


def identity_of(
    document: Mapping[str, Any], *, client: str, issuer: str, subject: str, email_domains: tuple[str, ...]
) -> Identity:
    """The person that such a document is about. Raises ProviderInvalid (`claim_invalid`).

    Threat: a provider that vouches for addresses of others. None is believed outside the domains, and without domains
    none at all: no assertion says whether anybody has looked.
    """
    email = verified_email(document.get("email"), bool(email_domains), email_domains=email_domains)
    names = {name: name for name in document if name not in {GIVEN, FAMILY}}
    return claim.identity_of(
        document, names, client=client, issuer=issuer, subject=subject, email=email.strip()
    )
