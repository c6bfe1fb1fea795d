"""Identity providers from everywhere: files and environment, and the database, whose rows come and go at run time.

What is in force is an `Offer`: the route table with every enabled row at the hosts that take more (`sign_in = ["*"]`),
and the providers. It is handed on whole whenever it changes: at once where this process changed it, within a second
where another one did (`look`). A row that can't be used is left out and told of; it hurts no other.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from vestibule.config.redirect import SHARED, shares_badly
from vestibule.config.row import Row, joined, moved, patched, place_of, read_row, section_of, word_of
from vestibule.core import flow as flows
from vestibule.core.route import Host, RouteTable
from vestibule.core.seal import NONCE_BYTES, KeyRing
from vestibule.errors import Conflict, Invalid, NotFound, StoreError
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.protocol.address import NO_NETWORKS, Networks
from vestibule.protocol.url import host_in
from vestibule.providers.base import Finding, Provider, ProviderConfig, RedirectLogin
from vestibule.providers.kit import Driver
from vestibule.service import provider_secrets
from vestibule.service.confined import Facts, confine, facts_of
from vestibule.service.offer import Faults, Listed, Offer, places_of, redirect_url_of, with_more
from vestibule.service.ownership import check_whose, theirs
from vestibule.service.trial import tried
from vestibule.store import base
from vestibule.store.base import ProviderRow
from vestibule.store.base_organisations import Organisations

LOOK_EVERY_S: Final = 0.5
"""How often a process looks whether another one has changed the table."""
_TRIES: Final = 5


class _Good(msgspec.Struct, frozen=True):
    """A row that can be used, and what was made of it."""

    kept: ProviderRow
    row: Row
    provider: Provider
    facts: Facts | None = None


class Registry:
    """All identity providers. Every method that reads or writes rows may raise StoreError."""

    def __init__(
        self,
        *,
        rows: base.IdentityProviders,
        keys: KeyRing,
        driver: Driver,
        table: RouteTable,
        configs: Mapping[str, ProviderConfig],
        providers: Mapping[str, Provider],
        use: Callable[[Offer], None],
        end_sessions: Callable[[str], Awaitable[object]],
        log: Log,
        base_urls: Callable[[Host], tuple[str, ...]],
        allow: Networks = NO_NETWORKS,
        organisations: Organisations | None = None,
        now: Callable[[], float] = clock.now,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`table`, `configs` and `providers` are the configuration's own; `use` takes each new offer.

        `end_sessions` ends all that have their people or credentials from a client; `base_urls`: under which URLs
        people reach a host.
        """
        self._rows = rows
        self._keys = keys
        self._driver = driver
        self._table = table
        self._configs = configs
        self._providers = providers
        self._use = use
        self._end_sessions = end_sessions
        self._log = log.of("providers")
        self._base_urls = base_urls
        self._allow = allow
        self._organisations = organisations
        self._now = now
        self._random = random
        self._good: dict[str, _Good] = {}
        self._faults: dict[str, Faults] = {}
        self._facts: Mapping[str, Facts] = {}
        self._stamp: str | None = None
        self._is_away = False
        self._turn = asyncio.Lock()
        self._offer = Offer(table, providers, configs)

    # -- what is in force ---------------------------------------------------------------------

    @property
    def offer(self) -> Offer:
        """What is in force now."""
        return self._offer

    async def look(self, _now: float = 0.0, _fence: int = 0) -> None:
        """Load the rows anew if anybody has changed them since: a job for twice a second.

        While the store is away, what is known stays in force.
        """
        try:
            if await self._rows.stamp() != self._stamp:
                await self.reload()
        except StoreError as exc:
            if not self._is_away:
                self._log.warning("providers_unread", detail=exc.detail or exc.message)
            self._is_away = True
        else:
            self._is_away = False

    async def reload(self) -> None:
        """Read the rows, and put those that are good and enabled in force."""
        async with self._turn:
            stamp = await self._rows.stamp()  # first: what changes meanwhile is seen by the next look
            rows = await self._rows.all()
            self._load(rows, await facts_of(self._organisations, rows))
            self._stamp = stamp

    def _load(self, rows: tuple[ProviderRow, ...], facts: Mapping[str, Facts]) -> None:
        self._facts = facts
        good: dict[str, _Good] = {}
        faults: dict[str, Faults] = {}
        places = {
            ("", *place_of(provider.kind, self._configs[name])) for name, provider in self._providers.items()
        }
        for kept in rows:
            try:
                found = self._opened(kept, facts.get(kept.org_id))
                # Of two organisations they are two, with other accounts each: neither keeps the other from its own.
                place = kept.org_id, *place_of(found.row.kind, found.row.config)
                if place in places:
                    raise Invalid((("", "is another of the same type, client ID and issuer"),))  # noqa: TRY301
                if kept.id in self._reserved():
                    raise Invalid((("id", "is taken by a provider of the configuration"),))  # noqa: TRY301
                self._check_shared(found.row, (one.row for one in good.values()))
                places.add(place)
                good[kept.id] = found
            except Invalid as exc:
                faults[kept.id] = exc.faults
            except Exception as exc:  # noqa: BLE001 - a kind of somebody else's: its fault must not hurt the others
                faults[kept.id] = (("", f"can't be opened: {type(exc).__name__}"),)
        for row_id, found_faults in faults.items():
            if self._faults.get(row_id) != found_faults:
                told = "; ".join(f"{path}: {message}" if path else message for path, message in found_faults)
                self._log.warning("provider_left_out", provider=row_id, faults=told)
        self._good, self._faults = good, faults
        in_force = {row_id: (one.provider, one.row.config) for row_id, one in good.items() if one.row.enabled}
        absent = [kept.id for kept in rows if kept.id not in in_force]
        fixed = Offer(self._table, self._providers, self._configs)
        self._offer = with_more(fixed, in_force, absent=absent)
        self._use(self._offer)

    def _opened(self, kept: ProviderRow, facts: Facts | None) -> _Good:
        """The row read and opened, or as it was when nothing has changed. Raises Invalid."""
        known = self._good.get(kept.id)
        if known is not None and known.kept == kept and known.facts == facts:
            return known
        row = self._read(self._whole(kept))
        if not kept.org_id:
            return _Good(kept, row, row.config.open())
        row = theirs(row, facts)
        assert facts is not None
        provider = row.config.open()
        confine(provider, *facts)
        return _Good(kept, row, provider, facts)

    def _read(self, document: Mapping[str, Any]) -> Row:
        return read_row(document, allow=self._allow, hosts=self._host_names())

    def _whole(self, kept: ProviderRow) -> dict[str, Any]:
        """The document with its secrets. Raises Invalid where it can't be read."""
        return joined(_document(kept), provider_secrets.opened(kept, self._keys))

    def _host_names(self) -> frozenset[str]:
        names = {host.name.decode("ascii") for host in self._table.hosts.values()}
        shown = {host_in(host.base_url) for host in self._table.hosts.values()}
        return frozenset((names | shown) - {""})

    def _reserved(self) -> frozenset[str]:
        """IDs that the configuration has: at top level, or as a client inside a host that takes more."""
        inside = (name for host in self._table.hosts.values() if host.takes_more for name in host.clients)
        return frozenset((*self._providers, *inside))

    def names(self) -> frozenset[str]:
        """What rules may name before a `/`, of the configuration: IDs of clients at any host, and issuers."""
        hosts = self._table.hosts.values()
        found = (*self._providers, *(name for host in hosts for name in (*host.clients, *host.issuers)))
        return frozenset(name.rpartition("/")[2].rpartition(":")[2] for name in found)

    # -- to look at ---------------------------------------------------------------------------

    async def list(self) -> tuple[Listed, ...]:
        """All of them: the configuration's first, then the rows, the oldest first, disabled and faulty ones too."""
        return (*self.fixed(), *(self._shown(kept) for kept in await self._rows.all()))

    def fixed(self) -> tuple[Listed, ...]:
        """Those of the configuration alone, for whom no store is asked."""
        return tuple(self._shown_fixed(name) for name in self._providers if self._is_login(name))

    async def get(self, provider_id: str) -> Listed:
        """The provider. Raises NotFound."""
        if provider_id in self._providers and self._is_login(provider_id):
            return self._shown_fixed(provider_id)
        return self._shown(await self._kept(provider_id))

    async def test(self, provider_id: str) -> tuple[Finding, ...]:
        """What trying it out without a person finds, enabled or not. Raises NotFound, and Invalid for a faulty row."""
        provider = self._providers.get(provider_id)
        if provider is None or not self._is_login(provider_id):
            kept = await self._kept(provider_id)
            provider = self._opened(
                kept, (await facts_of(self._organisations, (kept,))).get(kept.org_id)
            ).provider
        urls = self._redirect_urls(provider_id, redirect_url_of(provider))
        return await tried(provider, self._places(provider_id), urls, self._driver, self._now())

    # -- to change ----------------------------------------------------------------------------

    async def create(self, document: Mapping[str, Any], org_id: str = "") -> Listed:
        """Add a provider, that organisation's or the operator's own; in force on return.

        Raises Invalid, Conflict (`taken`, `duplicate`).
        """
        row = self._read(document)
        await check_whose(row, org_id, self._organisations)
        await self._check_free(row, org_id)
        now = self._now()
        kept = self._to_keep(row, created_at=now, updated_at=now, org_id=org_id)
        if not await self._rows.insert(kept):
            raise _taken(row.id)
        await self.reload()
        return await self.get(row.id)

    async def replace(
        self, provider_id: str, document: Mapping[str, Any], *, version: int | None = None
    ) -> Listed:
        """Put this document in the provider's place; secrets it doesn't write are kept, null drops one.

        `version`: the one it must have now. Raises Invalid, NotFound, Conflict (`changed`, `duplicate`, `fixed`).
        """

        def change(kept: ProviderRow, _old: dict[str, Any]) -> dict[str, Any]:
            return {"id": kept.id, **document}

        return await self._change(provider_id, change, version)

    async def patch(
        self, provider_id: str, patch: Mapping[str, Any], *, version: int | None = None
    ) -> Listed:
        """Change the provider by a JSON Merge Patch (RFC 7396); secrets it doesn't write are kept.

        Raises as `replace` does.
        """

        def change(_kept: ProviderRow, old: dict[str, Any]) -> dict[str, Any]:
            changed: dict[str, Any] = patched(old, patch)
            return changed

        return await self._change(provider_id, change, version, written=patch)

    async def enable(self, provider_id: str) -> Listed:
        """Offer it to people. Raises Invalid for a faulty one, NotFound, Conflict."""
        return await self.patch(provider_id, {"enabled": True})

    async def disable(self, provider_id: str) -> Listed:
        """Offer it no more, whatever is wrong with it; its identities count no more. Raises NotFound, Conflict."""
        for _ in range(_TRIES):
            kept = await self._kept(provider_id)
            off = msgspec.structs.replace(kept, enabled=False, updated_at=self._now())
            if await self._rows.update(off, kept.version):
                await self.reload()
                return await self.get(provider_id)
        raise _changed()

    async def delete(self, provider_id: str, *, version: int | None = None) -> None:
        """Delete it; its identities count no more. Raises NotFound, Conflict (`changed`, `fixed`)."""
        kept = await self._kept(provider_id)
        if version is not None and kept.version != version:
            raise _changed()
        await self._rows.delete(provider_id)
        await self.reload()
        await self._end_sessions(provider_id)

    async def _change(
        self,
        provider_id: str,
        change: Callable[[ProviderRow, dict[str, Any]], dict[str, Any]],
        version: int | None,
        written: Mapping[str, Any] | None = None,
    ) -> Listed:
        for _ in range(_TRIES):
            kept = await self._kept(provider_id)
            if version is not None and kept.version != version:
                break
            row = self._read(self._changed(kept, change, written))
            await check_whose(row, kept.org_id, self._organisations)
            await self._check_free(row, kept.org_id, but=provider_id)
            new = self._to_keep(row, created_at=kept.created_at, updated_at=self._now(), org_id=kept.org_id)
            if await self._rows.update(new, kept.version):
                await self.reload()
                if self._is_another(kept, row):
                    await self._end_sessions(provider_id)
                return await self.get(provider_id)
        raise _changed()

    def _is_another(self, kept: ProviderRow, row: Row) -> bool:
        """True where the ID now stands for another client or issuer, or is believed about other things.

        Threat: people as the one before vouched for them, who would count as the new one's.
        """
        try:
            before = self._read(self._whole(kept))
        except Invalid:
            return True
        return word_of(before.kind, before.config) != word_of(row.kind, row.config)

    def _changed(
        self,
        kept: ProviderRow,
        change: Callable[[ProviderRow, dict[str, Any]], dict[str, Any]],
        written: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """The document after the change, with the secrets that stay. Raises Invalid.

        Threat: who may write providers but not read secrets points one at a server of their own, and is sent them.
        """
        try:
            old = _document(kept)
        except Invalid:
            old = {}
        new = change(kept, old)
        for name, was in (("id", kept.id), ("provider_type", kept.provider_type)):
            if new.get(name, was) != was:
                raise Invalid(((name, "can't be changed: add another provider, and delete this one"),))
        section = section_of(kept.provider_type)
        told = new if written is None else written
        told_settings = told.get(section) if isinstance(told.get(section), Mapping) else {}
        try:
            known = provider_secrets.opened(kept, self._keys)
        except Invalid:
            known = {}
        stay = {
            path: secret
            for path, secret in known.items()
            if path.partition(".")[2] not in (told_settings or {})
        }
        if stay and moved(old.get(section), new.get(section)):
            faults = tuple(
                (path, "must be written again: it would go to another address than before") for path in stay
            )
            raise Invalid(faults)
        return joined(new, stay)

    # -- rows ---------------------------------------------------------------------------------

    async def _kept(self, provider_id: str) -> ProviderRow:
        kept = await self._rows.get(provider_id)
        if kept is not None:
            return kept
        if provider_id in self._reserved():
            raise Conflict(
                f"{provider_id} stands in the configuration and can only be changed there.", code="fixed"
            )
        raise NotFound(f"There is no identity provider {provider_id[:64]!r}.")

    async def _check_free(self, row: Row, org_id: str, but: str = "") -> None:
        """Raise Conflict where the ID is taken, or one that is as much whose is the same client."""
        rows = [kept for kept in await self._rows.all() if kept.id != but]
        if row.id in self._reserved() or any(kept.id == row.id for kept in rows):
            raise _taken(row.id)
        place = place_of(row.kind, row.config)
        for name, provider in self._providers.items():
            if not org_id and place_of(provider.kind, self._configs[name]) == place:
                raise _duplicate(name)
        for kept in rows:
            try:
                other = self._opened(kept, self._facts.get(kept.org_id)).row
            except Invalid:
                continue
            if kept.org_id == org_id and place_of(other.kind, other.config) == place:
                raise _duplicate(kept.id)
            self._check_shared(row, (other,))
        self._check_shared(row, ())

    def _check_shared(self, row: Row, others: Iterable[Row]) -> None:
        if shares_badly(row.config, (*self._configs.values(), *(other.config for other in others))):
            raise Invalid(((f"{section_of(row.kind)}.redirect_url", SHARED),))

    def _to_keep(self, row: Row, *, created_at: float, updated_at: float, org_id: str) -> ProviderRow:
        return ProviderRow(
            id=row.id,
            provider_type=row.kind,
            enabled=row.enabled,
            config=msgspec.json.encode(row.document).decode(),
            sealed=provider_secrets.sealed(row.id, row.secrets, self._keys, nonce=self._random(NONCE_BYTES)),
            created_at=created_at,
            updated_at=updated_at,
            org_id=org_id,
        )

    # -- how they are shown -------------------------------------------------------------------

    def _shown(self, kept: ProviderRow) -> Listed:
        try:
            document = _document(kept)
        except Invalid:
            document = {"id": kept.id, "provider_type": kept.provider_type, "enabled": kept.enabled}
        try:
            paths = tuple(sorted(provider_secrets.opened(kept, self._keys)))
        except Invalid:
            paths = ()
        faults = self._faults.get(kept.id, ())
        title = ""
        try:
            provider = self._opened(kept, self._facts.get(kept.org_id)).provider
            title = provider.title
            urls = self._redirect_urls(kept.id, redirect_url_of(provider))
        except Invalid as exc:
            faults, urls = faults or exc.faults, ()
        return Listed(
            id=kept.id,
            provider_type=kept.provider_type,
            enabled=kept.enabled,
            source="database",
            title=title,
            document=document,
            secrets=paths,
            faults=faults,
            redirect_urls=urls,
            version=kept.version,
            created_at=kept.created_at,
            updated_at=kept.updated_at,
        )

    def _shown_fixed(self, name: str) -> Listed:
        provider = self._providers[name]
        return Listed(
            id=name,
            provider_type=provider.kind,
            enabled=True,
            source="configuration",
            title=provider.title,
            document={"id": name, "provider_type": provider.kind, "enabled": True, "title": provider.title},
            redirect_urls=self._redirect_urls(name, redirect_url_of(provider)),
        )

    def _is_login(self, name: str) -> bool:
        provider = self._providers[name]
        return isinstance(provider, RedirectLogin)

    def _redirect_urls(self, name: str, registered: str) -> tuple[str, ...]:
        """Where people come back from this provider, one for each URL of each host that they come back to."""
        places = self._places(name)
        urls = (flows.redirect_uri(base_url, client, registered) for base_url, client in places)
        return tuple(dict.fromkeys(urls))

    def _places(self, name: str) -> tuple[tuple[str, str], ...]:
        """The base URLs of the hosts where people come back from this provider, each with its ID there."""
        return places_of(self._table, name, self._base_urls, is_fixed=name in self._providers)


def _document(kept: ProviderRow) -> dict[str, Any]:
    """The document of a row; what stands in columns of its own counts. Raises Invalid."""
    try:
        found = msgspec.json.decode(kept.config)
    except (msgspec.DecodeError, UnicodeError):
        raise Invalid((("", "its configuration is not JSON"),)) from None
    if not isinstance(found, dict):
        raise Invalid((("", "its configuration is no JSON object"),))
    return {**found, "id": kept.id, "provider_type": kept.provider_type, "enabled": kept.enabled}


def _taken(row_id: str) -> Conflict:
    return Conflict(f'The ID {row_id!r} is taken: give this provider another one, as "id".', code="taken")


def _duplicate(row_id: str) -> Conflict:
    return Conflict(f"{row_id!r} is the same client of the same provider already.", code="duplicate")


def _changed() -> Conflict:
    return Conflict("It was changed meanwhile: look at it again.", code="changed")
