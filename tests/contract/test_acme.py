"""What every store does with certificates by ACME."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from vestibule.store.base_acme import AccountRow, CertificateRow, OrderRow, ProofRow

NOW = 1_800_000_000.0
ACCOUNT = AccountRow(directory="https://ca.test/dir", sealed=b"\x00\xff", created_at=NOW, fence=3)
ORDER = OrderRow(
    name="a.example.com", sealed=b"box", next_at=NOW, failures=2, error="{}", failed_at=NOW, fence=3
)
CERTIFICATE = CertificateRow(
    name="a.example.com", sealed=b"box", not_after_at=NOW + 9, renew_at=NOW + 5, ask_at=NOW + 1, fence=3
)
PROOF = ProofRow(token="a-token", name="a.example.com", kind="http-01", sealed=b"box", expires_at=NOW + 60)
TABLES = [
    pytest.param("acme_accounts", "directory", ACCOUNT, id="accounts"),
    pytest.param("acme_orders", "name", ORDER, id="orders"),
    pytest.param("certificates", "name", CERTIFICATE, id="certificates"),
]


@pytest.mark.parametrize(("table", "key", "row"), TABLES)
async def test_rows_come_back_as_they_were_in_order(store, table, key, row):
    kept = getattr(store, table)
    other = replace(row, **{key: "A"})
    assert await kept.put(row)
    assert await kept.put(other)
    assert await kept.all() == (other, row)


@pytest.mark.parametrize(("table", "key", "row"), TABLES)
async def test_what_an_overtaken_one_writes_changes_nothing(store, table, key, row):
    kept = getattr(store, table)
    await kept.put(row)
    assert not await kept.put(replace(row, sealed=b"old", fence=2))
    assert not await kept.delete(getattr(row, key), 2)
    assert await kept.all() == (row,)


@pytest.mark.parametrize("fence", [3, 4])
@pytest.mark.parametrize(("table", "key", "row"), TABLES)
async def test_who_is_not_overtaken_replaces_and_deletes(store, table, key, row, fence):
    kept = getattr(store, table)
    await kept.put(row)
    new = replace(row, sealed=b"new", fence=fence)
    assert await kept.put(new)
    assert await kept.all() == (new,)
    assert await kept.delete(getattr(row, key), fence)
    assert not await kept.delete(getattr(row, key), fence)
    assert await kept.all() == ()


async def test_of_many_who_write_at_once_the_highest_fence_stays(store):
    rows = [replace(CERTIFICATE, sealed=b"%d" % fence, fence=fence) for fence in (4, 9, 1, 7, 2)]
    await asyncio.gather(*map(store.certificates.put, rows))
    assert await store.certificates.all() == (rows[1],)


async def test_a_certificate_can_be_hurried_by_who_has_no_fence(store):
    await store.certificates.put(CERTIFICATE)
    assert await store.certificates.hurry("a.example.com")
    assert await store.certificates.all() == (replace(CERTIFICATE, renew_at=0.0),)
    assert not await store.certificates.hurry("b.example.com")


async def test_a_name_can_be_hurried_by_who_has_no_fence(store):
    await store.acme_orders.put(ORDER)
    assert await store.acme_orders.hurry("a.example.com")
    assert await store.acme_orders.all() == (replace(ORDER, next_at=0.0),)
    assert not await store.acme_orders.hurry("b.example.com")


async def test_proofs_are_pending_until_they_expire(store):
    other = replace(PROOF, token="B", expires_at=NOW + 30)
    await store.acme_proofs.put(PROOF)
    await store.acme_proofs.put(other)
    assert await store.acme_proofs.pending(NOW) == (other, PROOF)
    assert await store.acme_proofs.pending(NOW + 30) == (PROOF,)


async def test_a_proof_replaces_the_one_with_its_token(store):
    await store.acme_proofs.put(PROOF)
    new = replace(PROOF, sealed=b"new")
    await store.acme_proofs.put(new)
    assert await store.acme_proofs.pending(NOW) == (new,)


async def test_the_proofs_of_a_name_are_cleared_and_told(store):
    other = replace(PROOF, token="other", name="b.example.com")
    second = replace(PROOF, token="z-token", kind="tls-alpn-01")
    for row in (second, other, PROOF):
        await store.acme_proofs.put(row)
    assert await store.acme_proofs.clear("a.example.com") == (PROOF, second)
    assert await store.acme_proofs.clear("a.example.com") == ()
    assert await store.acme_proofs.pending(NOW) == (other,)


async def test_expired_proofs_are_swept_some_at_a_time(store):
    for number in range(3):
        await store.acme_proofs.put(replace(PROOF, token=f"t{number}", expires_at=NOW))
    await store.acme_proofs.put(PROOF)
    assert await store.acme_proofs.sweep(NOW, 2) == 2
    assert await store.acme_proofs.sweep(NOW, 2) == 1
    assert await store.acme_proofs.pending(0.0) == (PROOF,)
