"""Signing in with Entra ID: which tenants, whose addresses, and all of somebody's groups or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import NOW, form_of, jwks_of, play, reply, start, token_reply
from tests.unit.providers.signing import metadata_of, recheck, refused, sign_in
from tests.unit.providers.test_oidc import RSA, id_token
from vestibule.errors import ClientError, ProviderError, ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Secret, Tokens
from vestibule.providers.entra import PERSONAL, Entra, EntraConfig
from vestibule.providers.kit import Discovery, Get, PostForm

LOGIN = "https://login.microsoftonline.com"
CORP = "11111111-aaaa-bbbb-cccc-222222222222"
EVIL = "66666666-aaaa-bbbb-cccc-666666666666"
OID = "0a0a0a0a-1111-2222-3333-444444444444"
TEMPLATE = f"{LOGIN}/{{tenantid}}/v2.0"
GRAPH = "https://graph.microsoft.com/v1.0/me/transitiveMemberOf/microsoft.graph.group"


def issuer_of(tenant: str) -> str:
    return f"{LOGIN}/{tenant}/v2.0"


def client(**fields: Any) -> Entra:
    return EntraConfig(
        **{"name": "ms", "client_id": "cid", "client_secret": Secret("s"), "tenant": CORP, **fields}
    ).open()


def many(*allowed: str, **fields: Any) -> Entra:
    return client(tenant="organizations", allowed_tenants=allowed or (CORP,), **fields)


def came(op: Entra, *then: Any, tid: Any = CORP, **claims: Any) -> Any:
    issuer = TEMPLATE if op._entra.tenant in {"common", "organizations"} else issuer_of(CORP)
    claims = {"iss": issuer_of(tid), "tid": tid, "oid": OID, "groups": None, **claims}
    return sign_in(op, *then, metadata=metadata_of(issuer), **claims)[0]


# Tenants


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, Discovery(issuer_of(CORP), f"{LOGIN}/{CORP}/v2.0/.well-known/openid-configuration")),
        (
            {"tenant": "organizations", "allowed_tenants": (CORP,)},
            Discovery(TEMPLATE, f"{LOGIN}/organizations/v2.0/.well-known/openid-configuration"),
        ),
        (
            {"tenant": "corp.example"},
            Discovery("", f"{LOGIN}/corp.example/v2.0/.well-known/openid-configuration"),
        ),
        (
            {"tenant": "consumers"},
            Discovery(issuer_of(PERSONAL), f"{LOGIN}/consumers/v2.0/.well-known/openid-configuration"),
        ),
        (
            {"login_url": "https://login.microsoftonline.us/"},
            Discovery(
                f"https://login.microsoftonline.us/{CORP}/v2.0",
                f"https://login.microsoftonline.us/{CORP}/v2.0/.well-known/openid-configuration",
            ),
        ),
    ],
    ids=["by ID", "many", "by domain", "personal", "another cloud"],
)
def test_metadata_is_that_of_the_tenant(fields: dict[str, Any], asked: Discovery) -> None:
    flow = client(**fields).start(start())
    assert next(flow) == asked


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"tenant": ""}, "tenant"),
        ({"tenant": "a/../b"}, "tenant"),
        ({"tenant": CORP.upper()}, "tenant"),
        ({"tenant": "common"}, "allowed_tenants"),
        ({"tenant": "organizations"}, "allowed_tenants"),
        ({"allowed_tenants": ("corp.example",)}, "allowed_tenants"),
        ({"issuer": issuer_of(CORP)}, "issuer"),
        ({"graph_url": ""}, "graph_url"),
        ({"federated_token_file": "/t"}, "federated_token_file"),
        (
            {"federated_token_file": "/t", "client_secret": Secret(""), "is_trusted": False},
            "federated_token_file",
        ),
    ],
)
def test_what_cannot_work_or_would_let_in_anybody_is_refused(fields: dict[str, Any], about: str) -> None:
    with pytest.raises(ValueError, match=rf"^{about} "):
        client(**fields)


def test_a_person_is_the_tenants_issuer_and_oid() -> None:
    identity = came(many(), sub="pairwise")
    assert (identity.issuer, identity.subject) == (issuer_of(CORP), OID)
    assert identity.orgs == (CORP,)


def test_the_same_address_in_two_tenants_is_two_people() -> None:
    op = many(CORP, EVIL)
    one, other = came(op), came(op, tid=EVIL)
    assert (one.issuer, one.subject) != (other.issuer, other.subject)
    assert one.email == other.email == "alice@example.com"  # email_verified: Microsoft says so, of both


def test_an_account_of_a_tenant_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(ClientError) as caught:
        came(many(CORP), tid=EVIL)
    assert refused(caught.value)


def test_a_tenant_by_its_domain_is_whichever_its_metadata_names() -> None:
    op = client(tenant="corp.example")
    claims = {"iss": issuer_of(CORP), "tid": CORP, "oid": OID}
    assert sign_in(op, metadata=metadata_of(issuer_of(CORP)), **claims)[0].issuer == issuer_of(CORP)
    with pytest.raises(ProviderInvalid):
        sign_in(op, metadata=metadata_of(issuer_of(CORP)), **{**claims, "tid": EVIL, "iss": issuer_of(EVIL)})


@pytest.mark.parametrize(
    "issuer", ["https://evil.example/x/v2.0", f"{LOGIN}/corp.example/v2.0", TEMPLATE, None]
)
def test_metadata_that_is_no_tenants_is_not_believed(issuer: Any) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        play(client(tenant="corp.example").start(start()), metadata_of("") | {"issuer": issuer})
    assert caught.value.code == "wrong_issuer"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": issuer_of(EVIL)}, "id_token_iss"),
        ({"iss": TEMPLATE}, "id_token_iss"),
        ({"tid": EVIL, "iss": issuer_of(CORP)}, "id_token_iss"),
        ({"tid": None}, "id_token_tid"),
        ({"tid": "x/../y"}, "id_token_tid"),
        ({"tid": [CORP]}, "id_token_tid"),
        ({"oid": None}, "id_token_oid"),
        ({"oid": "alice@corp.example"}, "id_token_oid"),
    ],
)
def test_a_token_whose_tenant_and_issuer_do_not_fit_signs_nobody_in(
    claims: dict[str, Any], code: str
) -> None:
    merged = {"iss": issuer_of(CORP), "tid": CORP, "oid": OID, **claims}
    with pytest.raises(ProviderInvalid) as caught:
        sign_in(many(), metadata=metadata_of(TEMPLATE), **merged)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("bound_to", "is_good"),
    [(None, True), (TEMPLATE, True), (issuer_of(CORP), True), (issuer_of(PERSONAL), False)],
)
def test_a_key_that_is_one_tenants_signs_for_no_other(bound_to: str | None, *, is_good: bool) -> None:
    keys = ({**RSA.public_jwk(), **({"issuer": bound_to} if bound_to else {})},)
    claims = {"iss": issuer_of(CORP), "tid": CORP, "oid": OID}
    if is_good:
        assert sign_in(many(), metadata=metadata_of(TEMPLATE), keys=keys, **claims)
        return
    with pytest.raises(ProviderInvalid) as caught:
        sign_in(many(), metadata=metadata_of(TEMPLATE), keys=keys, **claims)
    assert caught.value.code == "id_token_key"


# Addresses


ONE = {"email_domains": ("example.com",)}
UNSAID: dict[str, Any] = {"email_verified": None}


@pytest.mark.parametrize(
    ("fields", "claims", "is_believed"),
    [
        ({}, UNSAID, False),
        ({}, {"email_verified": "true"}, False),
        ({}, {"email_verified": True}, True),
        ({}, {**UNSAID, "xms_edov": True}, True),
        ({}, {**UNSAID, "xms_edov": "1"}, True),
        ({}, {**UNSAID, "xms_edov": False}, False),
        ({}, {**UNSAID, "xms_edov": "0"}, False),
        ({"assume_email_verified": True}, UNSAID, True),
        (ONE, UNSAID, True),
        (ONE, {**UNSAID, "email": "alice@evil.example"}, False),
        (ONE, {**UNSAID, "email": "alice@evil.example@example.com"}, False),
        (ONE, {**UNSAID, "acct": 1}, False),
        (ONE, {**UNSAID, "idp": f"https://sts.windows.net/{EVIL}/"}, False),
        (ONE, {**UNSAID, "idp": f"https://sts.windows.net/{CORP}/", "acct": 0}, True),
        ({**ONE, "tenant": "organizations", "allowed_tenants": (CORP,)}, UNSAID, True),
        ({**ONE, "tenant": "organizations", "allowed_tenants": (CORP, EVIL)}, UNSAID, False),
        (
            {**ONE, "tenant": "organizations", "allowed_tenants": (CORP, EVIL)},
            {**UNSAID, "xms_edov": True},
            True,
        ),
    ],
)
def test_an_address_counts_where_somebody_vouches_for_it(
    fields: dict[str, Any], claims: dict[str, Any], *, is_believed: bool
) -> None:
    """nOAuth: the admin of any tenant writes any address into an account of theirs."""
    assert bool(came(client(**fields), **claims).email) is is_believed


# Groups


OVERAGE = {
    "_claim_names": {"groups": "src1"},
    "_claim_sources": {"src1": {"endpoint": "https://evil.example"}},
}


def group(number: int, **members: Any) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.group",
        "id": f"g{number}",
        "displayName": f"Group {number}",
        **members,
    }


def page(*numbers: int, following: str = "") -> Any:
    more = {"@odata.nextLink": following} if following else {}
    return reply({"value": [group(number) for number in numbers], **more})


def test_groups_of_the_token_are_taken_as_they_are() -> None:
    identity = came(client(), groups=["g1", "g2"])
    assert identity.groups == ("g1", "g2")
    assert "groups" in came(client()).unknown


@pytest.mark.parametrize("sign", [OVERAGE, {"hasgroups": True}, {"hasgroups": "true"}])
def test_groups_that_are_too_many_for_the_token_are_asked_for_page_by_page(sign: dict[str, Any]) -> None:
    op = client()
    found, asked = sign_in(
        op,
        page(1, 2, following=f"{GRAPH}?$skiptoken=a"),
        page(3, following=f"{GRAPH}?$skiptoken=b"),
        page(4),
        metadata=metadata_of(issuer_of(CORP)),
        tid=CORP,
        oid=OID,
        groups=None,
        **sign,
    )
    assert found.groups == ("g1", "g2", "g3", "g4")
    gets = [ask for ask in asked if isinstance(ask, Get)]
    assert [ask.url for ask in gets[1:]] == [f"{GRAPH}?$skiptoken=a", f"{GRAPH}?$skiptoken=b"]
    assert gets[0].url == f"{GRAPH}?$select=id,displayName&$top=999&$count=true"
    assert all(ask.bearer == Secret("at-1") for ask in gets)
    assert ("ConsistencyLevel", "eventual") in gets[0].headers


BAD_PAGES: dict[str, tuple[Any, type[ProviderError]]] = {
    "a 500": (reply({}, 500), ProviderUnavailable),
    "too many requests": (reply({}, 429), ProviderUnavailable),
    "no answer": (ProviderUnavailable("down"), ProviderUnavailable),
    "refused": (reply({"error": {"code": "Authorization_RequestDenied"}}, 403), ProviderInvalid),
    "another content type": (reply(b"<html>", kind="text/html"), ProviderInvalid),
    "no list": (reply({"value": {"id": "g1"}}), ProviderInvalid),
    "nothing": (reply({}), ProviderInvalid),
    "a group without ID": (reply({"value": [{"displayName": "x"}]}), ProviderInvalid),
    "an ID that is a number": (reply({"value": [{"id": 5}]}), ProviderInvalid),
    "a text in place of a group": (reply({"value": ["g1"]}), ProviderInvalid),
    "a next page elsewhere": (page(1, following="https://evil.example/next"), ProviderInvalid),
    "a next page that is this one": (page(1, following=f"{GRAPH}?$skiptoken=a"), ProviderInvalid),
}


@pytest.mark.parametrize(("bad", "error"), BAD_PAGES.values(), ids=BAD_PAGES.keys())
@pytest.mark.parametrize("number", [1, 2])
def test_a_page_that_fails_lets_nobody_in(bad: Any, error: type[ProviderError], number: int) -> None:
    pages = [page(1, following=f"{GRAPH}?$skiptoken=a"), bad] if number == 2 else [bad]
    if number == 1 and getattr(bad, "body", b"").endswith(b'skiptoken=a"}'):
        pages.append(bad)
    with pytest.raises(error):
        came(client(allowed_groups=("g1",)), *pages, **OVERAGE)


@pytest.mark.parametrize("groups", ["g1", {"g1": True}, [1], [["g1"]], 5])
def test_groups_of_a_wrong_type_let_nobody_in(groups: Any) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        came(client(), groups=groups)
    assert caught.value.code == "claim_invalid"


def test_an_allowed_group_lets_in_and_its_absence_does_not() -> None:
    op = client(allowed_groups=("g2",))
    assert came(op, groups=["g1", "g2"])
    assert came(op, page(1, following=f"{GRAPH}?$skiptoken=a"), page(2), **OVERAGE)
    for then, claims in (([], {"groups": ["g1"]}), ([page(1)], OVERAGE), ([], {})):
        with pytest.raises(ClientError) as caught:
            came(op, *then, **claims)
        assert refused(caught.value)


def test_groups_by_name_are_always_asked_for() -> None:
    op = client(group_names=True)
    assert "GroupMember.Read.All" in op.scopes
    assert came(op, page(1), groups=["g9"]).groups == ("Group 1",)
    nameless = reply({"value": [group(1, displayName=None)]})
    with pytest.raises(ProviderInvalid, match="list"):
        came(op, nameless)


def test_app_roles_are_roles() -> None:
    op = client(allowed_roles=("Admin",))
    assert came(op, roles=["Admin", "Reader"]).roles == ("Admin", "Reader")
    with pytest.raises(ClientError):
        came(op, roles=["Reader"])
    with pytest.raises(ProviderInvalid):
        came(op, roles="Admin")


# Looked at again


def test_somebody_is_looked_at_again_by_a_new_token_and_out_when_their_group_is_gone() -> None:
    op = client(allowed_groups=("g1",))
    identity = came(op, groups=["g1"])
    claims: dict[str, Any] = {
        "metadata": metadata_of(issuer_of(CORP)),
        "iss": issuer_of(CORP),
        "tid": CORP,
        "oid": OID,
    }
    assert recheck(op, identity, groups=["g1", "g2"], **claims).groups == ("g1", "g2")
    assert recheck(op, identity, page(1), **claims, **OVERAGE, groups=None).groups == ("g1",)
    with pytest.raises(ClientError) as caught:
        recheck(op, identity, groups=["g2"], **claims)
    assert refused(caught.value)


def test_without_a_new_token_nothing_can_be_said() -> None:
    op = client()
    identity = came(op, groups=["g1"])
    old = Tokens(access_token=Secret("at"), id_token=Secret(id_token(iat=int(NOW) - 3500)))
    with pytest.raises(ProviderRefused):
        play(op.recheck(identity, old, NOW), metadata_of(issuer_of(CORP)))


# The client itself


def test_a_workload_shows_its_own_token_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    op = client(client_secret=Secret(""), federated_token_file=str(file))
    tokens = Tokens(access_token=Secret("at"), refresh_token=Secret("rt"))
    for text in ("first", "second"):
        file.write_text(f"{text}\n")
        _, asked = play(op.refresh(tokens, NOW), metadata_of(issuer_of(CORP)), token_reply())
        assert isinstance(asked[1], PostForm)
        assert form_of(asked[1])["client_assertion"] == text
        assert form_of(asked[1])["client_id"] == "cid"
    file.unlink()
    with pytest.raises(ProviderInvalid) as caught:
        play(op.refresh(tokens, NOW), metadata_of(issuer_of(CORP)))
    assert caught.value.code == "federated_token"


def test_people_are_sent_off_with_what_graph_and_refreshes_need() -> None:
    url, _ = play(
        client().start(start(hd="corp.example", prompt="select_account")), metadata_of(issuer_of(CORP))
    )
    query = dict(parse_qsl(urlsplit(url).query))
    assert query["scope"] == "openid profile email offline_access User.Read"
    assert (query["domain_hint"], query["prompt"]) == ("corp.example", "select_account")
    assert query["code_challenge_method"] == "S256"
    assert "nonce" in query


def test_a_refreshed_token_of_somebody_else_is_not_taken() -> None:
    op = client()
    old = id_token(iss=issuer_of(CORP), tid=CORP, oid=OID)
    new = id_token(iss=issuer_of(CORP), tid=CORP, oid=OID, sub="bob", nonce=None)
    tokens = Tokens(access_token=Secret("at"), refresh_token=Secret("rt"), id_token=Secret(old))
    found = metadata_of(issuer_of(CORP))
    with pytest.raises(ProviderInvalid):
        play(op.refresh(tokens, NOW), found, token_reply(id_token=new), found, jwks_of(RSA))


def test_a_person_rests_on_the_session_that_the_token_names_and_each_tenant_speaks_for_its_own() -> None:
    op = many(CORP)
    found = came(op, sid="s-1")
    assert found.sid == "s-1"
    for tenant in (CORP, EVIL):
        assert op.speaks_for(issuer_of(tenant))
    for issuer in ("", "https://evil.example/v2.0", issuer_of("{tenantid}"), f"{issuer_of(CORP)}/"):
        assert not op.speaks_for(issuer)
