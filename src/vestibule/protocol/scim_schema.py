"""The attributes of people and groups in a directory (RFC 7643), and what is published of them.

There is no `password`: nobody signs in by one here, so none is taken and none is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

PATH: Final = "/scim/v2"
"""Where all of it is, on hosts that take it."""
USER: Final = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP: Final = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE: Final = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SCHEMA: Final = "urn:ietf:params:scim:schemas:core:2.0:Schema"
RESOURCE_TYPE: Final = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """What an attribute may hold, and who may change it (RFC 7643 section 2)."""

    name: str
    type: str = "string"
    is_multi: bool = False
    subs: tuple[Attribute, ...] = ()
    is_required: bool = False
    case_exact: bool = False
    mutability: str = "readWrite"
    returned: str = "default"
    uniqueness: str = "none"
    canonical: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    description: str = ""

    def sub(self, name: str) -> Attribute | None:
        """The sub-attribute of this name, in any case; None: it has none."""
        return found(self.subs, name)

    @property
    def is_complex(self) -> bool:
        """True where its values have sub-attributes."""
        return self.type == "complex"


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes under one name."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of resource: where it is, and the schemas that its attributes come from."""

    name: str
    path: str
    """Below the base URL: `/Users`."""
    core: Schema
    extensions: tuple[Schema, ...] = ()

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Of the core, and those that all resources have (RFC 7643 section 3.1)."""
        return COMMON + self.core.attributes

    def extension(self, schema_id: str) -> Schema | None:
        """The extension of this id, in any case; None: it has none."""
        return next((one for one in self.extensions if one.id.lower() == schema_id.lower()), None)


def found(attributes: Iterable[Attribute], name: str) -> Attribute | None:
    """The attribute of this name, in any case; None: there is none. Spec: RFC 7643 section 2.1."""
    wanted = name.lower()
    return next((one for one in attributes if one.name.lower() == wanted), None)


def _text(name: str, description: str = "", **more: Any) -> Attribute:
    return Attribute(name=name, description=description, **more)


def _valued(name: str, description: str, *types: str, kind: str = "string", **more: Any) -> Attribute:
    """A list with the usual sub-attributes (RFC 7643 section 2.4)."""
    subs = (
        Attribute(name="value", type=kind, description="The value itself.", **more),
        _text("display", "How it is shown."),
        _text("type", "What it is for.", canonical=types),
        Attribute(name="primary", type="boolean", description="The preferred one: at most one is."),
    )
    return Attribute(name=name, type="complex", is_multi=True, subs=subs, description=description)


_READ: Final[dict[str, Any]] = {"mutability": "readOnly"}
_FIXED: Final[dict[str, Any]] = {"mutability": "immutable", "case_exact": True}
_LINK: Final[dict[str, Any]] = {"type": "reference", "case_exact": True}

COMMON: Final = (
    _text(
        "id",
        "The gateway's own.",
        case_exact=True,
        returned="always",
        uniqueness="server",
        is_required=True,
        **_READ,
    ),
    _text("externalId", "The directory's own.", case_exact=True),
    Attribute(
        name="meta",
        type="complex",
        mutability="readOnly",
        subs=(
            _text("resourceType", case_exact=True, **_READ),
            Attribute(name="created", type="dateTime", mutability="readOnly"),
            Attribute(name="lastModified", type="dateTime", mutability="readOnly"),
            _text("location", **_LINK, **_READ),
            _text("version", case_exact=True, **_READ),
        ),
    ),
)

_NAME: Final = (
    _text("formatted", "The whole name, as it is shown."),
    _text("familyName", "The last name."),
    _text("givenName", "The first name."),
    _text("middleName", "The middle names."),
    _text("honorificPrefix", "A title before the name."),
    _text("honorificSuffix", "What stands after the name."),
)
_ADDRESS: Final = (
    _text("formatted", "The whole address, as it is shown."),
    _text("streetAddress", "Street and number."),
    _text("locality", "City."),
    _text("region", "State or region."),
    _text("postalCode", "Postal code."),
    _text("country", "Country."),
    _text("type", "What it is for.", canonical=("work", "home", "other")),
    Attribute(name="primary", type="boolean", description="The preferred one: at most one is."),
)
_GROUPS: Final = (
    _text("value", "Id of the group.", case_exact=True, **_READ),
    _text("$ref", "URL of the group.", references=("Group",), **_LINK, **_READ),
    _text("display", "Name of the group.", **_READ),
    _text("type", "`direct`.", canonical=("direct", "indirect"), **_READ),
)
_MEMBERS: Final = (
    _text("value", "Id of the person.", **_FIXED),
    _text("$ref", "URL of the person.", type="reference", references=("User",), **_FIXED),
    _text("type", "`User`.", canonical=("User",), mutability="immutable"),
)
_MANAGER: Final = (
    _text("value", "Id of the manager.", case_exact=True),
    _text("$ref", "URL of the manager.", references=("User",), **_LINK),
    _text("displayName", "Name of the manager.", **_READ),
)

CORE_USER: Final = Schema(
    id=USER,
    name="User",
    description="A person",
    attributes=(
        _text("userName", "By which the directory knows them.", is_required=True, uniqueness="server"),
        Attribute(name="name", type="complex", subs=_NAME, description="The parts of their name."),
        _text("displayName", "The name that is shown."),
        _text("nickName", "What they are called."),
        _text("profileUrl", "A page about them.", references=("external",), **_LINK),
        _text("title", "What they do: `Vice President`."),
        _text("userType", "What they are to the organisation: `Contractor`."),
        _text("preferredLanguage", "As in Accept-Language."),
        _text("locale", "By which dates and numbers are written."),
        _text("timezone", "Of the IANA database: `America/Los_Angeles`."),
        Attribute(name="active", type="boolean", description="Whether they may sign in."),
        _valued("emails", "Their e-mail addresses.", "work", "home", "other"),
        _valued("phoneNumbers", "Their telephones.", "work", "home", "mobile", "fax", "pager", "other"),
        _valued(
            "ims",
            "Where messages reach them.",
            *("aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
        ),
        _valued(
            "photos",
            "URLs of pictures.",
            *("photo", "thumbnail"),
            kind="reference",
            case_exact=True,
            references=("external",),
        ),
        Attribute(
            name="addresses", type="complex", is_multi=True, subs=_ADDRESS, description="Postal addresses."
        ),
        Attribute(
            name="groups",
            type="complex",
            is_multi=True,
            subs=_GROUPS,
            mutability="readOnly",
            description="The groups they are in: changed at the group.",
        ),
        _valued("entitlements", "What they are entitled to."),
        _valued("roles", "Their roles."),
        _valued("x509Certificates", "Their certificates.", kind="binary", case_exact=True),
    ),
)
CORE_GROUP: Final = Schema(
    id=GROUP,
    name="Group",
    description="A group of people",
    attributes=(
        _text("displayName", "Its name, by which rules know it.", is_required=True),
        Attribute(name="members", type="complex", is_multi=True, subs=_MEMBERS, description="Who is in it."),
    ),
)
ENTERPRISE_USER: Final = Schema(
    id=ENTERPRISE,
    name="EnterpriseUser",
    description="A person of an enterprise",
    attributes=(
        _text("employeeNumber", "Number by which the organisation knows them."),
        _text("costCenter", "Name of a cost centre."),
        _text("organization", "Name of an organisation."),
        _text("division", "Name of a division."),
        _text("department", "Name of a department."),
        Attribute(name="manager", type="complex", subs=_MANAGER, description="Who they report to."),
    ),
)
USERS: Final = Kind(name="User", path="/Users", core=CORE_USER, extensions=(ENTERPRISE_USER,))
GROUPS: Final = Kind(name="Group", path="/Groups", core=CORE_GROUP)
KINDS: Final = (USERS, GROUPS)
SCHEMAS: Final = (CORE_USER, CORE_GROUP, ENTERPRISE_USER)


def schema_document(schema: Schema, base_url: str) -> dict[str, Any]:
    """The schema as it is published. Spec: RFC 7643 section 7."""
    return {
        "schemas": [SCHEMA],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": [_published(one) for one in schema.attributes],
        "meta": {"resourceType": "Schema", "location": f"{base_url}/Schemas/{schema.id}"},
    }


def kind_document(kind: Kind, base_url: str) -> dict[str, Any]:
    """The kind of resource as it is published. Spec: RFC 7643 section 6."""
    told: dict[str, Any] = {
        "schemas": [RESOURCE_TYPE],
        "id": kind.name,
        "name": kind.name,
        "endpoint": kind.path,
        "description": kind.core.description,
        "schema": kind.core.id,
        "meta": {"resourceType": "ResourceType", "location": f"{base_url}/ResourceTypes/{kind.name}"},
    }
    if kind.extensions:
        told["schemaExtensions"] = [{"schema": one.id, "required": False} for one in kind.extensions]
    return told


def _published(attribute: Attribute) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": attribute.name,
        "type": attribute.type,
        "multiValued": attribute.is_multi,
        "description": attribute.description,
        "required": attribute.is_required,
        "mutability": attribute.mutability,
        "returned": attribute.returned,
    }
    if attribute.subs:
        told["subAttributes"] = [_published(one) for one in attribute.subs]
    if not attribute.is_complex:
        told["caseExact"] = attribute.case_exact
        told["uniqueness"] = attribute.uniqueness
    if attribute.canonical:
        told["canonicalValues"] = list(attribute.canonical)
    if attribute.references:
        told["referenceTypes"] = list(attribute.references)
    return told
