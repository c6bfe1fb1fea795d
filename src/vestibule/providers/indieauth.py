"""Signing in with one's own web address (IndieAuth): whoever the address names as its server vouches for it.

There is nothing to register: the client is known by its own URL. The person types an address; what stands there
names the server; that server says whose address it is, and is believed only about addresses that name it.
Every URL comes from outside, so all of them must be public.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from vestibule.core.claim import LISTS, text_of
from vestibule.core.person import verified_email
from vestibule.errors import ClientError, ProviderError, ProviderInvalid, ProviderRefused
from vestibule.model import Identity
from vestibule.protocol import indieauth
from vestibule.protocol import oauth2 as wire
from vestibule.protocol.indieauth import Metadata
from vestibule.providers.base import Answer, SignedIn, Start
from vestibule.providers.kit import OUTSIDE, Flow, Get, PostForm, Reply
from vestibule.providers.oauth2 import PersonConfig

ISSUER: Final = "indieauth"
"""Whom all these accounts belong to: an address is one person's, whichever server vouches for it."""
_PAGE_HEADERS: Final = (("accept", "text/html, application/json;q=0.5, */*;q=0.1"),)


class IndieAuthConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="indieauth"):
    """One's own web address. There is nothing to register and no secret."""

    client_id: str = ""
    """The URL by which servers know this client; without it the host's own, `https://HOST/`."""
    scopes: tuple[str, ...] = ("profile", "email")
    """What to ask for: `profile`, `email`."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        if self.client_secret:
            raise ValueError("client_secret has no place in IndieAuth: leave it out")
        if self.client_id and not self.client_id.startswith(("https://", "http://")):
            raise ValueError("client_id is the URL of this site, as https://app.example.com/")

    def open(self) -> IndieAuth:
        """The client; pure, fetches nothing."""
        return IndieAuth(self)


class IndieAuth:
    """A `RedirectLogin` that yields a person and no credentials."""

    kind: ClassVar[str] = "indieauth"
    keeps: ClassVar[str] = "me"
    identifies: ClassVar[bool] = True
    is_restricted: ClassVar[bool] = False
    hints: ClassVar[Mapping[str, str]] = {"me": "me"}

    def __init__(self, config: IndieAuthConfig) -> None:
        self._config = config

    @property
    def name(self) -> str:
        """Full name of the client."""
        return self._config.name

    @property
    def title(self) -> str:
        """What the button says."""
        return self._config.title or "your web address"

    @property
    def is_trusted(self) -> bool:
        """Whether the operator wrote its configuration; the URLs come from outside anyway."""
        return self._config.is_trusted

    @property
    def redirect_url(self) -> str:
        """The redirect URL, where it is another than ours."""
        return self._config.redirect_url

    def start(self, start: Start) -> Flow[str]:
        """The URL of the server that the person's address names.

        Raises ClientError: `address_needed`, `address_invalid`, `address_unreachable`, `address_unsupported`.
        """
        me = _me(start.hints.get("me", ""))
        _, server = yield from _discovered(me)
        return wire.authorization_url(
            server.authorization_endpoint,
            client_id=self._client_id(start.redirect_uri),
            redirect_uri=start.redirect_uri,
            state=start.state,
            verifier=start.verifier,
            scopes=self._config.scopes,
            more=(("me", me), *self._config.authorize_parameters),
        )

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        """Whose address it is. Raises ClientError as `start` does, ProviderError."""
        # 1. The server that this flow was sent to: asked for anew, since nothing is kept but the address.
        me = _me(answer.kept)
        landed, server = yield from _discovered(me)
        # 2. Its answer, and that it is its (section 5.2.1; RFC 9207).
        code = wire.authorization_code(answer.params, issuer=server.issuer, has_iss=server.has_iss)
        # 3. Redeemed for the profile at the authorization endpoint (section 5.3.2): no token is wanted.
        form = (
            *wire.code_form(code, redirect_uri=answer.redirect_uri, verifier=answer.verifier),
            ("client_id", self._client_id(answer.redirect_uri)),
        )
        reply: Reply = yield PostForm(url=server.authorization_endpoint, form=form, via=OUTSIDE)
        told = _told(reply)
        # 4. The address it vouches for must itself name this server (section 5.4).
        vouched = _vouched(told)
        if vouched not in {me, landed}:
            _, its = yield from _discovered(vouched)
            if its != server:
                raise ProviderInvalid(
                    "the server vouches for an address that names another one",
                    detail=f"{server.authorization_endpoint} for {vouched}",
                    code="wrong_subject",
                )
        return SignedIn(identity=self._identity(vouched, told))

    def _identity(self, me: str, told: Mapping[str, Any]) -> Identity:
        """The person, by a profile that is their own word (section 5.3.4).

        Its address of mail counts only where the operator said so, and then within `email_domains`.
        """
        profile = told.get("profile")
        profile = profile if isinstance(profile, dict) else {}
        config = self._config
        is_believed = config.assume_email_verified and bool(config.email_domains)
        return Identity(
            client=config.name,
            issuer=ISSUER,
            subject=me,
            login=me,
            name=text_of(profile.get("name"))[:200],
            email=verified_email(profile.get("email"), is_believed, email_domains=config.email_domains),
            unknown=LISTS,
        )

    def _client_id(self, redirect_uri: str) -> str:
        parts = urlsplit(redirect_uri)
        return self._config.client_id or f"{parts.scheme}://{parts.netloc}/"


def _me(raw: str) -> str:
    if not raw.strip():
        raise ClientError("Which is your web address?", code="address_needed")
    try:
        return indieauth.profile_url(raw)
    except ValueError:
        raise ClientError("That is no web address.", code="address_invalid") from None


def _discovered(me: str) -> Flow[tuple[str, Metadata]]:
    """Where the address led to, and the server it names. Spec: section 4.1. Raises ClientError."""
    page = yield from _fetched(me, me)
    landed = page.url or me
    found = indieauth.links(landed, page.headers, page.body)
    if metadata_url := found.get("indieauth-metadata"):
        reply = yield from _fetched(metadata_url, me)
        try:
            return _landed(landed, me), indieauth.parse_metadata(reply.json, metadata_url)
        except (ValueError, ProviderInvalid) as exc:
            raise _unsupported(f"{metadata_url}: {exc}") from None
    if endpoint := found.get("authorization_endpoint"):
        return _landed(landed, me), Metadata(authorization_endpoint=endpoint)
    raise _unsupported(f"{landed} names no server")


def _fetched(url: str, me: str) -> Flow[Reply]:
    try:
        reply: Reply = yield Get(url=url, headers=_PAGE_HEADERS, via=OUTSIDE)
    except ProviderError as exc:
        raise ClientError(
            "Nothing could be read at that address.",
            code="address_unreachable",
            detail=f"{me}: {exc.detail or exc.message}",
        ) from exc
    if reply.status != 200:
        raise ClientError(
            "Nothing could be read at that address.",
            code="address_unreachable",
            detail=f"{url}: {reply.status}",
        )
    return reply


def _landed(url: str, me: str) -> str:
    """The address that redirects led to, in its one form."""
    try:
        return indieauth.profile_url(url)
    except ValueError:
        return me


def _unsupported(detail: str) -> ClientError:
    return ClientError(
        "Nothing at that address says who signs you in.", code="address_unsupported", detail=detail
    )


def _told(reply: Reply) -> Mapping[str, Any]:
    """The profile answer. Raises ProviderRefused, ProviderInvalid."""
    told = reply.json
    if not isinstance(told, dict):
        raise ProviderInvalid("the server doesn't say whose address it is", detail=f"status {reply.status}")
    if reply.status != 200:
        error = told.get("error")
        raise ProviderRefused(error if isinstance(error, str) else "invalid_grant", f"status {reply.status}")
    return told


def _vouched(told: Mapping[str, Any]) -> str:
    me = told.get("me")
    try:
        return indieauth.profile_url(me if isinstance(me, str) else "")
    except ValueError:
        raise ProviderInvalid("the server doesn't say whose address it is", code="wrong_subject") from None
