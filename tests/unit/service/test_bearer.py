"""Signed tokens: whose are taken, with which keys, and who comes with them (attacks.md O5, O6, O11)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jws import JWSRegistry
from msgspec.structs import replace

from tests.unit.protocol.test_access_token import CLAIMS, ISSUER, KEY, signing_key
from tests.unit.service.callers import CI, Internet, People, basic, bearer, host_of, proofs_of, signed
from tests.unit.service.conftest import Clock
from vestibule.core.claim import LISTS
from vestibule.core.credential import NOTHING, USUAL_CLAIMS, Accepted, Issuer
from vestibule.core.route import Host
from vestibule.errors import CredentialRefused, ProviderInvalid, ProviderUnavailable, UserDisabled
from vestibule.model import Caller
from vestibule.protocol import base64url
from vestibule.providers.kit import Discovery, Keys
from vestibule.service.bearer import Signed

ANYBODY = Issuer(name="require_jwt:app.example", jwks_url="https://keys.example/any", verifies=True)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.people = People()
        self.internet = Internet()
        self.signed = Signed(proofs_of(self.people, self.clock), self.internet, now=self.clock.now)

    async def load(self, token: str, accepted: Accepted | None = None) -> Caller:
        host = host_of(accepted or Accepted(issuers=(CI,)))
        assert self.signed.takes(host, bearer(token))
        return await self.signed.load(host, bearer(token), "192.0.2.1", self.clock.now())

    async def refused(self, token: str, accepted: Accepted | None = None) -> CredentialRefused:
        with pytest.raises(CredentialRefused) as told:
            await self.load(token, accepted)
        assert (told.value.status, told.value.code) == (401, "invalid_token")
        return told.value


@pytest.fixture
def world() -> World:
    return World()


HOST = host_of(Accepted(issuers=(CI,)))


@pytest.mark.parametrize(
    ("host", "authorization", "taken"),
    [
        pytest.param(HOST, bearer(signed()), True, id="the issuer's"),
        pytest.param(HOST, bearer(signed(aud="x")), True, id="the issuer's for somebody else"),
        pytest.param(HOST, bearer(signed(signing_key())), True, id="forged in the issuer's name"),
        pytest.param(HOST, bearer(signed(iss=ISSUER + "/")), False, id="issuer with a slash"),
        pytest.param(HOST, bearer(signed(without="iss")), False, id="nobody's"),
        pytest.param(HOST, bearer("opaque"), False, id="opaque"),
        pytest.param(HOST, basic("a", signed()), False, id="Basic"),
        pytest.param(HOST, b"DPoP " + signed().encode(), False, id="another scheme"),
        pytest.param(HOST, b"", False, id="nothing"),
        pytest.param(host_of(NOTHING), bearer(signed()), False, id="host without issuers"),
        pytest.param(
            host_of(Accepted(issuers=(ANYBODY,))), bearer(signed(without="iss")), True, id="anybody's"
        ),
        pytest.param(
            host_of(Accepted(issuers=(replace(CI, verifies=False),))),
            bearer(signed()),
            False,
            id="an issuer that is asked about all",
        ),
    ],
)
def test_what_is_taken(world: World, host: Host, authorization: bytes, taken: bool):
    assert world.signed.takes(host, authorization) is taken


async def test_a_token_says_who_comes_with_which_scopes_and_until_when(world: World):
    token = signed(
        scope="read write",
        email="Alice@EXAMPLE.com",
        email_verified=True,
        preferred_username="al",
        name="Alice",
        groups=["staff"],
    )
    caller = await world.load(token)
    (identity,) = caller.identities
    assert (caller.kind, caller.scopes, caller.expires_at) == (
        "jwt",
        {"read", "write"},
        world.clock.now() + 300,
    )
    assert (identity.client, identity.issuer, identity.subject) == ("ci", ISSUER, "alice")
    assert (identity.login, identity.name, identity.email) == ("al", "Alice", "Alice@example.com")
    assert identity.groups == ("staff",)
    assert "groups" not in identity.unknown
    assert "roles" in identity.unknown
    assert token not in repr(caller)


async def test_an_address_that_is_not_verified_is_none(world: World):
    for verified in (False, "true", None):
        caller = await world.load(
            signed(email="alice@example.com", email_verified=verified, jti=str(verified))
        )
        assert caller.identities[0].email == ""


@pytest.mark.parametrize("names_key", [True, False], ids=["key named", "no key named"])
async def test_o5_an_issuer_signs_with_its_own_algorithms_only(world: World, names_key: bool):
    """The key fits and the signature is good: what isn't the issuer's is the algorithm."""
    token = signed() if names_key else _without_kid(KEY)
    assert (await world.load(token, Accepted(issuers=(replace(CI, algorithms=("ES256",)),)))).kind == "jwt"
    narrow = Accepted(issuers=(replace(CI, algorithms=("RS256", "EdDSA")),))
    assert "alg" in (await world.refused(token, narrow)).detail


async def test_an_issuer_is_believed_about_its_domains_only(world: World):
    narrow = Accepted(issuers=(replace(CI, email_domains=("example.com",)),))
    for email, believed in (("a@example.com", "a@example.com"), ("a@evil.example", "")):
        caller = await world.load(signed(email=email, email_verified=True), narrow)
        assert caller.identities[0].email == believed


async def test_claims_are_found_where_the_operator_says(world: World):
    mapping = {**USUAL_CLAIMS, "groups": "realm.groups", "team": "team_name", "login": ""}
    accepted = Accepted(issuers=(replace(CI, claims=mapping),))
    token = signed(realm={"groups": ["a"]}, team_name="core", preferred_username="x")
    (identity,) = (await world.load(token, accepted)).identities
    assert (identity.groups, identity.claims, identity.login) == (("a",), {"team": "core"}, "")


@pytest.mark.parametrize("groups", ["staff", [1], {"staff": True}])
async def test_groups_of_the_wrong_type_refuse_the_token(world: World, groups: Any):
    error = await world.refused(signed(groups=groups))
    assert "claim_invalid" in error.detail


async def test_what_is_not_said_is_unknown(world: World):
    assert (await world.load(signed())).identities[0].unknown == LISTS


# -- what is refused, and what is told of it ----------------------------------------------------


@pytest.mark.parametrize(
    ("token", "why"),
    [
        pytest.param(signed(aud="https://other.example"), "aud", id="for another"),
        pytest.param(signed(exp=1), "expired", id="expired"),
        pytest.param(signed(signing_key("k1")), "signature", id="forged"),
        pytest.param(signed()[:-2], "signature", id="truncated"),
        pytest.param(signed(kind="logout+jwt"), "typ", id="logout token"),
        pytest.param(signed(cnf={"jkt": "x"}), "cnf", id="bound to a key"),
    ],
)
async def test_o11_a_token_of_the_issuer_that_does_not_fit_is_refused(world: World, token: str, why: str):
    error = await world.refused(token)
    assert f"ci: {why}:" in error.detail
    assert token not in error.detail + error.message
    assert error.message == ("it has expired" if why == "expired" else "it is not good here")


async def test_o11_a_refused_token_is_refused_again_and_a_good_one_beside_it_is_not_hurt(world: World):
    await world.load(signed())
    await world.refused(signed()[:-2])
    await world.refused(signed()[:-2])
    await world.load(signed())


STRICT = replace(CI, name="require_jwt:app.example/a/", audience=("https://strict.example",))


@pytest.mark.parametrize(
    ("audience", "clients"),
    [
        ("https://api.example", ["ci"]),
        ("https://strict.example", ["require_jwt:app.example/a/"]),
        (["https://api.example", "https://strict.example"], ["ci", "require_jwt:app.example/a/"]),
    ],
)
async def test_a_token_is_good_by_each_of_the_hosts_demands_that_it_meets(
    world: World, audience: Any, clients: list[str]
):
    caller = await world.load(signed(aud=audience), Accepted(issuers=(CI, STRICT)))
    assert [identity.client for identity in caller.identities] == clients


async def test_a_token_that_meets_none_is_refused_for_the_first_ones_reason(world: World):
    error = await world.refused(signed(aud="x"), Accepted(issuers=(CI, STRICT)))
    assert error.detail.startswith("ci: aud:")


async def test_what_the_keys_alone_vouch_for_is_no_narrower_issuers_word(world: World):
    """Threat: a token for another audience, let in by keys that a route takes, counts where the issuer's word does."""
    caller = await world.load(signed(aud="x"), Accepted(issuers=(CI, ANYBODY)))
    assert [identity.client for identity in caller.identities] == ["require_jwt:app.example"]


async def test_an_issuer_that_is_away_hurts_no_token_that_another_takes(world: World):
    away = replace(CI, name="away", url="", jwks_url="https://away.example")
    world.internet.away.add("https://away.example")
    caller = await world.load(signed(), Accepted(issuers=(away, CI)))
    assert [identity.client for identity in caller.identities] == ["ci"]
    with pytest.raises(ProviderUnavailable):
        await world.load(signed(jti="2"), Accepted(issuers=(away,)))


# -- keys -----------------------------------------------------------------------------------------


async def test_keys_are_found_by_the_issuers_metadata(world: World):
    await world.load(signed())
    assert world.internet.asked == [Discovery(ISSUER), Keys("https://keys.example/jwks", "k1", ISSUER)]


async def test_keys_the_operator_names_need_no_metadata(world: World):
    await world.load(signed(), Accepted(issuers=(replace(CI, jwks_url="https://keys.example/mine"),)))
    assert world.internet.asked == [Keys("https://keys.example/mine", "k1", "")]


async def test_o11_a_good_token_is_verified_once_in_a_minute(world: World):
    token = signed()
    for _ in range(5):
        await world.load(token, HOST.accepts)
    assert len(world.internet.asked) == 2


async def test_o6_a_token_that_names_no_key_gets_one_more_try_with_fresh_keys(world: World):
    other = signing_key("k2")
    jwk = {name: value for name, value in other.public_jwk().items() if name != "kid"}
    world.internet.keys = ()
    world.internet.fresh_keys = (jwk,)
    await world.load(_without_kid(other))
    assert [ask.kid for ask in world.internet.asked if isinstance(ask, Keys)] == [None, ""]


async def test_o6_a_token_that_names_a_key_nobody_has_costs_one_question(world: World):
    await world.refused(signed(signing_key("made-up")))
    assert [ask.kid for ask in world.internet.asked if isinstance(ask, Keys)] == ["made-up"]


async def test_o4_keys_that_stand_in_the_token_are_not_asked_for(world: World):
    assert KEY.kid == "k1"
    await world.load(signed())
    urls = {ask.url for ask in world.internet.asked if isinstance(ask, Keys)}
    assert urls == {"https://keys.example/jwks"}


async def test_metadata_of_another_issuer_is_the_issuers_fault(world: World):
    world.internet.metadata = {"issuer": "https://evil.example", "jwks_uri": "https://evil.example/"}
    with pytest.raises(ProviderInvalid):
        await world.load(signed())


async def test_an_issuer_that_is_away_says_nothing_of_the_token(world: World):
    world.internet.metadata = {"issuer": ISSUER}
    with pytest.raises(ProviderInvalid):
        await world.load(signed())


# -- the person -----------------------------------------------------------------------------------


async def test_a_token_of_a_provider_people_sign_in_with_is_the_same_persons(world: World):
    world.people.add("u1", ISSUER, "alice")
    assert (await world.load(signed())).user_id == "u1"


async def test_who_is_blocked_here_is_not_let_in_by_a_token(world: World):
    world.people.add("u1", ISSUER, "alice")
    world.people.block(ISSUER, "alice")
    with pytest.raises(UserDisabled):
        await world.load(signed())


async def test_who_signs_for_any_issuer_speaks_of_nobody_elses_accounts(world: World):
    """Threat: keys without an issuer sign a token in the name of Google, and are somebody's account there."""
    world.people.add("u1", "https://accounts.google.com", "alice")
    caller = await world.load(signed(iss="https://accounts.google.com"), Accepted(issuers=(ANYBODY,)))
    assert caller.identities[0].issuer == "https://keys.example/any"
    assert caller.user_id == ""


def _without_kid(key: Any) -> str:
    """A token of this key that doesn't name it."""
    parts = [{"alg": "ES256", "typ": "at+jwt"}, CLAIMS]
    text = ".".join(base64url.encode(json.dumps(part).encode()) for part in parts)
    signature = JWSRegistry.algorithms["ES256"].sign(text.encode(), key._key)
    return f"{text}.{base64url.encode(signature)}"
