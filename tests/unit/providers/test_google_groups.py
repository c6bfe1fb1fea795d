"""Groups of Google Workspace, asked for by a service account: all of them, or nobody comes in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from joserfc.jwk import RSAKey

from tests.unit.providers.player import NOW, form_of, play, reply, token_reply
from tests.unit.providers.signing import recheck, refused, sign_in
from vestibule.errors import ClientError, ProviderError, ProviderInvalid, ProviderUnavailable
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import jose
from vestibule.providers.google import CLOUD_IDENTITY_SCOPE, DIRECTORY_SCOPE, Google, GoogleConfig
from vestibule.providers.kit import Get, PostForm

PEM = RSAKey.generate_key(2048, private=True).as_pem(private=True).decode()
PUBLIC = RSAKey.import_key(PEM).as_dict(private=False) | {"kid": "k1"}
KEY = msgspec.json.encode(
    {
        "type": "service_account",
        "private_key_id": "k1",
        "private_key": PEM,
        "client_email": "robot@p.iam.example",
        "token_uri": "https://token.example/token",
    }
).decode()
DIRECTORY = "https://admin.googleapis.com/admin/directory/v1/groups"
ROBOT = token_reply(access_token="robot-token")


def client(**fields: Any) -> Google:
    given = {
        "name": "google",
        "client_id": "cid",
        "client_secret": Secret("s"),
        "groups_key": Secret(KEY),
        "groups_admin": "admin@corp.example",
    }
    return GoogleConfig(**{**given, **fields}).open()


def page(*names: str, following: str = "") -> Any:
    more = {"nextPageToken": following} if following else {}
    groups = [{"kind": "admin#directory#group", "email": f"{name}@corp.example"} for name in names]
    return reply({"kind": "admin#directory#groups", **({"groups": groups} if groups else {}), **more})


def came(op: Google, *then: Any, **claims: Any) -> Identity:
    return sign_in(op, *then, **{"hd": "corp.example", "groups": None, "sub": "1029", **claims})[0]


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"groups_admin": ""}, "groups_admin"),
        ({"groups_key": Secret("")}, "groups_key"),
        (
            {"groups_key": Secret(""), "groups_admin": "", "allowed_groups": ("a@corp.example",)},
            "allowed_groups",
        ),
        ({"groups_key": Secret(""), "groups_admin": "", "nested_groups": True}, "nested_groups"),
        ({"groups_key": Secret("{}")}, "key"),
        ({"directory_url": ""}, "directory_url"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any], about: str) -> None:
    with pytest.raises(ValueError, match=rf"^{about} "):
        client(**fields)


def test_the_service_account_asks_for_the_admin_with_the_one_scope_it_needs() -> None:
    _, asked = sign_in(client(), ROBOT, page("staff"), hd="corp.example", sub="1029")
    post, get = asked[-2:]
    assert isinstance(post, PostForm)
    assert isinstance(get, Get)
    claims = jose.verify(form_of(post)["assertion"], (PUBLIC,), algorithms=("RS256",)).claims
    assert (claims["iss"], claims["sub"], claims["scope"], claims["aud"]) == (
        "robot@p.iam.example",
        "admin@corp.example",
        DIRECTORY_SCOPE,
        "https://token.example/token",
    )
    assert get.bearer == Secret("robot-token")  # never the person's
    assert get.url.startswith(f"{DIRECTORY}?")
    assert dict(parse_qsl(urlsplit(get.url).query))["userKey"] == "1029"


def test_groups_come_page_by_page_and_are_known_by_their_address() -> None:
    identity = came(
        client(), ROBOT, page("Staff", following="t 1&x"), page("berlin", following="t2"), page("chess")
    )
    assert identity.groups == ("staff@corp.example", "berlin@corp.example", "chess@corp.example")
    _, asked = sign_in(client(), ROBOT, page("a", following="t 1&x"), page(), hd="corp.example")
    assert dict(parse_qsl(urlsplit(asked[-1].url).query))["pageToken"] == "t 1&x"


def test_who_is_in_no_group_has_none_which_is_known() -> None:
    identity = came(client(), ROBOT, page())
    assert identity.groups == ()
    assert "groups" not in identity.unknown


def test_a_personal_account_is_in_nobodys_directory() -> None:
    identity = came(client(), hd=None)
    assert "groups" in identity.unknown
    with pytest.raises(ClientError) as caught:
        came(client(allowed_groups=("staff@corp.example",)), hd=None)
    assert refused(caught.value)


def test_an_allowed_group_lets_in_in_any_case_and_its_absence_does_not() -> None:
    op = client(allowed_groups=("Staff@corp.example",))
    assert came(op, ROBOT, page("a", following="t"), page("staff"))
    for groups in (page("staff2"), page()):
        with pytest.raises(ClientError) as caught:
            came(op, ROBOT, groups)
        assert refused(caught.value)


BAD_PAGES: dict[str, tuple[Any, type[ProviderError]]] = {
    "a 500": (reply({}, 500), ProviderUnavailable),
    "too many requests": (reply({}, 429), ProviderUnavailable),
    "no answer": (ProviderUnavailable("down"), ProviderUnavailable),
    "refused": (reply({"error": {"code": 403}}, 403), ProviderInvalid),
    "nobody of that ID": (reply({"error": {"code": 404}}, 404), ProviderInvalid),
    "another content type": (reply(b"<html>", kind="text/html"), ProviderInvalid),
    "a list": (reply([]), ProviderInvalid),
    "groups of a wrong type": (reply({"groups": {"email": "a"}}), ProviderInvalid),
    "a text in place of a group": (reply({"groups": ["staff@corp.example"]}), ProviderInvalid),
    "a group without address": (reply({"groups": [{"id": "1"}]}), ProviderInvalid),
    "a token of a wrong type": (reply({"groups": [], "nextPageToken": 5}), ProviderInvalid),
    "a page that was read already": (page("a", following="again"), ProviderInvalid),
}


@pytest.mark.parametrize(("bad", "error"), BAD_PAGES.values(), ids=BAD_PAGES.keys())
@pytest.mark.parametrize("before", [(), (page("staff", following="again"),)], ids=["page 1", "page 2"])
def test_a_page_that_fails_lets_nobody_in(bad: Any, error: type[ProviderError], before: Any) -> None:
    is_circle = getattr(bad, "body", b"") == page("a", following="again").body
    pages = [*before, bad, *([bad] if is_circle and not before else [])]
    for op in (client(), client(allowed_groups=("staff@corp.example",))):
        with pytest.raises(error):
            came(op, ROBOT, *pages)


def test_a_service_account_that_is_refused_costs_nobody_a_credential() -> None:
    with pytest.raises(ProviderInvalid) as caught:
        came(client(), reply({"error": "unauthorized_client", "error_description": "no delegation"}, 401))
    assert caught.value.code == "service_account_refused"
    assert "no delegation" in caught.value.detail


# Nested groups


def transitive(*names: str, following: str = "") -> Any:
    entries = [{"group": f"groups/{name}", "groupKey": {"id": f"{name}@corp.example"}} for name in names]
    return reply({"memberships": entries, **({"nextPageToken": following} if following else {})})


def test_nested_groups_are_asked_of_cloud_identity() -> None:
    op = client(nested_groups=True)
    found, asked = sign_in(
        op,
        ROBOT,
        transitive("berlin", following="t"),
        transitive("staff"),
        hd="corp.example",
        email="al@corp.example",
    )
    assert found.groups == ("berlin@corp.example", "staff@corp.example")
    first, second = asked[-2:]
    assert isinstance(first, Get)
    parts = urlsplit(first.url)
    assert f"{parts.netloc}{parts.path}" == (
        "cloudidentity.googleapis.com/v1/groups/-/memberships:searchTransitiveGroups"
    )
    assert dict(parse_qsl(parts.query))["query"] == (
        "member_key_id == 'al@corp.example' && 'cloudidentity.googleapis.com/groups.discussion_forum' in labels"
    )
    assert dict(parse_qsl(urlsplit(second.url).query))["pageToken"] == "t"
    form = form_of(asked[-3])
    assert (
        jose.verify(form["assertion"], (PUBLIC,), algorithms=("RS256",)).claims["scope"]
        == CLOUD_IDENTITY_SCOPE
    )


@pytest.mark.parametrize(
    "claims",
    [{"email": "o'hara@corp.example"}, {"email": "a@corp.example", "email_verified": False}, {"email": None}],
    ids=["a quote", "not verified", "none"],
)
def test_an_address_that_cannot_stand_in_the_query_lets_nobody_in(claims: dict[str, Any]) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        came(client(nested_groups=True, userinfo=False), ROBOT, **claims)
    assert caught.value.code == "list_query"


@pytest.mark.parametrize(
    "bad", [reply({"memberships": [{"group": "groups/x"}]}), reply({"memberships": ["x"]})]
)
def test_a_nested_group_without_address_lets_nobody_in(bad: Any) -> None:
    with pytest.raises(ProviderInvalid):
        came(client(nested_groups=True), ROBOT, bad)


# Looked at again


def test_groups_are_looked_at_again_without_the_persons_token() -> None:
    op = client(offline_access=False, allowed_groups=("staff@corp.example",))
    assert not op.needs_tokens
    identity = came(op, ROBOT, page("staff"))
    again, asked = play(
        op.recheck(identity, Tokens(access_token=Secret("")), NOW), ROBOT, page("staff", "new")
    )
    assert again.groups == ("staff@corp.example", "new@corp.example")
    assert [type(ask) for ask in asked] == [PostForm, Get]
    with pytest.raises(ClientError) as caught:
        play(op.recheck(identity, Tokens(access_token=Secret("")), NOW), ROBOT, page("new"))
    assert refused(caught.value)


def test_with_a_refresh_token_the_account_itself_is_looked_at_too() -> None:
    op = client(hosted_domains=("corp.example",))
    assert op.needs_tokens
    assert op.is_restricted
    identity = came(op, ROBOT, page("staff"))
    again = recheck(op, identity, ROBOT, page("other"), sub="1029", hd="corp.example", groups=None)
    assert again.groups == ("other@corp.example",)
    with pytest.raises(ClientError):
        recheck(op, identity, sub="1029", hd="elsewhere.example", groups=None)


def test_groups_that_were_never_asked_for_stay_unknown() -> None:
    op = client(offline_access=False)
    identity = came(op, hd=None)
    again, asked = play(op.recheck(identity, Tokens(access_token=Secret("")), NOW))
    assert (again, asked) == (identity, [])
