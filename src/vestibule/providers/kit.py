"""What a provider's flow may ask for, and what it is sent back.

A flow is a generator: it yields an `Ask`, is sent the answer, and returns its result. Whoever drives it
(`service.flow`) owns sockets, time-outs, caches and the address guard; the flow owns none.
The driver raises `ProviderUnavailable` into the flow when nothing could be fetched.

Every ask that fetches has a `via`: who gave its URL. Empty: the operator wrote it; a URL: the operator wrote that one,
and it led to this one (an issuer); `OUTSIDE`: a person's input or a database row gave it. `fetch` says what each may
reach.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from vestibule.errors import ProviderInvalid
from vestibule.model import Secret
from vestibule.protocol.address import OUTSIDE
from vestibule.protocol.document import DocumentError, json_of

__all__ = (
    "OUTSIDE",
    "Ask",
    "Discovery",
    "Document",
    "Driver",
    "Fetched",
    "Flow",
    "Get",
    "Keys",
    "PostForm",
    "Reply",
    "Send",
    "Work",
)

T = TypeVar("T")


class Get(msgspec.Struct, frozen=True, kw_only=True):
    """Fetch this URL; answered by a `Reply` of any status below 500.

    An `accept` among the headers takes the place of `application/json`.
    """

    url: str
    bearer: Secret | None = None
    headers: tuple[tuple[str, str], ...] = ()
    via: str = ""
    follow: bool = True
    """False: a redirect is the answer."""


class PostForm(msgspec.Struct, frozen=True, kw_only=True):
    """Post this form; answered by a `Reply` of any status below 500. It is sent once, whatever happens.

    `basic` is (client id, secret) for client_secret_basic, form-encoded first (RFC 6749 section 2.3.1).
    """

    url: str
    form: tuple[tuple[str, str], ...]
    basic: tuple[str, Secret] | None = None
    bearer: Secret | None = None
    headers: tuple[tuple[str, str], ...] = ()
    via: str = ""

    def __repr__(self) -> str:
        """Without the form: codes, tokens and client secrets stand in it."""
        return f"PostForm(url={self.url!r}, form=***)"


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """Send this body; answered by a `Reply` of any status below 500. It is sent once, whatever happens.

    `basic` is as in `PostForm`.
    """

    method: Literal["POST", "DELETE"]
    url: str
    body: bytes = b""
    content_type: str = "application/json"
    bearer: Secret | None = None
    basic: tuple[str, Secret] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    via: str = ""

    def __repr__(self) -> str:
        """Without the body: tokens stand in it."""
        return f"Send(method={self.method!r}, url={self.url!r}, body=***)"


class Discovery(msgspec.Struct, frozen=True):
    """Ask for the metadata of an issuer (OIDC Discovery 1.0); answered by the cached or fetched `dict`."""

    issuer: str
    """Whom it must name; empty, with a `url`: whoever asks looks at that."""
    url: str = ""
    """Where it stands, when not at the well-known place."""
    via: str = ""


class Keys(msgspec.Struct, frozen=True):
    """Ask for a key set; fetched anew (within the flood limit) when `kid` is not among the cached keys.

    Answered by a tuple of JWK dicts.
    """

    url: str
    kid: str | None = None
    via: str = ""


class Document(msgspec.Struct, frozen=True):
    """Ask for what a provider publishes in a form of its own; answered by the kept or fetched `bytes`."""

    url: str
    anew: bool = False
    """What is known may be old: fetched now, within the flood limit."""
    via: str = ""


class Work(msgspec.Struct, frozen=True):
    """Have this done beside the event loop: it takes longer than others may wait for their turn.

    Answered by what it returns; a ProviderError of it is raised into the flow. Nothing is fetched.
    """

    run: Callable[[], Any]

    def __repr__(self) -> str:
        """Without what it works on: what a provider said of somebody."""
        return "Work(***)"


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer, whole: status, headers (lower-case names), body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""
    """Where it came from, after redirects; empty where a test made it."""

    def __repr__(self) -> str:
        """Without the body: tokens stand in it."""
        return f"Reply(status={self.status}, body=***)"

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ProviderInvalid when it isn't."""
        try:
            return json_of(self.body, self.headers.get("content-type", ""))
        except DocumentError as exc:
            detail = f"status {self.status}: {exc}"
            raise ProviderInvalid("the provider's answer is not JSON", detail=detail, code=exc.code) from None


Fetched: TypeAlias = Get | PostForm | Send | Discovery | Document | Keys
Ask: TypeAlias = Fetched | Work
Flow: TypeAlias = Generator[Ask, Any, T]


class Driver(Protocol):
    """Runs flows: fetches what they ask for (`service.flow`)."""

    async def run(self, flow: Flow[T], *, trusted: bool = True, about: str = "") -> T:
        """What the flow returns; not `trusted`: every URL it asks for counts as `OUTSIDE`.

        `about`: full name of the client whose flow it is, for who wants to know how providers do.

        Raises ProviderError, and whatever the flow raises.
        """
