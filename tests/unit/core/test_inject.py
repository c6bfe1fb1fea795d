"""What a backend is told of the person."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.core.test_known import HOST, identity, session
from vestibule.core.inject import FAMILIES, OWN, Proofs, lines_of, names, told
from vestibule.core.organisation import Organisation, confined
from vestibule.core.passage import Heading, Passage
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, Telling
from vestibule.core.template import parse
from vestibule.model import Caller, Identity, Session
from vestibule.protocol.headers import ALIAS, DROP, FORWARDED, VALUE_LIMIT_BYTES, is_owned, request_kind

OTHERS = tuple(name for name in FAMILIES if name != OWN)
PROOFS = Proofs(handle="sealed", assertion="signed", pomerium="signed for pomerium")


def route(*families: str) -> Route:
    return Route(
        prefix=b"", backend=Backend(), policy=policy_of(allow=()), telling=Telling(families=families)
    )


def host(*families: str, **fields) -> Host:
    return replace(HOST, families=families, **fields)


def sent(who: Session | Caller | None, *families: str, at: Host = HOST) -> dict[str, str]:
    """What a backend gets that is told by these families, beside our own names."""
    lines = lines_of(told(who, replace(at, families=families), route(*families), PROOFS))
    pairs = [line.decode().split(": ", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def by_family(family: str, *identities: Identity, at: Host = HOST) -> dict[str, str]:
    """What these people's backend is told by this family alone."""
    own = [name for name, _ in told(None, HOST, route())]
    return {
        name: value for name, value in sent(session(*identities), family, at=at).items() if name not in own
    }


def from_organisation(slug: str, **said) -> Identity:
    """Somebody whom this organisation's own provider calls as it likes."""
    org = Organisation(id=slug.upper(), slug=slug, name=slug, created_at=0.0, updated_at=0.0)
    known = Identity(client=f"{slug}.idp", issuer="https://issuer", subject="1", login="root", **said)
    return confined(known, org, ())


@pytest.mark.parametrize("kind", ["gitlab", "oidc", "entra"])
@pytest.mark.parametrize("email", ["", "root@app.example"])
@pytest.mark.parametrize("family", FAMILIES)
def test_whom_two_organisations_call_alike_are_two_to_every_backend(family, kind, email):
    """And neither is whom the operator's own provider calls so."""
    kinds = {**HOST.kinds, "acme.idp": kind, "beta.idp": kind, "google": kind}
    at = replace(HOST, kinds=kinds, sign_in=(*HOST.sign_in, "acme.idp", "beta.idp"))
    ours = identity(login="root", email=email)
    people = [from_organisation("acme", email=email), from_organisation("beta", email=email), ours]
    told_of = [
        {value for name, value in told(session(one), replace(at, families=(family,)), route(family)) if value}
        for one in people
    ]
    everybodys = {"u1", "true"}
    for number, known in enumerate(told_of):
        for other in told_of[number + 1 :]:
            assert known & other <= everybodys


# -- our own ----------------------------------------------------------------------------------


def test_all_that_is_known_is_told():
    ada = identity(login="ada", name="Ada", email="ada@app.example", groups=("a", "b"), orgs=("o",))
    assert sent(session(ada, clients=("google", "drive", "app.example/local"))) == {
        "Proxy-Session": "sealed",
        "Proxy-Provider": "google,drive,local",
        "User-Id": "u1",
        "User-Login": "ada",
        "User-Name": "Ada",
        "User-Email": "ada@app.example",
        "User-Groups": "a,b",
        "User-Orgs": "o",
        "Proxy-Assertion": "signed",
    }


def test_what_is_not_known_is_not_told():
    assert sent(session(identity())).keys() == {"Proxy-Session", "User-Id", "Proxy-Assertion"}


def test_nobody_is_told_nothing_of():
    assert lines_of(told(None, host(*OTHERS), route(*OTHERS))) == []


def test_who_is_nobody_here_is_told_by_their_credentials_only():
    who = replace(session(clients=("drive",)), user_id="")
    assert sent(who, *OTHERS).keys() == {
        "Proxy-Session",
        "Proxy-Provider",
        "Proxy-Assertion",
        "X-Pomerium-Jwt-Assertion",
    }


def test_a_caller_is_told_of_without_a_session():
    caller = Caller(id="c1", kind="jwt", identities=(identity("ci", login="deploy"),))
    at = replace(HOST, families=("authelia",))
    assert dict(pair for pair in told(caller, at, route("authelia")) if pair[1]) == {
        "User-Login": "deploy",
        "Remote-User": "deploy",
    }


def test_clients_of_other_hosts_are_not_listed():
    assert "Proxy-Provider" not in sent(session(identity(), clients=("other.example/local", "unknown")))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Zoë", "Zo%C3%AB"),
        ("A B", "A%20B"),
        ("a,b", "a,b"),
        ("50%", "50%25"),
        ("x\r\nX-Admin: 1", "x%0D%0AX-Admin:%201"),
        ("a\0b\x7f", "a%00b%7F"),
        ("!#$&'()*+-./:;<=>?@[]^_`{|}~\"\\", "!#$&'()*+-./:;<=>?@[]^_`{|}~\"\\"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
        ("half \ud83d", "half%20?"),
    ],
    ids=ascii,
)
def test_a_value_is_visible_ascii_and_nothing_is_lost(value, written):
    assert sent(session(identity(name=value)))["User-Name"] == written


def test_a_comma_in_an_item_is_no_new_item():
    assert sent(session(identity(groups=("a,b", "c%", "d e"))))["User-Groups"] == "a%2Cb,c%25,d%20e"


def test_a_list_that_is_too_long_is_left_out_whole():
    """A shortened list of groups would be a wrong one."""
    many = tuple(f"group-{number}" for number in range(2000))
    found = sent(session(identity(groups=many, login="ada")), *OTHERS)
    assert not [name for name in found if name.endswith("Groups")]
    assert found["User-Login"] == found["Remote-User"] == "ada"
    fits = sent(session(identity(name="x" * VALUE_LIMIT_BYTES)))
    assert len(fits["User-Name"]) == VALUE_LIMIT_BYTES


# -- other products' names ------------------------------------------------------------------------

ADA = identity(login="ada", name="Ada Muñoz", email="ada@app.example", groups=("a", "b c"), orgs=("o",))


def test_a_backend_written_for_oauth2_proxy_finds_what_it_knows():
    assert by_family("oauth2-proxy", ADA) == {
        "X-Forwarded-User": "1",
        "X-Forwarded-Email": "ada@app.example",
        "X-Forwarded-Groups": "a,b c",
        "X-Forwarded-Preferred-Username": "ada",
        "X-Auth-Request-User": "1",
        "X-Auth-Request-Email": "ada@app.example",
        "X-Auth-Request-Groups": "a,b c",
        "X-Auth-Request-Preferred-Username": "ada",
    }


def test_a_backend_written_for_vouch_finds_what_it_knows():
    keeping = replace(
        HOST,
        kept_claims=("given_name", "roles", "https://app.example/Level", "levels", "gone", "name", "é"),
    )
    claims = {
        "given_name": "Zoë",
        "roles": ["x", 'y"z', "a,b"],
        "https://app.example/Level": 3,
        "levels": {"a": [True]},
        "é": "e",
    }
    assert by_family("vouch", replace(ADA, claims=claims), at=keeping) == {
        "X-Vouch-User": "ada@app.example",
        "X-Vouch-Success": "true",
        "X-Vouch-IdP-Claims-Sub": "1",
        "X-Vouch-IdP-Claims-Preferred-Username": "ada",
        "X-Vouch-IdP-Claims-Name": "Ada Muñoz",
        "X-Vouch-IdP-Claims-Email": "ada@app.example",
        "X-Vouch-IdP-Claims-Groups": '"a","b c"',
        "X-Vouch-IdP-Claims-Given-Name": "Zoë",
        "X-Vouch-IdP-Claims-Roles": '"x","y\\u0022z","a\\u002cb"',
        "X-Vouch-IdP-Claims-App-Example-Level": "3",
        "X-Vouch-IdP-Claims-Levels": '{"a":[true]}',
    }


def test_a_backend_written_for_authelia_finds_what_it_knows():
    assert by_family("authelia", ADA) == {
        "Remote-User": "ada",
        "Remote-Groups": "a,b c",
        "Remote-Name": "Ada Muñoz",
        "Remote-Email": "ada@app.example",
    }


def test_a_backend_written_for_pomerium_finds_what_it_knows():
    keeping = replace(HOST, kept_claims=("given_name", "roles"))
    claims = {"given_name": "Zoë", "roles": ["x", "a,b", 3, None]}
    assert by_family("pomerium", replace(ADA, claims=claims), at=keeping) == {
        "X-Pomerium-Jwt-Assertion": "signed for pomerium",
        "X-Pomerium-Claim-User": "u1",
        "X-Pomerium-Claim-Name": "Ada Muñoz",
        "X-Pomerium-Claim-Email": "ada@app.example",
        "X-Pomerium-Claim-Groups": "a,b c",
        "X-Pomerium-Claim-Given-Name": "Zoë",
        "X-Pomerium-Claim-Roles": "x,a%2Cb,3",
    }


GITHUB, GOOGLE = "app.example/local", "google"


@pytest.mark.parametrize(
    ("family", "name", "client", "known", "called"),
    [
        ("oauth2-proxy", "X-Forwarded-User", GOOGLE, {"login": "ada"}, "1"),
        ("oauth2-proxy", "X-Forwarded-User", GITHUB, {"login": "ada"}, "ada"),
        ("vouch", "X-Vouch-User", GOOGLE, {"login": "ada", "email": "ada@x.example"}, "ada@x.example"),
        ("vouch", "X-Vouch-User", GITHUB, {"login": "ada", "email": "ada@x.example"}, "ada"),
        ("vouch", "X-Vouch-User", GOOGLE, {"login": "ada"}, "ada"),
        ("vouch", "X-Vouch-User", GOOGLE, {"login": "boss@corp.example"}, None),
        ("authelia", "Remote-User", GOOGLE, {"login": "ada", "email": "ada@x.example"}, "ada"),
        ("authelia", "Remote-User", GOOGLE, {"email": "ada@x.example"}, "ada@x.example"),
        (
            "authelia",
            "Remote-User",
            GOOGLE,
            {"login": "boss@corp.example", "email": "ada@x.example"},
            "ada@x.example",
        ),
        (
            "authelia",
            "Remote-User",
            GOOGLE,
            {"login": "ada@x.example", "email": "ada@x.example"},
            "ada@x.example",
        ),
        ("authelia", "Remote-User", GOOGLE, {"login": "boss@corp.example"}, None),
    ],
    ids=str,
)
def test_people_are_called_as_that_product_called_them(family, name, client, known, called):
    """And a login that looks like an address is nobody's address."""
    assert by_family(family, identity(client, **known)).get(name) == called


# -- whole, for edges -------------------------------------------------------------------------


def test_every_name_of_the_hosts_families_is_there_whoever_asks_and_wherever():
    """attacks.md H3: an edge that sets them all lets none pass that a client sent."""
    at = host(*OTHERS, kept_claims=("team",))
    everything = names(at)
    assert {"User-Groups", "Remote-Groups", "X-Vouch-IdP-Claims-Team", "Proxy-Assertion"} <= {*everything}
    for who in (None, session(), session(identity()), session(ADA)):
        for telling in (route(), route("vouch"), route(*OTHERS)):
            assert tuple(name for name, _ in told(who, at, telling, PROOFS)) == everything


def test_what_another_route_is_told_is_empty_here():
    found = dict(told(session(ADA), host("authelia", "vouch"), route("vouch")))
    assert (found["Remote-User"], found["X-Vouch-User"]) == ("", "ada@app.example")


def test_a_family_that_is_off_has_no_names():
    assert names(HOST) == tuple(name for name, _ in FAMILIES[OWN].headers)


def test_no_client_can_send_what_a_backend_may_be_told():
    """Whether or not the family is switched on."""
    for name in names(host(*OTHERS, kept_claims=("team", "given_name"))):
        assert is_owned(name)
        for spelling in (name, name.lower(), name.replace("-", "_"), name.upper().replace("-", ".")):
            assert is_owned(spelling)
        if name != "Proxy-Session":
            assert request_kind(name.encode() + b": x") in (DROP, FORWARDED, ALIAS)


# -- attacks.md H7 ------------------------------------------------------------------------------

NASTY = [
    "Zoë\r\nX-Admin: 1",
    "a\nb",
    "a\0b",
    "a\x0bb\x1cc\x85d\u2028e",
    "a,admin",
    " admin",
    "admin\t",
    "\u00a0admin\u00a0",
    '"admin"',
    '","admin","',
    "\\",
    '\\","admin',
    "50%",
    "%2Cadmin",
    "%",
    "%%2C",
    "%2%2C",
    "half \ud83d",
    "日本",
]
PLAIN_LISTS = ("X-Forwarded-Groups", "Remote-Groups", "X-Pomerium-Claim-Groups")


@pytest.mark.parametrize("value", NASTY, ids=ascii)
def test_no_claim_makes_a_header_line_or_a_list_item_of_its_own(value):
    check(value, [value, "other"])


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True))
def test_no_text_whatever_does(text, groups):
    check(text, groups)


@given(
    st.text(alphabet='%,"\\ 2Cc\r\u0085a', max_size=12),
    st.lists(st.text(alphabet='%,"\\ 2Cc\ra', min_size=1, max_size=6), min_size=1, max_size=4, unique=True),
)
def test_nor_does_one_made_to(text, groups):
    check(text, groups)


def check(text: str, groups: list[str]) -> None:
    """Each reader sees as many items as there are, and who decodes sees what was said."""
    who = identity(name=text, login="ada", groups=tuple(groups), claims={"team": text, "squads": groups})
    at = replace(HOST, families=OTHERS, kept_claims=("team", "squads"))
    pairs = told(session(who), at, route(*OTHERS), PROOFS)
    for line in lines_of(pairs):
        assert not re.search(rb"[\x00-\x1f\x7f]", line), line
        assert request_kind(line) is not None  # one header line, to our own reader too
    found = dict(pairs)
    whole = text.encode(errors="replace").decode()
    items = [group.encode(errors="replace").decode() for group in groups]
    assert unquote(found["User-Name"]) == whole
    assert unquote(found["Remote-Name"]) == whole
    assert found["Remote-Name"] == found["Remote-Name"].strip()
    assert [unquote(item) for item in found["User-Groups"].split(",")] == items
    for name in (*PLAIN_LISTS, "X-Pomerium-Claim-Squads"):
        parts = found[name].split(",")
        assert [unquote(part.strip()) for part in parts] == items, name
    for name in ("X-Vouch-IdP-Claims-Groups", "X-Vouch-IdP-Claims-Squads"):
        assert found[name].count(",") == len(groups) - 1
        assert json.loads(f"[{found[name]}]") == groups


# -- what a route sets of its own ---------------------------------------------------------------


def heading(name: str, value: str | None = None) -> Heading:
    return Heading(name=name, value=None if value is None else parse(value))


def with_headings(*headings: Heading, families: tuple[str, ...] = ()) -> Route:
    return replace(route(*families), passage=Passage(headers=headings))


TEAM = heading("X-Team", "{claim.team}")
BLUE = identity(login="ada", email="ada@app.example", claims={"team": "blue"})


def test_headers_of_the_routes_own_are_told_to_edges_too_on_every_route_of_the_host():
    at = replace(HOST, header_names=("X-Team", "X-Other"))
    assert names(at)[-2:] == ("X-Team", "X-Other")
    found = dict(told(session(BLUE), at, with_headings(TEAM), PROOFS))
    assert (found["X-Team"], found["X-Other"]) == ("blue", "")
    for pairs in (told(session(BLUE), at, route(), PROOFS), told(None, at, with_headings(TEAM))):
        assert dict(pairs)["X-Team"] == ""
        assert tuple(name for name, _ in pairs) == names(at)


def test_what_a_route_keeps_from_its_backend_is_told_to_no_edge():
    found = dict(told(session(BLUE), HOST, with_headings(heading("user_email")), PROOFS))
    assert (found["User-Email"], found["User-Login"]) == ("", "ada")


def test_what_a_route_sets_stands_in_the_place_of_a_familys_header_once():
    own = heading("X_Auth_Request_User", "{user.id}")
    at = replace(HOST, families=("oauth2-proxy",), header_names=("X_Auth_Request_User",))
    pairs = told(session(BLUE), at, with_headings(own, families=("oauth2-proxy",)), PROOFS)
    assert dict(pairs)["X-Auth-Request-User"] == "u1"
    assert tuple(name for name, _ in pairs) == names(at)
    assert "X_Auth_Request_User" not in names(at)


def test_what_differs_from_request_to_request_is_not_told_with_the_person():
    own = heading("X-Path", "{path}")
    assert "X-Path" not in dict(told(session(BLUE), HOST, with_headings(own), PROOFS))
