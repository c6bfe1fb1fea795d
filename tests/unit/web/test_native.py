"""Apps that sign people in by ID tokens of SDKs: the token endpoint, and the form of newcomers as JSON."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.service.test_signin import Op
from tests.unit.web.asgi import Reply
from tests.unit.web.lobby import FORM, Lobby
from vestibule.core.app import TOKEN_EXCHANGE, App
from vestibule.core.registration import Question, Rules
from vestibule.errors import ClientError, ProviderInvalid, ProviderUnavailable
from vestibule.model import Identity
from vestibule.protocol.authorization_server import ACCESS_TOKEN_TYPE, ID_TOKEN_TYPE
from vestibule.protocol.logout_token import LogoutToken
from vestibule.providers.base import Native, NativeToken
from vestibule.providers.kit import Flow
from vestibule.service.native import WINDOW_S, WRONG_MAX
from vestibule.service.registering import REGISTER_S
from vestibule.store.base import Page

NONCE = "a-nonce-of-the-app"
ASKED = {
    "grant_type": TOKEN_EXCHANGE,
    "subject_token_type": ID_TOKEN_TYPE,
    "client_id": "ios",
    "subject_issuer": "google",
    "subject_token": "alice",
    "nonce": NONCE,
}
APPS = (
    App(
        id="ios",
        hosts=("app.example",),
        grants=frozenset({"native", "refresh"}),
        scopes=("read", "write"),
    ),
    App(id="pad", hosts=("app.example",), grants=frozenset({"native", "refresh"})),
    App(id="other", hosts=("elsewhere.example",), grants=frozenset({"native"})),
    App(id="web", hosts=("app.example",), redirects=("https://app.example/x",)),
)
RULES = Rules(
    registration="form",
    questions=(Question(name="token", label="Whose token?", required=True),),
    terms_url="https://app.example/terms",
)


class Sdk(Op):
    """Believes what a token says: `alice` is alice, `bad:aud` is refused for its `aud`."""

    native_client_ids = ("ios.example",)
    is_down = False

    def native(self, shown: NativeToken) -> Flow[Native]:
        yield from ()
        who = shown.id_token.reveal().partition("#")[0]
        if who.startswith("bad:"):
            raise ProviderInvalid("no", code=f"id_token_{who[4:]}", detail="what nobody is told")
        if self.is_down:
            raise ProviderUnavailable("down")
        if who == "outside":
            raise ClientError("Your account is not one of those.", code="not_admitted", status=403)
        identity = Identity(
            client=self.name, issuer=self.issuer, subject=who, name="", email=f"{who}@example.com"
        )
        mark = hashlib.sha256(shown.id_token.reveal().encode()).digest()
        at = shown.now - 40
        return Native(
            identity=replace(identity, signed_in_at=at),
            mark=mark,
            until=shown.now + 600,
            told_at=shown.now,
            name=shown.user,
        )


class Phone:
    """An app on a phone: no cookies."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.lobby = Lobby(rules, APPS)
        self.sdk = Sdk("google")
        self.lobby.programs.native.use({"google": self.sdk, "github": Op("github")})

    async def ask(self, **form: str | None) -> Reply:
        sent = {name: value for name, value in {**ASKED, **form}.items() if value is not None}
        return await self.lobby.post(self.lobby.browser(), "/@/token", sent, FORM)

    async def fill_in(self, token: str, fields: Any, client_id: str = "ios") -> Reply:
        body = {"client_id": client_id, "token": token, "fields": fields}
        return await self.lobby.tell(self.lobby.browser(), "/@/registration", body)

    async def session(self, reply: Reply) -> Any:
        issuing = self.lobby.programs.authorizing.issuing
        return await issuing.session_of(reply.json["access_token"], self.lobby.world.clock.now())

    def told(self) -> list[Mapping[str, Any]]:
        return [line for line in self.lobby.logged if line["event"] in {"token_refused", "signed_in"}]


@pytest.fixture
def phone() -> Phone:
    return Phone()


async def test_an_id_token_is_a_session_of_the_app_for_the_very_person_of_the_web(phone: Phone) -> None:
    browser = phone.lobby.browser()
    web = await browser.sign_in("alice")
    reply = await phone.ask(scope="read")
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    told = reply.json
    assert (told["token_type"], told["scope"], told["issued_token_type"]) == (
        "Bearer",
        "read",
        ACCESS_TOKEN_TYPE,
    )
    assert told["refresh_token"].startswith("vst_rt_")
    session = await phone.session(reply)
    assert (session.user_id, session.app, session.host) == (web.user_id, "ios", "app.example")
    assert session.identities[0].client == "google"
    assert session.signed_in_at == phone.lobby.world.clock.now() - 40
    assert reply.cookies == []


async def test_every_phone_has_a_session_of_its_own(phone: Phone) -> None:
    first, second = await phone.ask(), await phone.ask(subject_token="alice#2")
    one, two = await phone.session(first), await phone.session(second)
    assert one.id != two.id
    assert one.user_id == two.user_id


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": "web"}, 400, "unauthorized_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": "other"}, 400, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, 400, "invalid_target"),
        ({"scope": "admin"}, 400, "invalid_scope"),
        ({"subject_issuer": None}, 400, "invalid_request"),
        ({"subject_issuer": "nobody"}, 400, "invalid_request"),
        ({"subject_issuer": "github"}, 400, "invalid_request"),
        ({"subject_issuer": "drive"}, 400, "invalid_request"),
        ({"subject_token": None}, 400, "invalid_request"),
        ({"nonce": None}, 400, "invalid_request"),
        ({"nonce": "short"}, 400, "invalid_request"),
        ({"nonce": "n" * 257}, 400, "invalid_request"),
        ({"subject_token": "bad:aud"}, 400, "invalid_request"),
        ({"subject_token": "outside"}, 403, "access_denied"),
        ({"actor_token": "x"}, 400, "invalid_request"),
    ],
    ids=str,
)
async def test_it_is_refused(phone: Phone, form: dict[str, str], status: int, error: str) -> None:
    reply = await phone.ask(**form)
    assert (reply.status, reply.json["error"]) == (status, error)
    assert "nobody is told" not in reply.text
    assert phone.told()[-1]["code"] == error
    if error != "invalid_client":
        assert (await phone.ask()).status == 200


async def test_which_check_failed_is_told_to_who_makes_the_app(phone: Phone) -> None:
    reply = await phone.ask(subject_token="bad:nonce")
    assert reply.json["error_description"] == "the ID token is not good here: nonce"
    assert [line["event"] for line in phone.lobby.logged] == [
        "token_refused"
    ]  # no alarm that anybody can raise


async def test_a_token_is_good_once_and_by_no_other_app(phone: Phone) -> None:
    assert (await phone.ask()).status == 200
    for client_id in ("ios", "pad"):
        again = await phone.ask(client_id=client_id)
        assert (again.status, again.json["error_description"]) == (400, "this ID token was shown before")


async def test_a_provider_that_could_not_be_asked_has_not_used_the_token_up(phone: Phone) -> None:
    phone.sdk.is_down = True
    assert (await phone.ask()).status == 503
    phone.sdk.is_down = False
    assert (await phone.ask()).status == 200


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (Rules(registration="closed"), "registration_closed"),
        (Rules(registration="invite"), "not_invited"),
        (Rules(allow_all_users=False), "not_invited"),
        (Rules(allowed_domains=("corp.example",)), "domain_not_allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_who_is_not_let_in_on_the_web_is_not_here(rules: Rules, code: str) -> None:
    phone = Phone(rules)
    reply = await phone.ask()
    assert (reply.status, reply.json["error"]) == (403, "access_denied")
    assert code in [line.get("code") for line in phone.lobby.logged]


async def test_accounts_of_one_verified_address_are_one_person_where_the_operator_says_so() -> None:
    phone = Phone(Rules(link_verified_emails=True))
    phone.lobby.programs.native.use(
        {"google": phone.sdk, "github": Sdk("github", issuer="https://gh.example")}
    )
    first = await phone.session(await phone.ask())
    other = await phone.session(await phone.ask(subject_issuer="github", subject_token="alice#2"))
    assert first.user_id == other.user_id
    assert {one.client for one in await phone.lobby.people.accounts_of(first.user_id)} == {"google", "github"}


async def test_the_metadata_says_that_tokens_are_exchanged(phone: Phone) -> None:
    reply = await phone.lobby.get(phone.lobby.browser(), "/.well-known/oauth-authorization-server")
    assert TOKEN_EXCHANGE in reply.json["grant_types_supported"]


async def test_who_was_blocked_stays_out(phone: Phone) -> None:
    session = await phone.session(await phone.ask())
    await phone.lobby.people.set_disabled(session.user_id, True, phone.lobby.world.clock.now())
    reply = await phone.ask(subject_token="alice#2")
    assert (reply.status, reply.json["error"]) == (403, "access_denied")


async def test_who_tries_tokens_waits(phone: Phone) -> None:
    for _ in range(WRONG_MAX):
        assert (await phone.ask(subject_token="bad:signature")).status == 400
    reply = await phone.ask()
    assert (reply.status, reply.json["error"]) == (429, "slow_down")
    phone.lobby.world.clock.move(WINDOW_S)
    assert (await phone.ask()).status == 200


async def test_many_tokens_at_once_are_many_tries(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat: a thousand at the same moment, each of which costs a signature before the first is counted."""
    begun, gate = 0, asyncio.Event()

    async def slow(*_asked: Any, **_more: Any) -> Any:
        nonlocal begun
        begun += 1
        await gate.wait()
        raise ProviderInvalid("no", code="id_token_signature")

    monkeypatch.setattr(phone.lobby.programs.native._driver, "run", slow)
    asking = asyncio.gather(*(phone.ask(subject_token=f"bad:{number}") for number in range(WRONG_MAX + 40)))
    while begun < WRONG_MAX:
        await asyncio.sleep(0)
    gate.set()
    replies = await asking
    assert begun == WRONG_MAX
    assert sorted(reply.status for reply in replies) == [400] * WRONG_MAX + [429] * 40


# -- who signed out at the provider meanwhile --------------------------------------------------


async def left(phone: Phone, who: str, *, sid: str = "", after_s: float = 0.0) -> None:
    """The provider says that its session is over."""
    now = phone.lobby.world.clock.now() + after_s
    token = LogoutToken(
        issuer=phone.sdk.issuer, subject=who, sid=sid, jti="j", issued_at=now, until=now + 120
    )
    await phone.lobby.programs.logouts._note(token, now)


@pytest.mark.parametrize("sid", ["", "of-the-browser"])
async def test_a_token_from_before_a_sign_out_at_the_provider_lets_nobody_in_after_it(
    phone: Phone, sid: str
) -> None:
    known = await phone.session(await phone.ask())
    await left(phone, "alice", sid=sid)
    reply = await phone.ask(subject_token="alice#2")
    assert (reply.status, reply.json["error"]) == (400, "invalid_request")
    assert "ended its session" in reply.json["error_description"]
    sessions = await phone.lobby.world.sessions.of_user(known.user_id)
    assert [one.id for one in sessions] == [known.id], "what was begun is over"
    phone.lobby.world.clock.move(10.0)
    assert (await phone.ask(subject_token="alice#3")).status == 200
    assert (await phone.ask(subject_token="bob")).status == 200


# -- newcomers --------------------------------------------------------------------------------


@pytest.fixture
def asking() -> Phone:
    return Phone(RULES)


FILLED = {"name": " Alice Liddell ", "token": "mine", "terms": True}


async def waiting(phone: Phone, **form: str) -> dict[str, Any]:
    reply = await phone.ask(**form)
    assert (reply.status, reply.json["error"]) == (403, "registration_required")
    return dict(reply.json["registration"])


async def test_a_newcomer_is_asked_and_nothing_is_there_before(asking: Phone) -> None:
    told = await waiting(asking, user="Alice of the app")
    assert told["url"] == "https://app.example/@/registration"
    assert told["expires_in"] == REGISTER_S
    assert [(field["name"], field["required"]) for field in told["fields"]] == [
        ("name", True),
        ("login", False),
        ("token", True),
        ("terms", True),
    ]
    assert told["known"] == {"name": "Alice of the app", "login": "", "email": "alice@example.com"}
    assert told["terms_url"] == RULES.terms_url
    assert await asking.lobby.people.users(Page()) == ()

    reply = await asking.fill_in(told["token"], FILLED)
    assert reply.status == 200
    session = await asking.session(reply)
    user = await asking.lobby.people.user(session.user_id)
    assert (user.name, user.profile["token"]) == ("Alice Liddell", "mine")
    assert session.scopes == ("read", "write")
    assert (await asking.ask(subject_token="alice#2")).status == 200


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({}, {"name": "missing", "token": "missing", "terms": "accept"}),
        ({**FILLED, "terms": False}, {"terms": "accept"}),
        ({**FILLED, "name": "x" * 101}, {"name": "too long"}),
        ({**FILLED, "login": "no blanks"}, {"login": "be used"}),
        ({**FILLED, "token": None}, {"token": "missing"}),
    ],
)
async def test_faults_are_told_by_field_and_nothing_has_happened(
    asking: Phone, fields: dict[str, Any], faults: dict[str, str]
) -> None:
    told = await waiting(asking)
    reply = await asking.fill_in(told["token"], fields)
    assert reply.status == 422
    words = {"missing": "Please fill this in."}
    assert set(reply.json["faults"]) == set(faults)
    for name, part in faults.items():
        assert words.get(part, part) in reply.json["faults"][name]
    assert (await asking.fill_in(told["token"], FILLED)).status == 200


async def test_a_registration_is_the_apps_once_and_for_a_while(asking: Phone) -> None:
    first = await waiting(asking)
    assert (await asking.fill_in(first["token"], FILLED, "pad")).json["error"] == "invalid_grant"
    assert (await asking.fill_in(first["token"], FILLED)).status == 200
    assert (await asking.fill_in(first["token"], FILLED)).json["error"] == "invalid_grant"
    late = await waiting(asking, subject_token="bob")
    asking.lobby.world.clock.move(REGISTER_S + 1)
    assert (await asking.fill_in(late["token"], FILLED)).json["error"] == "invalid_grant"


async def test_rules_may_have_changed_meanwhile(asking: Phone) -> None:
    told = await waiting(asking)
    asking.lobby.people.use(Rules(registration="closed"))
    reply = await asking.fill_in(told["token"], FILLED)
    assert (reply.status, reply.json["error"]) == (403, "access_denied")
    other = Phone(RULES)
    told = await waiting(other)
    other.lobby.programs.native.use({})
    assert (await other.fill_in(told["token"], FILLED)).status == 400


@pytest.mark.parametrize(
    "body", [{}, [], {"client_id": "ios"}, {"client_id": "ios", "token": "x", "fields": {"name": ["x"]}}]
)
async def test_what_is_no_registration_is_refused(asking: Phone, body: Any) -> None:
    reply = await asking.lobby.tell(asking.lobby.browser(), "/@/registration", body)
    assert reply.status in {400, 401}
    assert set(reply.json) <= {"error", "error_description"}


async def test_a_form_of_a_page_is_no_registration(asking: Phone) -> None:
    reply = await asking.lobby.post(asking.lobby.browser(), "/@/registration", {"client_id": "ios"}, FORM)
    assert (reply.status, reply.json["error"]) == (400, "invalid_request")
