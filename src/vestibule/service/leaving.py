"""What providers are told of people who leave: tokens revoked, their own sign-out page.

Tokens are revoked in the background. But who leaves waits a moment for it, since many providers end a whole grant with
one token of it, and give the same grant to who signs in again in that browser: a code that they gave just before would
be refused (RFC 7009 section 2.1, oidc-provider's `revokeByGrantId`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from typing import Any, Final, TypeAlias

from vestibule.core.session import owner_of
from vestibule.errors import ProviderError
from vestibule.model import Session, Tokens
from vestibule.providers import kit
from vestibule.providers.base import Form, Provider, SignOut, SpeaksSaml
from vestibule.service.grants import Grants

SIGN_OUT_URL_S: Final = 3.0
"""Longest that a sign-out waits for the provider's metadata."""
HEARD_S: Final = 1.0
"""Longest that whoever leaves waits until their tokens are revoked."""
Telling: TypeAlias = Collection[asyncio.Future[None]]
"""What providers are being told."""


class Leaving:
    """Tells providers; whatever they say, whoever left has left."""

    def __init__(self, grants: Grants, driver: kit.Driver) -> None:
        self._grants = grants
        self._driver = driver
        self._providers: dict[str, SignOut] = {}
        self._saml: dict[str, SpeaksSaml] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def use(self, providers: Mapping[str, Provider]) -> None:
        """Take providers by full name from a new configuration."""
        self._providers = {name: p for name, p in providers.items() if isinstance(p, SignOut)}
        self._saml = {name: p for name, p in providers.items() if isinstance(p, SpeaksSaml)}

    async def tokens_of(self, session: Session) -> dict[str, Tokens | None]:
        """The session's own tokens by client, as long as it lasts; its parent's are not. Raises StoreError."""
        own = [name for name in session.clients if owner_of(session, name) == session.id]
        return {name: await self._grants.tokens_of(session.id, name) for name in own}

    async def sign_out_url(
        self, session: Session, tokens: Mapping[str, Tokens | None], return_to: str, now: float
    ) -> str | Form | None:
        """The sign-out page of the first provider that vouched for the person, has one, and answers.

        A browser is sent to one page: who was vouched for by several is signed out at the first.
        """
        for identity in session.identities:
            held = tokens.get(identity.client)
            if held is None or (asked := self._page(identity.client, held, return_to, now)) is None:
                continue
            page, trusted = asked
            try:
                async with asyncio.timeout(SIGN_OUT_URL_S):
                    found = await self._driver.run(page, trusted=trusted, about=identity.client)
            except (ProviderError, TimeoutError):
                continue
            if found is not None:
                return found
        return None

    def _page(
        self, client: str, held: Tokens, return_to: str, now: float
    ) -> tuple[kit.Flow[str | Form | None], bool] | None:
        """What asks for the client's sign-out page, and whether the operator wrote its URLs; None: it has none."""
        if (saml := self._saml.get(client)) is not None:
            return saml.leave(held, now), saml.is_trusted
        provider = self._providers.get(client)
        return None if provider is None else (provider.sign_out_url(held, return_to), provider.is_trusted)

    def revoke(self, tokens: Mapping[str, Tokens | None], now: float, *, for_good: bool = False) -> Telling:
        """Have the tokens, by client, revoked in the background where the provider can; `for_good`, consent too.

        What has been begun, for `heard`.
        """
        begun = []
        for name, held in tokens.items():
            provider = self._providers.get(name)
            if provider is not None and held is not None:
                flow = provider.revoke(held, now, for_good=for_good)
                begun.append(
                    self._spawn(self._try(flow, name, trusted=provider.is_trusted), f"revoke at {name}")
                )
        return tuple(begun)

    async def close(self) -> None:
        """Wait for revocations under way; each has the fetcher's deadline."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _try(self, flow: kit.Flow[None], name: str, *, trusted: bool) -> None:
        try:
            await self._driver.run(flow, trusted=trusted, about=name)
        except ProviderError:
            return

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def heard(begun: Telling) -> None:
    """Wait until providers have heard it all, but no longer than `HEARD_S`; what takes longer goes on."""
    if begun:
        await asyncio.wait(begun, timeout=HEARD_S)
