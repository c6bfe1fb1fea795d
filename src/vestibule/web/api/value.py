"""Answers that are values of `admin_model`: as JSON, and as what the OpenAPI document says of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from vestibule import admin_model

_REF: Final = "#/components/schemas/{name}"
_encode: Final = msgspec.json.Encoder(enc_hook=lambda secret: secret.reveal()).encode


def answer(value: object) -> Response:
    """The value (or a tuple of such) as the answer. A secret in it is told: only `Revealed` has any."""
    return Response(_encode(value), media_type="application/json")


def answers(of: Any) -> dict[int | str, dict[str, Any]]:
    """What the document says of an operation that answers with this type."""
    (schema,), _ = msgspec.json.schema_components((of,), ref_template=_REF, schema_hook=_schema)
    return {200: {"description": "Done.", "content": {"application/json": {"schema": schema}}}}


def schemas() -> dict[str, Any]:
    """The schemas of all values, by name."""
    types = [
        one for one in vars(admin_model).values() if isinstance(one, type) and issubclass(one, msgspec.Struct)
    ]
    _, found = msgspec.json.schema_components(types, ref_template=_REF, schema_hook=_schema)
    return found


def _schema(_of: type) -> dict[str, Any]:
    """Of a secret."""
    return {"type": "string", "format": "password"}
