"""All records of one database: people, devices, invitations, providers, tokens, what happened, certificates.

Imported by the control plane only, after the listeners are up: SQLAlchemy takes a second.
"""

from __future__ import annotations

from pathlib import Path

from vestibule.core.postgres import Postgres
from vestibule.core.seal import KeyRing
from vestibule.observe.log import Log
from vestibule.store import acme
from vestibule.store.admin_tokens import AdminTokens
from vestibule.store.app_tokens import AppTokens
from vestibule.store.audit import Audit, DeadLetters, Outbox
from vestibule.store.devices import Devices
from vestibule.store.directory import Directory
from vestibule.store.engine import Engine, on_postgres, on_sqlite
from vestibule.store.identity_providers import IdentityProviders
from vestibule.store.invitations import Invitations
from vestibule.store.machine_keys import MachineKeys
from vestibule.store.organisations import Organisations
from vestibule.store.people import People


class Records:
    """What the control plane keeps beside the data plane's `Store`."""

    def __init__(self, engine: Engine, ring: KeyRing | None = None) -> None:
        self._engine = engine
        self.people = People(engine)
        self.invitations = Invitations(engine)
        self.identity_providers = IdentityProviders(engine)
        self.admin_tokens = AdminTokens(engine)
        self.app_tokens = AppTokens(engine)
        self.machine_keys = MachineKeys(engine)
        self.organisations = Organisations(engine)
        self.directory = Directory(engine)
        self.audit = Audit(engine, ring)
        self.outbox = Outbox(engine)
        self.dead_letters = DeadLetters(engine)
        self.devices = Devices(engine)
        self.acme_accounts = acme.Accounts(engine)
        self.acme_orders = acme.Orders(engine)
        self.acme_proofs = acme.Proofs(engine)
        self.certificates = acme.Certificates(engine)

    async def measure(self) -> float | None:
        """Seconds that asking the database for next to nothing takes now; None: there was no answer in time."""
        return await self._engine.measure()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._engine.close()


def open_records(
    database: Path | Postgres, log: Log | None = None, *, ring: KeyRing | None = None
) -> Records:
    """The records in this SQLite file or PostgreSQL database, whose tables exist. Opens it at the first use.

    `log` is told when a server is found away, and when it is back. `ring` seals the trail; without it nothing can be
    added to it.
    """
    engine = on_sqlite(database) if isinstance(database, Path) else on_postgres(database, log or Log())
    return Records(engine, ring)
