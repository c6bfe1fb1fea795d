"""What a POST of a person or a program holds: a form's parameters, or a JSON object's."""

from __future__ import annotations

from typing import Final

import msgspec

from vestibule.errors import BadRequest, ClientError
from vestibule.web.asking import Ask, parameters_of

LIMIT_BYTES: Final = 64 * 1024
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"


def form_of(ask: Ask) -> dict[str, str]:
    """The parameters of a form by name; one that was sent twice is left out. An empty body is an empty form.

    Raises BadRequest `body_too_large` (413), ClientError `unsupported_media_type` (415), BadRequest.
    """
    _check_size(ask)
    if not ask.body:
        return {}
    if _media_type(ask) != _FORM:
        raise _unsupported(_FORM)
    return parameters_of(ask.body)


def told(ask: Ask) -> dict[str, str]:
    """The parameters of a form, or of a JSON object of texts; true is `yes`. Raises as `form_of` does."""
    if not is_json(ask):
        return form_of(ask)
    _check_size(ask)
    try:
        found = msgspec.json.decode(ask.body, type=dict[str, str | bool | None])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest("the body is no JSON object of texts", detail=type(error).__name__) from None
    return {name: _text(value) for name, value in found.items() if value is not None}


def is_json(ask: Ask) -> bool:
    """True when the body says it is JSON."""
    return _media_type(ask) == _JSON


def answers_json(ask: Ask) -> bool:
    """True when a program sent this, which reads JSON."""
    return ask.wants_json or is_json(ask)


def _text(value: str | bool) -> str:  # noqa: FBT001 - a value of JSON
    if isinstance(value, str):
        return value
    return "yes" if value else ""


def _check_size(ask: Ask) -> None:
    if len(ask.body) > LIMIT_BYTES:
        raise BadRequest("the form is too large", code="body_too_large", status=413)


def _media_type(ask: Ask) -> str:
    return ask.content_type.partition(";")[0].strip().lower()


def _unsupported(wanted: str) -> ClientError:
    return ClientError(f"this address takes {wanted}", code="unsupported_media_type", status=415)
