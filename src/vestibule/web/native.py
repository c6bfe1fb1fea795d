"""An ID token of Google's or Apple's SDK at `/@/token`, as RFC 8693 has tokens exchanged: the app's session for it.

Whoever must register first is told the fields as JSON, and the app sends them to `/@/registration` (`web.registering`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from vestibule.core import registration as rules
from vestibule.core.app import App
from vestibule.errors import ClientError, ProviderError, ProviderUnavailable
from vestibule.model import Secret
from vestibule.protocol.authorization_server import OAuthError, scopes_in
from vestibule.service.issuing import Issued
from vestibule.service.native import Shown, Waiting
from vestibule.web.answers import Desk, note, write_refusal
from vestibule.web.arriving import refused
from vestibule.web.asking import Ask
from vestibule.web.registration import fields_of

T = TypeVar("T")

REGISTRATION_PATH: Final = "/@/registration"
_CODE_START: Final = "id_token_"


async def by_id_token(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> Issued:
    """The app's session. Raises OAuthError; `registration_required` (403) says which fields a newcomer fills in."""
    provider = form.get("subject_issuer", "") or form.get("client", "")
    wanted = Shown(
        provider=provider,
        id_token=Secret(form["subject_token"]),
        nonce=Secret(form.get("nonce", "")),
        user=form.get("user", ""),
        resource=form.get("resource", "") or form.get("audience", ""),
        scopes=scopes_in(form.get("scope", "")),
    )
    found = await let_in(desk, ask, provider, desk.native.sign_in(ask.visit, app, wanted))
    if isinstance(found, Waiting):
        raise OAuthError(
            "registration_required",
            "send the fields to the address in `registration`",
            status=403,
            more={"registration": _described(desk, ask, found)},
        )
    await told(desk, ask, provider, "signed_in", found)
    return found


async def let_in(desk: Desk, ask: Ask, provider: str, work: Awaitable[T]) -> T:
    """What the work comes to; who isn't let in, and by which token not, as OAuthError. Both are in log and trail."""
    try:
        return await work
    except ClientError as error:
        write_refusal(desk, ask, error)
        await refused(desk, replace(ask, client=provider), error)
        raise OAuthError("access_denied", error.message, status=403) from None
    except ProviderUnavailable as error:
        write_refusal(desk, ask, error)
        raise OAuthError(
            "temporarily_unavailable", "the provider's keys can't be had now", status=503
        ) from None
    except ProviderError as error:
        if error.code.startswith(
            _CODE_START
        ):  # the app's fault, or whoever's who tries: the log says so once
            which = error.code.removeprefix(_CODE_START)
            raise OAuthError("invalid_request", f"the ID token is not good here: {which}") from None
        write_refusal(desk, ask, error)
        raise OAuthError("invalid_request", "the ID token can't be believed now") from None


async def told(desk: Desk, ask: Ask, provider: str, event: str, issued: Issued) -> None:
    """Note that somebody has come, by which device; an app keeps no cookie, so each is a new one."""
    note(desk, replace(ask, client=provider), event, issued.session)
    await desk.devices.arrived(ask.visit, issued.session)


def _described(desk: Desk, ask: Ask, waiting: Waiting) -> dict[str, Any]:
    """The form for an app: where it goes, what to ask, what is known, for how long."""
    form, identity = desk.people.rules, waiting.newcomer.identity
    return {
        "token": waiting.key,
        "url": f"{ask.visit.site.base_url}{REGISTRATION_PATH}",
        "expires_in": int(waiting.newcomer.until - ask.visit.now),
        "fields": fields_of(form),
        "known": {rules.NAME: waiting.name, rules.LOGIN: identity.login, "email": identity.email},
        "terms_url": form.terms_url or None,
        "privacy_url": form.privacy_url or None,
    }
