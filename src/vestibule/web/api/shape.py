"""What the API's JSON is made of: models that take nothing unknown, times, ids."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from vestibule.web.api.docstring import field_docs

#: a line of text: no controls, which logs and tables would trip over, no NUL, which a database refuses, nor what
#: turns the direction of what stands beside it, or breaks the line (Unicode Standard Annex 9; Trojan Source)
LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]*$"
#: ids that this gateway makes, and cursors
ID: Final = r"^[A-Za-z0-9_-]{1,64}$"
ADDRESS: Final = (
    r"^[^\x00-\x20\x7f@,<>\"/\\()\[\]:;]{1,64}@[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,250}[A-Za-z0-9_])?$"
)
#: what an organisation is called in paths
SLUG: Final = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$"
#: a domain in its one spelling
DOMAIN: Final = r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,20}[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$"
#: an ETag of `etag_of`, any, or none
IF_MATCH: Final = r'^(?:\*|"[0-9]{1,18}"|)$'
FORMS: Final = {
    LINE: "holds characters that can't be shown",
    ID: "is no id of this gateway",
    ADDRESS: "is no e-mail address",
    SLUG: "is what an organisation is called: a-z, 0-9 and - inside, at most 40 characters",
    DOMAIN: "is no bare domain in lower case, as in example.com",
    IF_MATCH: 'is the ETag that was read, in its quotes ("3"), or *',
}
"""What is wrong with a text that one of the patterns doesn't take."""


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 60.0 is 60."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_TIME_RE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written(value: Any) -> Any:
    """A number would be read as a time of 1970 or so, which nobody meant. Spec: RFC 3339 section 5.6."""
    if not isinstance(value, str) or _TIME_RE.fullmatch(value) is None:
        raise ValueError("is a time with its zone, such as 2026-11-22T05:14:00Z")
    return value


Whole = BeforeValidator(_whole)
Time = Annotated[AwareDatetime, BeforeValidator(_written)]
Line = Annotated[str, StringConstraints(pattern=LINE, max_length=200)]
Filter = Annotated[str, StringConstraints(pattern=LINE, max_length=500)]
Id = Annotated[str, Path(pattern=ID, description="The id.")]
Slug = Annotated[str, Path(pattern=SLUG, description="What the organisation is called.")]
DomainName = Annotated[str, Path(pattern=DOMAIN, max_length=253, description="The domain.")]
Address = Annotated[str, StringConstraints(pattern=ADDRESS, max_length=254)]


class Model(BaseModel):
    """The base of all: a member that nobody knows is refused, never passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema, with what stands below the fields as their descriptions."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docs(cls).items():
            if (field := cls.model_fields.get(name)) is not None:
                properties[field.alias or name].setdefault("description", text)
        return schema


class QueryModel(Model):
    """The base of what a query holds: its members are told of one by one, each with its description."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Fields with what stands below them."""
        for name, text in field_docs(cls).items():
            if (field := cls.model_fields.get(name)) is not None:
                field.description = field.description or text


def example(*values: dict[str, Any]) -> ConfigDict:
    """The configuration of a model with these examples in the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": list(values)})


def moment(at: float) -> datetime:
    """The time, in UTC, to the second."""
    return datetime.fromtimestamp(int(at), UTC)


def moment_or_none(at: float | None) -> datetime | None:
    """The same for what may not have been yet: None, also for 0."""
    return moment(at) if at else None
