"""Certificates, by the API."""

from __future__ import annotations

from tests.unit.web.api.desk import ApiDesk
from vestibule.core.certificate import Source, Wanted
from vestibule.errors import StoreError
from vestibule.service.acme_states import Failure, NameState


def failing(name: str, next_at: float) -> NameState:
    """An order that failed."""
    return NameState(
        name=name,
        is_ordered=False,
        failures=1,
        failed_at=next_at - 60,
        failure=Failure(
            code="dns",
            advice="point an A record here",
            said="NXDOMAIN looking up A",
            directory="https://ca.example/dir",
            proof="http-01",
        ),
        next_at=next_at,
        not_after_at=None,
        renew_at=None,
        directory="",
    )


def want(api: ApiDesk, *names: str) -> None:
    """Have the configuration order certificates for these."""
    api.keeper.wanted = tuple(Wanted(name=name, source=Source.ACME) for name in names)


def test_a_configured_name_without_a_certificate_is_listed_with_why(api: ApiDesk):
    want(api, "new.example.com", "bad.example.com")
    api.orders = (failing("bad.example.com", api.now + 60),)
    bad, new = api.call("GET", "/certificates").json
    assert (bad["names"], bad["state"], bad["expires_at"]) == (["bad.example.com"], "failing", None)
    assert (bad["why"], bad["advice"]) == ("NXDOMAIN looking up A", "point an A record here")
    assert bad["next_at"] == "2027-01-15T08:01:00Z"
    assert (new["names"], new["state"], new["next_at"]) == (["new.example.com"], "waiting", None)


def test_it_is_listed_while_the_store_is_away(api: ApiDesk, monkeypatch):
    want(api, "new.example.com")

    async def away():
        raise StoreError("away")

    monkeypatch.setattr(api.inventory, "_orders", away)
    (one,) = api.call("GET", "/certificates").json
    assert (one["names"], one["state"]) == (["new.example.com"], "waiting")


def test_what_is_not_ordered_here_is_not_renewed(api: ApiDesk):
    answer = api.call("POST", "/certificates/app.example.com/renew")
    assert (answer.status, answer.json["code"]) == (404, "not_found")
