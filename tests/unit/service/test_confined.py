"""A provider of an organisation, as it was opened, speaks of that organisation alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from vestibule.config.row import read_row
from vestibule.core.organisation import Organisation
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol.logout_token import LogoutToken
from vestibule.providers.base import EndsSessions, Recheck, RedirectLogin, SignedIn
from vestibule.service.confined import NOWHERE, believed_within, confine, issuer_here, org_of

ACME = Organisation(id="o1", slug="acme", name="Acme", created_at=0.0, updated_at=0.0)
SAID = Identity(
    client="acme.okta",
    issuer="https://idp",
    subject="1",
    email="ann@acme.example",
    groups=("admins",),
    orgs=("beta",),
    claims={"x": "y"},
)
HERE = msgspec.structs.replace(
    SAID,
    issuer="org:o1:https://idp",
    login="ann@acme.example",
    groups=("acme/admins",),
    orgs=(),
    claims={},
)


class Stub:
    """Says what it is told to."""

    def __init__(self, said: Identity = SAID) -> None:
        self.said = said
        self.asked: list[Identity] = []

    def finish(self, _answer: Any) -> Any:
        yield "asked"
        return SignedIn(identity=self.said)

    def recheck(self, identity: Identity, _tokens: Tokens, _now: float) -> Any:
        self.asked.append(identity)
        yield "asked"
        return self.said

    def ended(self, _raw: Secret, _now: float) -> Any:
        yield "asked"
        return LogoutToken(issuer="https://idp", subject="1", sid="s", jti="j", issued_at=0.0, until=1.0)


def run(flow: Any) -> Any:
    assert next(flow) == "asked"
    with pytest.raises(StopIteration) as done:
        flow.send(None)
    return done.value.value


@pytest.fixture
def stub() -> Stub:
    made = Stub()
    confine(made, ACME, ("acme.example",))  # type: ignore[arg-type]  # what of a provider is looked at
    return made


def test_who_signs_in_is_of_that_organisation(stub):
    assert run(stub.finish(None)).identity == HERE


def test_who_is_asked_about_again_is_asked_about_as_the_provider_knows_them(stub):
    assert run(stub.recheck(HERE, None, 0.0)) == HERE
    assert [one.issuer for one in stub.asked] == ["https://idp"]


def test_a_logout_ends_sessions_of_that_organisation(stub):
    assert run(stub.ended(Secret(""), 0.0)).issuer == "org:o1:https://idp"
    assert issuer_here(stub, "https://idp") == "org:o1:https://idp"


def test_an_operators_provider_is_as_it_was():
    assert org_of(Stub()) == ""
    assert issuer_here(Stub(), "https://idp") == "https://idp"


@pytest.mark.parametrize("email", ["ann@beta.example", "ann@sub.acme.example", ""])
def test_no_address_of_other_domains_counts(email):
    made = Stub(msgspec.structs.replace(SAID, email=email))
    confine(made, ACME, ("acme.example",))  # type: ignore[arg-type]
    assert run(made.finish(None)).identity.email == ""


def opened(domains: list[str], verified: tuple[str, ...]) -> Any:
    row = read_row(
        {
            "id": "acme.okta",
            "provider_type": "oidc",
            "email_domains": domains,
            "openid_config": {
                "client_id": "c",
                "client_secret": "s",
                "issuer_url": "https://acme.okta.com",
            },
        }
    )
    return believed_within(row.config, verified)


def test_a_provider_is_believed_within_what_is_verified_of_what_is_written():
    assert opened(["acme.example", "x.example"], ("acme.example",)).email_domains == ("acme.example",)
    assert opened(["x.example"], ("acme.example",)).email_domains == (NOWHERE,)
    assert opened(["x.example"], ()).email_domains == (NOWHERE,)


def test_a_real_one_can_all_that_it_could():
    config = opened(["acme.example"], ("acme.example",))
    plain, theirs = config.open(), config.open()
    confine(theirs, ACME, ("acme.example",))
    for capability in (RedirectLogin, Recheck, EndsSessions):
        assert isinstance(theirs, capability) == isinstance(plain, capability)
