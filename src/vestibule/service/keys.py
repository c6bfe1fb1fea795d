"""Providers' metadata and key sets, fetched when first needed and kept.

A document is fresh for an hour. After that it is fetched again, and when that fails the old one is good for a
day from when it was fetched (attacks.md O6). However many ask, one fetch is under way per URL. A key id that
isn't among the known keys makes one more fetch at once, so that a rotation needs no waiting, but at most one
in 30 s: made-up key ids cost the provider nothing.

A document is kept for those alone who came to its URL in the same way (`via`). Threat: a provider that may reach
public addresses only is given what was fetched from a private one for somebody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from vestibule.errors import ProviderError, ProviderInvalid, ProviderUnavailable
from vestibule.fetch import Answer
from vestibule.protocol.address import OUTSIDE
from vestibule.protocol.document import DocumentError, json_of
from vestibule.protocol.key_set import keys_of
from vestibule.protocol.oidc import discovery_url

FRESH_S: Final = 3600.0
STALE_S: Final = 24 * 3600.0
RETRY_S: Final = 30.0
"""For how long after a failed fetch an old document is given without trying again."""
UNKNOWN_KID_EVERY_S: Final = 30.0
DOCUMENT_MAX_BYTES: Final = 512 * 1024
OUTSIDE_MAX: Final = 1000
"""Documents kept of URLs that the operator's configuration had no part in: anybody can think of more."""
OUTSIDE_MAX_BYTES: Final = 32 * 1024 * 1024
"""What those may take together that are kept as they came: metadata of SAML."""


class Get(Protocol):
    """Fetches by GET: `fetch.Fetcher.get`."""

    async def __call__(self, url: str, *, via: str = "") -> Answer:
        """The answer. Raises ProviderUnavailable, ProviderInvalid."""


class _Document:
    """One URL's document: what it said, since when, and the fetch under way."""

    __slots__ = ("failed_mono", "fetched_mono", "forced_mono", "pending", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.fetched_mono = float("-inf")
        self.failed_mono = float("-inf")
        self.forced_mono = float("-inf")
        self.pending: asyncio.Task[Any] | None = None


def _size_bytes(document: _Document) -> int:
    return len(document.value) if isinstance(document.value, bytes) else 0


class Standing(msgspec.Struct, frozen=True):
    """How it stands with one document."""

    value: Any = None
    """What it said; None: it could never be had."""
    age_s: float | None = None
    """How long ago it was fetched; None: never."""
    failed_s: float | None = None
    """How long ago it couldn't be; None: never, or it could be since."""


class Documents:
    """JSON by URL: single flight, fresh for an hour, good for a day when they can't be had anew."""

    def __init__(
        self,
        get: Get,
        parse: Callable[[Answer], Any],
        *,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._get = get
        self._parse = parse
        self._mono = mono
        self._documents: dict[tuple[str, str], _Document] = {}
        self._outside: dict[str, _Document] = {}
        """The one that was asked for longest ago stands first."""

    async def of(self, url: str, *, via: str = "") -> Any:
        """The document. Raises ProviderUnavailable, ProviderInvalid when there is none that is good."""
        document = self._document(url, via)
        now = self._mono()
        age_s = now - document.fetched_mono
        if age_s < FRESH_S or (age_s < STALE_S and now - document.failed_mono < RETRY_S):
            return document.value
        try:
            return await self._fetched(document, url, via)
        except ProviderError:
            if age_s < STALE_S:
                return document.value
            raise

    async def anew(self, url: str, *, via: str = "") -> Any:
        """The document fetched now; as it is known while the flood limit holds or when fetching fails."""
        document = self._document(url, via)
        now = self._mono()
        if document.pending is None:
            if now - document.forced_mono < UNKNOWN_KID_EVERY_S:
                return document.value
            document.forced_mono = now
        try:
            return await self._fetched(document, url, via)
        except ProviderError:
            if document.value is None:
                raise
            return document.value

    def look(self, url: str, *, via: str = "") -> Standing:
        """How it stands with the document; nothing is fetched."""
        document = self._outside.get(url) if via == OUTSIDE else self._documents.get((url, via))
        if document is None:
            return Standing()
        now = self._mono()
        has_failed = document.failed_mono > document.fetched_mono
        return Standing(
            document.value,
            now - document.fetched_mono if document.value is not None else None,
            now - document.failed_mono if has_failed else None,
        )

    def forget(self, url: str, *, via: str = "") -> None:
        """Fetch the document anew when it is asked for next."""
        if via == OUTSIDE:
            self._outside.pop(url, None)
        else:
            self._documents.pop((url, via), None)

    def _document(self, url: str, via: str) -> _Document:
        if via != OUTSIDE:
            return self._documents.setdefault((url, via), _Document())
        is_new = url not in self._outside
        document = self._outside[url] = self._outside.pop(url, _Document())
        if is_new:
            self._make_room()
        return document

    def _make_room(self) -> None:
        """Drop what was asked for longest ago, until the rest is few and small enough.

        Threat: who may write a provider names one large document after another.
        """
        taken = sum(map(_size_bytes, self._outside.values()))
        while len(self._outside) > OUTSIDE_MAX or (taken > OUTSIDE_MAX_BYTES and len(self._outside) > 1):
            taken -= _size_bytes(self._outside.pop(next(iter(self._outside))))

    async def _fetched(self, document: _Document, url: str, via: str) -> Any:
        """The result of the one fetch under way; it goes on when whoever waits for it leaves."""
        if document.pending is None:
            document.pending = asyncio.create_task(self._fetch(document, url, via), name=f"fetch {url}")
        return await asyncio.shield(document.pending)

    async def _fetch(self, document: _Document, url: str, via: str) -> Any:
        try:
            answer = await self._get(url, via=via)
            document.value = self._parse(_usable(answer))
            document.fetched_mono = self._mono()
            return document.value
        except ProviderError:
            document.failed_mono = self._mono()
            raise
        finally:
            document.pending = None


class KeySets:
    """What flows ask of a provider's published documents: `Discovery`, `Document` and `Keys` of `providers.kit`."""

    def __init__(
        self, get: Get, *, documents: Get | None = None, mono: Callable[[], float] = time.monotonic
    ) -> None:
        """`documents` gets what is not JSON; without it `get` does."""
        self._metadata = Documents(get, _object, mono=mono)
        self._keys = Documents(get, _keys, mono=mono)
        self._documents = Documents(documents or get, _body, mono=mono)

    async def metadata(self, issuer: str, url: str = "", *, via: str = "") -> dict[str, Any]:
        """The issuer's metadata: a JSON object that names this issuer, exactly. Raises ProviderError.

        An empty issuer: whoever asks looks at the name (Entra's tenants by domain); `url` is then given.
        Spec: OpenID Connect Discovery 1.0 section 4.3. Threat: a document that speaks for somebody else.
        """
        place = url or discovery_url(issuer)
        found: dict[str, Any] = await self._metadata.of(place, via=via)
        if (named := found.get("issuer")) != issuer and issuer:
            self._metadata.forget(place, via=via)  # so that a mistake put right there is seen here
            detail = f"{place} is of {str(named)[:200]!r}, not of {issuer!r}"
            raise ProviderInvalid("the provider's metadata is another's", detail=detail, code="wrong_issuer")
        return found

    async def keys(self, url: str, kid: str | None = None, *, via: str = "") -> tuple[dict[str, Any], ...]:
        """The key set, fetched anew when `kid` isn't in it and the limit allows. Raises ProviderError."""
        keys: tuple[dict[str, Any], ...] = await self._keys.of(url, via=via)
        if kid is None or any(key.get("kid") == kid for key in keys):
            return keys
        anew: tuple[dict[str, Any], ...] = await self._keys.anew(url, via=via)
        return anew

    async def document(self, url: str, *, anew: bool = False, via: str = "") -> bytes:
        """What stands there, whatever it is; fetched anew where that is asked for and the limit allows.

        Raises ProviderError.
        """
        found: bytes = await self._documents.of(url, via=via)
        if anew:
            found = await self._documents.anew(url, via=via)
        return found

    def look_at_document(self, url: str, *, via: str = "") -> Standing:
        """How it stands with such a document."""
        return self._documents.look(url, via=via)

    def look_at_metadata(self, issuer: str, url: str = "", *, via: str = "") -> Standing:
        """How it stands with an issuer's metadata."""
        return self._metadata.look(url or discovery_url(issuer), via=via)

    def look_at_keys(self, url: str, *, via: str = "") -> Standing:
        """How it stands with a key set."""
        return self._keys.look(url, via=via)


def check_works(answer: Answer) -> None:
    """Raise ProviderUnavailable for an answer that only says that the provider is failing."""
    if answer.status == 429 or answer.status >= 500:
        detail = f"{answer.url.partition('?')[0]}: {answer.status}"
        raise ProviderUnavailable("the provider is failing", detail=detail, code="provider_failing")


def _usable(answer: Answer) -> Answer:
    check_works(answer)
    if answer.status != 200:
        raise _unfit("the provider's document is not there", answer, "document_status", str(answer.status))
    if len(answer.body) > DOCUMENT_MAX_BYTES:
        raise _unfit("the provider's document is too large", answer, "answer_too_large")
    return answer


def _body(answer: Answer) -> bytes:
    return answer.body


def _object(answer: Answer) -> dict[str, Any]:
    try:
        found = json_of(answer.body, answer.headers.get("content-type", ""))
    except DocumentError as exc:
        raise _unfit("the provider's document is not JSON", answer, exc.code, str(exc)) from None
    if not isinstance(found, dict):
        raise _unfit("the provider's document is not a JSON object", answer, "answer_shape")
    return found


def _keys(answer: Answer) -> tuple[dict[str, Any], ...]:
    try:
        return keys_of(_object(answer))
    except DocumentError as exc:
        raise _unfit("the provider's document is no key set", answer, exc.code, str(exc)) from None


def _unfit(what: str, answer: Answer, code: str, why: str = "") -> ProviderInvalid:
    where = answer.url.partition("?")[0]
    return ProviderInvalid(what, detail=f"{where}: {why}" if why else where, code=code)
