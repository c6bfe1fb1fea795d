"""What `test_kill` kills: forks a program that writes to the store and says what was acknowledged.

For each path on its standard input it forks a child, prints its process id, waits until it is dead, and says so. The
child prints one line for everything the store has acknowledged, as a redirect would be sent to a browser.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from vestibule.core.record import Vault
from vestibule.core.seal import Key, KeyRing
from vestibule.core.session import hash_of
from vestibule.model import Account, Session, User
from vestibule.protocol import base64url
from vestibule.store import migrations, records, sqlite
from vestibule.store.base import SealedGrant
from vestibule.store.migrations import run
from vestibule.store.people import People

TASKS = 8
VAULT = Vault(KeyRing((Key("k1", b"k" * 32),)))


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def sign_in(store: sqlite.Store, people: People) -> Session:
    """A person, a session and a grant; said when all three were acknowledged."""
    now = time.time()
    name, handle = base64url.encode(os.urandom(16)), base64url.encode(os.urandom(32))
    user = User(id=f"u{name}", created_at=now)
    await people.register(user, Account(issuer="https://a", subject=name, user_id=user.id, client="google"))
    session = Session(
        id=name, host="h", created_at=now, seen_at=now, expires_at=now + 3600, idle_s=3600.0, user_id=user.id
    )
    await store.sessions.create(session, hash_of(handle))
    grant = SealedGrant(owner=name, client="google", version=0, sealed=os.urandom(500), expires_at=now + 3600)
    await store.grants.put(grant, None)
    say(f"in {name} {handle}")
    return session


async def renew(store: sqlite.Store, session: Session) -> None:
    handle = base64url.encode(os.urandom(32))
    if await store.sessions.renew_handle(session, 0, hash_of(handle), old_good_until=0.0):
        say(f"renewed {session.id} {handle}")


async def refresh(store: sqlite.Store, session: Session) -> None:
    """Rotation: said when the newer version was acknowledged."""
    now = time.time()
    grant = SealedGrant(
        owner=session.id, client="google", version=1, sealed=os.urandom(500), expires_at=now + 3600
    )
    if await store.grants.put(grant, 0):
        say(f"rotated {session.id} 1")


async def sign_out(store: sqlite.Store, session: Session) -> None:
    if await store.sessions.delete(session.id):
        say(f"out {session.id} -")


async def browse(store: sqlite.Store, people: People, number: int) -> None:
    """Sign in, be seen, renew, refresh; every third signs out."""
    while True:
        session = await sign_in(store, people)
        await store.sessions.touch([(session.id, session.seen_at + 60)])
        await renew(store, session)
        await refresh(store, session)
        await store.marks.consume("flow", session.id.encode(), session.seen_at, session.expires_at)
        say(f"used {session.id} -")
        if number % 3 == 0:
            await sign_out(store, session)


async def live(path: str) -> None:
    store, people = await sqlite.open_store(f"sqlite:{path}", VAULT), records.open_records(Path(path)).people
    await asyncio.gather(*(browse(store, people, number) for number in range(TASKS)))


def main(what: str) -> None:
    for line in sys.stdin:
        path = line.strip()
        child = os.fork()
        if child == 0:
            if what == "live":
                asyncio.run(live(path))
            else:
                migrations.prepare(Path(path))
                say("begun")
                run.upgrade(Path(path))
            os._exit(0)
        say(f"pid {child}")
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main(sys.argv[1])
