"""What is said to a SAML provider, and what is read of what it says.

Everything that reads XML comes with this module (`protocol.saml_*`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from vestibule.core import claim
from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import (
    saml,
    saml_binding,
    saml_logout,
    saml_metadata,
    saml_request,
    saml_response,
)
from vestibule.protocol.logout_token import NAME_MAX_CHARS, LogoutToken
from vestibule.protocol.oidc import MAX_AGE_S
from vestibule.protocol.saml_logout import LogoutRequest
from vestibule.protocol.saml_metadata import IdentityProvider
from vestibule.protocol.saml_response import Assertion, Expected
from vestibule.providers import saml_attribute
from vestibule.providers.base import SAML, SAML_ANSWER, Answer, Ending, Finding, Form, SignedIn, Start, Told
from vestibule.providers.kit import Document, Flow, Work
from vestibule.providers.saml_setting import BINDINGS, NAME_IDS, SamlSettings

T = TypeVar("T")
Kind: TypeAlias = Literal["SAMLRequest", "SAMLResponse"]
LONG_BYTES: Final = 16 * 1024
"""What is larger is read beside the event loop: of a person in thousands of groups it takes 50 ms."""
_FRESH_MAX_S: Final = 86400 * 365


class _Held(msgspec.Struct, frozen=True, kw_only=True):
    """By what a session here names the provider's, when it ends it."""

    entity_id: str
    """Ours, when the person signed in."""
    name_id: saml.NameId
    session_index: str


class Exchange:
    """Of one client. `signers`: our key first, the one before it second; mostly none."""

    def __init__(self, config: SamlSettings, signers: tuple[saml.Signer, ...]) -> None:
        self._config = config
        self._names = config.names
        self._signers = signers
        self._signer = signers[0] if signers else None
        self._read: tuple[bytes, IdentityProvider] | None = None
        """The metadata as they were read last, and what they say."""

    # -- signing in -------------------------------------------------------------------------------

    def start(self, start: Start) -> Flow[str | Form]:
        """Where to send the browser with the request, or what it is to send there. Raises ProviderError.

        Spec: saml-profiles section 4.1. The request's ID follows from the nonce: which request an answer must be to is
        known without having kept any.
        """
        config = self._config
        provider = yield from self._provider(start.now)
        binding, url = self._sign_in_at(provider)
        is_fresh = start.max_age_s is not None and start.max_age_s < _FRESH_MAX_S
        prompts = start.hints.get("prompt", "").split()
        request = saml_request.AuthnRequest(
            id=saml.message_id(start.nonce.encode()),
            issued_at=start.now,
            entity_id=self._entity_id(start.redirect_uri),
            destination=url,
            acs_url=start.redirect_uri,
            name_id_format=NAME_IDS[config.name_id],
            force_authn=config.force_authn or is_fresh or not {"login", "select_account"}.isdisjoint(prompts),
            is_passive="none" in prompts,
            authn_contexts=config.authn_context,
            login_hint=start.hints.get("login_hint", "") if config.login_hint else "",
        )
        xml = saml_request.authn_request(request)
        signer = self._signer if config.sign_requests else None
        return _sent(binding, url, xml, kind="SAMLRequest", relay_state=start.state, signer=signer)

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        """Who came back. Raises ProviderRefused, ProviderInvalid (`saml_…`), ProviderUnavailable."""
        xml = saml_binding.posted(answer.params.get(SAML_ANSWER, ""))
        provider = yield from self._provider(answer.now)
        try:
            found = yield from self._checked(xml, provider, answer)
        except ProviderInvalid as exc:
            if exc.code not in saml.OF_OLD_KEYS or not self._config.metadata_url:
                raise
            provider = yield from self._provider(answer.now, anew=True)
            found = yield from self._checked(xml, provider, answer)
        held = _Held(
            entity_id=self._entity_id(answer.redirect_uri),
            name_id=found.name_id or saml.NameId(""),
            session_index=found.session_index,
        )
        text = msgspec.json.encode(held).decode()
        return SignedIn(
            identity=self._identity(found, answer.now),
            tokens=Tokens(access_token=Secret(text), token_type=SAML),
            mark=found.mark,
            until=found.until,
        )

    def _checked(self, xml: bytes, provider: IdentityProvider, answer: Answer) -> Flow[Assertion]:
        """What the answer says, all of it checked. Raises ProviderRefused, ProviderInvalid."""
        expected = self._expected(provider, answer)
        return (yield from _read_of(xml, partial(saml_response.checked, xml, expected)))

    def _expected(self, provider: IdentityProvider, answer: Answer) -> Expected:
        config, after = self._config, 0.0
        if answer.max_age_s is not None and answer.max_age_s < _FRESH_MAX_S:
            after = answer.now - answer.max_age_s
        return Expected(
            issuer=provider.entity_id,
            entity_id=self._entity_id(answer.redirect_uri),
            acs_url=answer.redirect_uri,
            request_id=saml.message_id(answer.nonce.encode()),
            certificates=provider.certificates,
            now=answer.now,
            decryption=self._signers,
            must_encrypt=config.require_encryption,
            must_sign_assertion=config.require_signed_assertion,
            authn_contexts=config.authn_context,
            authenticated_after=after,
        )

    def _identity(self, found: Assertion, now: float) -> Identity:
        """The person an assertion is about. Raises ProviderInvalid."""
        document = saml_attribute.document_of(found.values, self._names)
        name_id = found.name_id
        if name_id is not None and name_id.format == saml.EMAIL:
            document.setdefault("email", name_id.value)
        identity = saml_attribute.identity_of(
            document,
            client=self._config.name,
            issuer=self._issuer(found.issuer),
            subject=self._subject(document, name_id),
            email_domains=self._config.email_domains,
        )
        return msgspec.structs.replace(
            identity,
            sid=_sid(found.session_index),
            signed_in_at=min(found.authn_instant, now),
            # As late as its answer was taken, so that nobody is let in by it with no time left.
            until=found.session_until + saml.SKEW_S if found.session_until else 0.0,
        )

    def _subject(self, document: Mapping[str, object], name_id: saml.NameId | None) -> str:
        """Who it is for good: what an attribute says, or the NameID, if it is of the kind that was asked for.

        Threat: a NameID of another kind (an address, which somebody else may have next year; a transient one) taken
        for who somebody is.
        """
        if self._names.get("subject"):
            return claim.subject_of(document, "subject")
        asked = NAME_IDS[self._config.name_id]
        if name_id is None or asked not in {saml.UNSPECIFIED, name_id.format}:
            told = name_id.format if name_id is not None else "none"
            raise saml.refused("saml_name_id", f"asked for {asked}, the assertion has {told[:200]}")
        if name_id.format == saml.TRANSIENT:
            raise saml.refused("saml_name_id", "the NameID is transient, and no attribute names the subject")
        return claim.subject_of({"sub": name_id.value})

    def _issuer(self, entity_id: str) -> str:
        """Whom accounts belong to: this client's provider; where the operator wrote its entity ID, whoever has that.

        Threat: metadata that claim to be those of another provider, and whose accounts would be that one's.
        """
        if self._config.is_trusted and self._config.issuer:
            return entity_id
        return f"saml:{quote(self._config.name, safe='/')}:{entity_id}"

    # -- logout -----------------------------------------------------------------------------------

    def leave(self, tokens: Tokens, now: float) -> Flow[str | Form | None]:
        """Where the browser goes to end the session there, or with what. Spec: saml-profiles section 4.4."""
        if self._signer is None or tokens.token_type != SAML:
            return None
        provider = yield from self._provider(now)
        if (found := _logout_at(provider)) is None:
            return None
        binding, url, _ = found
        held = msgspec.json.decode(tokens.access_token.reveal(), type=_Held)
        message_id = saml.message_id(b"%r %s" % (now, tokens.access_token.reveal().encode()))
        xml = saml_logout.logout_request(
            saml_logout.LogoutRequest(
                id=message_id,
                issued_at=now,
                issuer=held.entity_id,
                destination=url,
                name_id=held.name_id,
                session_indexes=(held.session_index,) if held.session_index else (),
            )
        )
        return _sent(
            binding,
            url,
            xml,
            kind="SAMLRequest",
            relay_state=message_id,
            signer=self._signer,
        )

    def logout(self, told: Told) -> Flow[Ending]:
        """What a logout's message says, all of it checked. Raises ProviderError.

        An answer to ours ends nothing: what began here was over before. Its RelayState is the request's ID.
        """
        if self._signer is None:
            raise saml.refused("saml_unsigned", "there is no key here by which a logout could be answered")
        message, kind, relay_state = _told(told)
        provider = yield from self._provider(told.now)
        for anew in (False, True):
            expected = saml_logout.Expected(
                issuer=provider.entity_id,
                destination=_beside(told.redirect_uri, "logout"),
                certificates=provider.certificates,
                now=told.now,
                decryption=self._signers,
            )
            try:
                if kind == "SAMLResponse":
                    saml_logout.read_response(message, expected, request_id=relay_state)
                    return Ending()
                request = saml_logout.read_request(message, expected)
                break
            except ProviderInvalid as exc:
                if anew or exc.code not in saml.OF_OLD_KEYS or not self._config.metadata_url:
                    raise
            provider = yield from self._provider(told.now, anew=True)
        reply = self._reply(provider, request, told, relay_state)
        return Ending(ended=self._ended(request, told.now), reply=reply)

    def _ended(self, request: LogoutRequest, now: float) -> tuple[LogoutToken, ...]:
        """What has ended: the sessions that are named, or all of the person."""
        issuer = self._issuer(request.issuer)
        by_subject = not self._names.get("subject")
        subject = request.name_id.value if by_subject else ""
        sids = tuple(map(_sid, request.session_indexes)) or (() if not by_subject else ("",))
        if not sids:
            raise saml.refused("saml_name_id", "it names no session, and people are known by an attribute")
        return tuple(
            LogoutToken(
                issuer=issuer,
                sid=sid,
                subject=subject,
                jti=f"{request.id[:NAME_MAX_CHARS]} {number}",
                issued_at=request.issued_at,
                until=now + MAX_AGE_S,
            )
            for number, sid in enumerate(sids)
        )

    def _reply(
        self, provider: IdentityProvider, request: LogoutRequest, told: Told, relay_state: str
    ) -> str | Form | None:
        """Where the browser takes our answer. None: the provider has no place for it."""
        if (found := _logout_at(provider)) is None:
            return None
        binding, _, url = found
        xml = saml_logout.logout_response(
            id=saml.message_id(b"answer to " + request.id.encode()),
            issued_at=told.now,
            issuer=self._entity_id(told.redirect_uri),
            destination=url,
            in_response_to=request.id,
        )
        return _sent(
            binding,
            url,
            xml,
            kind="SAMLResponse",
            relay_state=relay_state,
            signer=self._signer,
        )

    # -- metadata ---------------------------------------------------------------------------------

    def metadata(self, redirect_uri: str) -> bytes:
        """What the provider must know of this client, as XML."""
        shown = tuple(signer.certificate for signer in self._signers)
        return saml_metadata.service_provider(
            saml_metadata.ServiceProvider(
                entity_id=self._entity_id(redirect_uri),
                acs_url=redirect_uri,
                logout_url=_beside(redirect_uri, "logout") if self._signer else "",
                signing=shown,
                encryption=shown[:1],
                name_id_format=NAME_IDS[self._config.name_id],
                signs_requests=self._signer is not None and self._config.sign_requests,
                wants_signed_assertions=self._config.require_signed_assertion,
            )
        )

    def probe(self, redirect_uri: str, now: float) -> Flow[tuple[Finding, ...]]:
        """What can be found out without a person: the provider's metadata, and where they lead."""
        try:
            provider = yield from self._provider(now)
            binding, url = self._sign_in_at(provider)
        except (ProviderInvalid, ProviderUnavailable) as exc:
            detail = f"{exc.message} ({exc.detail})" if exc.detail else exc.message
            advice = "check metadata_url, and that this machine reaches it"
            return (Finding(what="metadata", ok=False, detail=detail, advice=advice),)
        count = len(provider.certificates)
        way = "redirect" if binding == saml.REDIRECT else "post"
        ours = self._entity_id(redirect_uri)
        return (
            Finding(what="metadata", ok=True, detail=f"of {provider.entity_id}"),
            Finding(what="keys", ok=True, detail=f"{count} to check signatures with"),
            Finding(what="sign-in", ok=True, detail=f"by {way} at {url}; we are {ours} there"),
        )

    def _entity_id(self, redirect_uri: str) -> str:
        return self._config.entity_id or _beside(redirect_uri, "metadata")

    def _provider(self, now: float, *, anew: bool = False) -> Flow[IdentityProvider]:
        """What the provider's metadata say. Raises ProviderError."""
        config = self._config
        raw = config.metadata.encode()
        if config.metadata_url:
            raw = yield Document(config.metadata_url, anew)
        if self._read is not None and self._read[0] == raw:
            until = self._read[1].valid_until
            if not until or now < until:
                return self._read[1]
        read = partial(
            saml_metadata.identity_provider, raw, entity_id=config.issuer, now=now, plain=config.is_trusted
        )
        found = yield from _read_of(raw, read)
        self._read = (raw, found)
        return found

    def _sign_in_at(self, provider: IdentityProvider) -> tuple[str, str]:
        """The binding to send requests by, and where to. Raises ProviderInvalid."""
        wanted = self._config.binding
        for binding in (BINDINGS[wanted],) if wanted else (saml.REDIRECT, saml.POST):
            if url := provider.sign_in_url(binding):
                return binding, url
        raise saml.refused("saml_metadata_url", f"it takes no requests by {wanted or 'redirect or post'}")


def _read_of(raw: bytes, read: Callable[[], T]) -> Flow[T]:
    """What the reading comes to; of long documents beside the event loop."""
    if len(raw) <= LONG_BYTES:
        return read()
    found: T = yield Work(read)
    return found


def _told(told: Told) -> tuple[bytes | saml_binding.Redirected, str, str]:
    """The message as it came, whether it is a request or an answer, and its RelayState."""
    if told.form:
        kind = "SAMLResponse" if "SAMLResponse" in told.form else "SAMLRequest"
        raw = saml_binding.posted(told.form.get(kind, ""), max_bytes=saml.MESSAGE_MAX_BYTES)
        return raw, kind, told.form.get("RelayState", "")
    redirected = saml_binding.redirected(told.query)
    return redirected, redirected.kind, redirected.relay_state


def _sent(
    binding: str, url: str, xml: bytes, *, kind: Kind, relay_state: str, signer: saml.Signer | None
) -> str | Form:
    """The message by this binding."""
    if binding == saml.REDIRECT:
        return saml_binding.redirect_url(url, xml, kind=kind, relay_state=relay_state, signer=signer)
    form = saml_binding.post_form(url, xml, kind=kind, relay_state=relay_state, signer=signer)
    return Form(form.action, form.fields)


def _logout_at(provider: IdentityProvider) -> tuple[str, str, str] | None:
    """By which binding logouts go, where requests go to and where answers go to; None: the provider has none."""
    for binding in (saml.REDIRECT, saml.POST):
        if (found := provider.logout_at(binding)) is not None:
            return binding, found.url, found.response_url or found.url
    return None


def _beside(redirect_uri: str, name: str) -> str:
    """The address of another path of the same client."""
    return f"{redirect_uri.rpartition('/')[0]}/{name}"


def _sid(session_index: str) -> str:
    """The session's name, as sessions here are looked for by it: no longer than one may be."""
    if len(session_index) <= NAME_MAX_CHARS and session_index.isprintable():
        return session_index
    return saml.message_id(session_index.encode())
