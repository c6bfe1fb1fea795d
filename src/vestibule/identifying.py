"""Who asks, put together: sessions and what they hold, what is asked about their people, and credentials of callers."""

from __future__ import annotations

from vestibule.config.compile import Compiled
from vestibule.observe.log import Log
from vestibule.opening import Kept, last_word
from vestibule.providers.base import Refresh
from vestibule.proxy.lasting import Book, Lasting
from vestibule.service.affiliated import Affiliated
from vestibule.service.app_tokens import CREDENTIAL, Bearers
from vestibule.service.basic import Passwords
from vestibule.service.bearer import Signed
from vestibule.service.caller import Callers
from vestibule.service.grants import Grants
from vestibule.service.htpasswd import PasswordFiles, files_of
from vestibule.service.introspection import Opaque
from vestibule.service.machine_keys import LiveKeys
from vestibule.service.offer import Offer
from vestibule.service.proof import Proofs
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import SESSION, USER, Sessions
from vestibule.service.tries import SharedTries
from vestibule.waiting import Late


class Identifying:
    """Open while the process runs."""

    def __init__(  # noqa: PLR0917 - built at one place
        self, compiled: Compiled, kept: Kept, offer: Offer, driver: Late, log: Log, book: Book
    ) -> None:
        """`book`: what lasts in this process."""
        self._offer = offer
        self._book = book
        self._build_sessions(compiled, kept, driver, log)
        self._build_callers(compiled, kept, driver, log)
        kept.changes.subscribe(SESSION, self.lasting.session_changed)
        kept.changes.subscribe(USER, self.lasting.user_changed)
        kept.changes.subscribe(CREDENTIAL, self.lasting.credential_changed)

    def _build_sessions(self, compiled: Compiled, kept: Kept, driver: Late, log: Log) -> None:
        store, changes, grace_s = kept.store, kept.changes, compiled.lifetimes.grace_s
        self.affiliated = Affiliated(driver.affiliations_of, store.presence.organisations, changes)
        self.sessions = Sessions(
            store.sessions,
            changes,
            lifetimes=compiled.lifetimes,
            grace_s=grace_s,
            last_word=last_word(store),
            affiliated=self.affiliated.identity_of,
        )
        self.grants = Grants(
            store.grants,
            store.leases,
            self.sessions,
            changes,
            kept.ring,
            refreshers=_refreshers(self._offer),
            driver=driver,
            grace_s=grace_s,
            meter=kept.meter,
            log=log,
        )
        self.rechecks = Rechecks(
            self.sessions, self.grants, changes, driver, log, every_s=compiled.lifetimes.restriction_s
        )
        self.lasting = Lasting(self.sessions, self.rechecks, grace_s=grace_s, book=self._book)

    def _build_callers(self, compiled: Compiled, kept: Kept, driver: Late, log: Log) -> None:
        """Who judges what stands in Authorization."""
        changes = kept.changes
        self.files = PasswordFiles(files_of(compiled.table), kept.ring, log, changed=self._file_changed)
        self._recheck()
        for name in self.files.providers:
            self.rechecks.look_again(name)  # nobody saw what became of it while this didn't run
        affiliated = self.affiliated.identity_of
        self._proofs = Proofs(driver.owner_of, changes, affiliated=affiliated)
        self.tries = SharedTries(kept.store.tries)
        self.passwords = Passwords(self.files, self._proofs, shared=self.tries, changes=changes)
        self.bearers = Bearers(
            driver.find_token,
            changes,
            grace_s=compiled.lifetimes.grace_s,
            shared=self.tries,
            affiliated=affiliated,
        )
        self.callers = Callers(
            app_tokens=self.bearers,
            signed=Signed(self._proofs, driver),
            opaque=Opaque(self._proofs, driver),
            passwords=self.passwords,
            is_known=self.files.has,
            keys=LiveKeys(driver.is_live_key, changes, grace_s=compiled.lifetimes.grace_s),
        )

    def use(self, offer: Offer) -> None:
        """Other providers are in force."""
        self._offer = offer
        self.grants.use(_refreshers(offer))
        self._recheck()
        self.bearers.forget()

    def _recheck(self) -> None:
        """Have people asked about at those who vouch for them now: providers, and password files."""
        offer = self._offer
        self.rechecks.use({**offer.providers, **self.files.providers}, offer.table.hosts.values())

    def _file_changed(self, name: str) -> None:
        """Another version of a password file is in force: whom it no longer has is out."""
        self._proofs.forget_client(name)
        self._recheck()
        self.lasting.look()

    async def close(self) -> None:
        """Close it."""
        await self.grants.close()
        self.passwords.close()


def _refreshers(offer: Offer) -> dict[str, Refresh]:
    return {name: one for name, one in offer.providers.items() if isinstance(one, Refresh)}
