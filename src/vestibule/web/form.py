"""What a POST of a person or a program holds: a form's parameters, or a JSON object's."""

from __future__ import annotations

from typing import Final

import msgspec

from vestibule.errors import BadRequest, ClientError
from vestibule.providers.base import SAML_ANSWER
from vestibule.web.asking import Ask, parameters_of

LIMIT_BYTES: Final = 64 * 1024
SAML_LIMIT_BYTES: Final = 512 * 1024
"""Of an answer that holds a signed document; percent-encoding makes it longer than that is."""
_SAML: Final = "SAMLResponse"
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"


def form_of(ask: Ask, *, limit_bytes: int = LIMIT_BYTES) -> dict[str, str]:
    """The parameters of a form by name; one that was sent twice is left out. An empty body is an empty form.

    Raises BadRequest `body_too_large` (413), ClientError `unsupported_media_type` (415), BadRequest.
    """
    _check_size(ask, limit_bytes)
    if not ask.body:
        return {}
    if _media_type(ask) != _FORM:
        raise _unsupported(_FORM)
    return parameters_of(ask.body)


def answer_of(ask: Ask) -> dict[str, str]:
    """What a provider answered by form, by the names that OAuth has: SAML's RelayState is its `state`.

    Raises as `form_of`. Spec: saml-bindings section 3.5.
    """
    is_saml = f"{_SAML}=".encode() in ask.body
    sent = form_of(ask, limit_bytes=SAML_LIMIT_BYTES if is_saml else LIMIT_BYTES)
    if _SAML not in sent:
        return sent
    return {"state": sent.get("RelayState", ""), SAML_ANSWER: sent[_SAML]}


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


def _check_size(ask: Ask, limit_bytes: int = LIMIT_BYTES) -> None:
    if len(ask.body) > limit_bytes:
        raise BadRequest("the form is too large", code="body_too_large", status=413)


def _media_type(ask: Ask) -> str:
    return ask.content_type.partition(";")[0].strip().lower()


def _unsupported(wanted: str) -> ClientError:
    return ClientError(f"this address takes {wanted}", code="unsupported_media_type", status=415)
