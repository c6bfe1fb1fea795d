"""Signing in and out by SAML as browsers and providers meet it: forms, metadata, and what is parked."""

from __future__ import annotations

import re

import pytest

from tests.unit.service.test_signin import BASE, Browser, Op
from tests.unit.web.asgi import Reply
from tests.unit.web.lobby import Lobby
from vestibule.errors import CredentialGone, ProviderInvalid
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol.logout_token import LogoutToken
from vestibule.providers.base import SAML, SAML_ANSWER, Answer, Ending, Form, SignedIn, Start, Told
from vestibule.providers.kit import Flow
from vestibule.service.logout import SAME_S
from vestibule.service.posted import ASSERTION_MAX_CHARS

IDP = "https://op.example"
FROM_THERE = {"Origin": IDP, "Sec-Fetch-Site": "cross-site", "Accept": "text/html"}


class Speaker(Op):
    """Believes answers like `alice@s-1#7`: who, in which session of its own, and the answer's own name."""

    def __init__(self) -> None:
        super().__init__("google", issuer=IDP)
        self.kind = "saml"
        self.relay_states: tuple[str, ...] = ()
        self.by_form = False
        self.lasts_s = 0.0
        self.told: list[Told] = []
        self.left: list[str] = []
        self.ending = Ending()

    def start(self, start: Start) -> Flow[str | Form]:  # type: ignore[override]
        url = yield from super().start(start)
        return Form(f"{IDP}/sso", (("RelayState", start.state),)) if self.by_form else url

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        yield from ()
        self.finished.append(answer)
        said, _, mark = answer.params[SAML_ANSWER].partition("#")
        who, _, sid = said.partition("@")
        return SignedIn(
            identity=Identity(
                client=self.name,
                issuer=IDP,
                subject=who,
                name=who,
                sid=sid,
                signed_in_at=answer.now,
                until=answer.now + self.lasts_s if self.lasts_s else 0.0,
            ),
            tokens=Tokens(access_token=Secret(said), token_type=SAML),
            mark=mark.encode(),
            until=answer.now + 300,
        )

    def metadata(self, redirect_uri: str) -> bytes:
        return f"<of>{redirect_uri}</of>".encode()

    def leave(self, tokens: Tokens, now: float) -> Flow[str | Form | None]:
        yield from ()
        assert now
        self.left.append(tokens.access_token.reveal())
        url = f"{IDP}/slo"
        return Form(url, (("SAMLRequest", "x"),)) if self.by_form else url

    def logout(self, told: Told) -> Flow[Ending]:
        yield from ()
        self.told.append(told)
        if "bad" in told.query or "bad" in told.form.values():
            raise ProviderInvalid("no", code="saml_signature")
        return self.ending


class Hall(Lobby):
    """A lobby whose Google speaks SAML."""

    def __init__(self) -> None:
        super().__init__()
        self.op = Speaker()
        self.world.ops["google"] = self.op
        self.world.signin.use(self.world.ops, frozenset({"b.example"}))

    async def answered(self, browser: Browser, state: str, said: str) -> Reply:
        """The provider's form, sent by its page: the browser follows where it leads, with its cookies."""
        form = {"SAMLResponse": said, "RelayState": state}
        reply = await self.post(self.browser(), "/@google/callback", form, FROM_THERE)
        if reply.status != 303:
            return reply
        return await self.get(browser, reply.headers["location"])

    async def signed_in(self, said: str = "alice@s-1#1") -> Browser:
        browser = self.browser()
        reply = await self.answered(browser, await browser.begin(), said)
        assert (reply.status, reply.headers["location"]) == (303, "/home")
        return browser

    def code(self) -> str:
        """Of the last refusal."""
        return str([line for line in self.logged if line["event"] == "refused"][-1]["code"])


@pytest.fixture
def hall() -> Hall:
    return Hall()


# -- signing in ----------------------------------------------------------------------------------


async def test_an_answer_by_form_is_parked_and_taken_by_the_browser_that_began(hall: Hall) -> None:
    browser = await hall.signed_in()
    session = await browser.session()
    assert (session.identities[0].subject, session.identities[0].sid) == ("alice", "s-1")
    assert [set(answer.params) for answer in hall.op.finished] == [{"state", SAML_ANSWER}]


async def test_who_is_in_by_a_session_there_is_out_when_that_is_over(hall: Hall) -> None:
    usual = (await (await hall.signed_in("alice@s-0#0")).session()).expires_at
    hall.op.lasts_s = 120.0
    browser = await hall.signed_in()
    session = await browser.session()
    assert session.expires_at == session.created_at + 120.0 < usual
    hall.world.clock.move(119)
    assert await browser.has_session()
    hall.world.clock.move(2)
    assert not await browser.has_session()


async def test_an_answer_counts_once_however_many_sign_ins_it_is_shown_to(hall: Hall) -> None:
    await hall.signed_in("alice@s-1#7")
    browser = hall.browser()
    reply = await hall.answered(browser, await browser.begin(), "alice@s-1#7")
    assert (reply.status, hall.code()) == (502, "answer_replayed")
    assert not await browser.has_session()
    assert "answer_replayed" not in reply.text


async def test_a_long_answer_is_parked_and_one_without_end_is_not(hall: Hall) -> None:
    browser = hall.browser()
    state = await browser.begin()
    assert (await hall.answered(browser, state, "x" * (ASSERTION_MAX_CHARS + 1))).status == 413
    assert (await hall.answered(browser, state, "x" * (1 << 20))).status == 413
    assert (await hall.answered(browser, state, "a" * 100_000)).status == 303
    assert await browser.has_session()


async def test_another_kind_of_provider_gets_no_long_answers(hall: Hall) -> None:
    form = {"code": "x" * 100_000, "state": await hall.browser().begin("github")}
    assert (await hall.post(hall.browser(), "/@github/callback", form, FROM_THERE)).status == 413


@pytest.mark.parametrize("state", ["", "/reports", "https://evil.example/", "x" * 72])
async def test_what_nobody_asked_for_is_refused_unless_it_is_listed(hall: Hall, state: str) -> None:
    reply = await hall.answered(hall.browser(), state, "alice")
    assert (reply.status, hall.code()) == (502, "saml_unsolicited")
    assert hall.op.finished == []


async def test_what_is_listed_begins_a_sign_in_here_and_is_not_believed(hall: Hall) -> None:
    hall.op.relay_states = ("/reports", "https://evil.example/")
    form = {"SAMLResponse": "alice", "RelayState": "/reports"}
    reply = await hall.post(hall.browser(), "/@google/callback", form, FROM_THERE)
    assert (reply.status, reply.headers["location"]) == (303, "/@google/signin?rd=%2Freports")
    form["RelayState"] = "https://evil.example/"
    reply = await hall.post(hall.browser(), "/@google/callback", form, FROM_THERE)
    assert (reply.status, reply.headers["location"]) == (303, "/@google/signin")
    assert hall.op.finished == []
    github = await hall.post(hall.browser(), "/@github/callback", form, FROM_THERE)
    assert (github.status, hall.code()) == (502, "saml_unsolicited")


async def test_a_request_by_form_is_a_page_with_one_script_named_by_its_hash(hall: Hall) -> None:
    hall.op.by_form = True
    browser = hall.browser()
    reply = await hall.get(browser, "/@google/signin")
    assert reply.status == 200
    assert len(browser.flow_cookies) == 1
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/]{43}='", policy)
    assert "unsafe" not in policy
    assert f'action="{IDP}/sso"' in reply.text
    assert reply.text.count("<script>document.forms[0].submit()</script>") == 1
    assert '<button class="first" type="submit">' in reply.text


async def test_what_is_kept_of_it_is_no_credential(hall: Hall) -> None:
    browser = await hall.signed_in()
    session = await browser.session()
    assert hall.world.grants.peek(session.id, "google") is None
    with pytest.raises(CredentialGone) as caught:
        await hall.world.grants.access_token(session, "google")
    assert caught.value.code == "no_credential"


# -- metadata ------------------------------------------------------------------------------------


async def test_metadata_are_for_everybody_and_of_saml_alone(hall: Hall) -> None:
    reply = await hall.get(hall.browser(), "/@google/metadata")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/samlmetadata+xml")
    assert reply.text == f"<of>{BASE}/@google/callback</of>"
    assert (await hall.get(hall.browser(), "/@github/metadata")).status == 404
    assert (await hall.get(hall.browser(), "/@nobody/metadata")).status == 404


# -- logout --------------------------------------------------------------------------------------


def ended(hall: Hall, **says: str) -> LogoutToken:
    now = hall.world.clock.now()
    told = {"issuer": IDP, "jti": "j-1", "issued_at": now, "until": now + 120.0, **says}
    return LogoutToken(**told)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_form", [False, True])
async def test_who_leaves_here_goes_there(hall: Hall, *, by_form: bool) -> None:
    browser = await hall.signed_in()
    hall.op.by_form = by_form
    reply = await hall.post(browser, "/@/signout")
    assert hall.op.left == ["alice@s-1"]
    assert not await browser.has_session()
    assert reply.status == 200
    assert f"{IDP}/slo" in reply.text
    assert ("SAMLRequest" in reply.text) is by_form


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_the_provider_says_has_ended_and_the_browser_goes_back(hall: Hall, method: str) -> None:
    alice, bob = await hall.signed_in(), await hall.signed_in("bob@s-2#2")
    hall.op.ending = Ending(ended=(ended(hall, sid="s-1", subject="alice"),), reply=f"{IDP}/answer?x=1")
    other = hall.browser()
    if method == "GET":
        reply = await hall.get(other, "/@google/logout?SAMLRequest=a%2Bb&Signature=c")
    else:
        reply = await hall.post(other, "/@google/logout", {"SAMLRequest": "a+b"}, FROM_THERE)
    assert (reply.status, reply.headers["location"]) == (303, f"{IDP}/answer?x=1")
    assert not await alice.has_session()
    assert await bob.has_session()
    [told] = hall.op.told
    assert told.redirect_uri == f"{BASE}/@google/callback"
    assert told.query == ("SAMLRequest=a%2Bb&Signature=c" if method == "GET" else "")
    assert told.form == ({} if method == "GET" else {"SAMLRequest": "a+b"})


async def test_an_answer_by_form_is_a_page(hall: Hall) -> None:
    hall.op.ending = Ending(reply=Form(f"{IDP}/slo", (("SAMLResponse", "y"),)))
    reply = await hall.post(hall.browser(), "/@google/logout", {"SAMLRequest": "a"}, FROM_THERE)
    assert reply.status == 200
    assert 'name="SAMLResponse"' in reply.text


async def test_the_answer_to_a_logout_of_ours_leads_to_who_has_left(hall: Hall) -> None:
    alice = await hall.signed_in()
    reply = await hall.get(hall.browser(), "/@google/logout?SAMLResponse=a")
    assert (reply.status, reply.headers["location"]) == (303, "/@/signedout")
    assert await alice.has_session()


async def test_what_is_not_believed_ends_nothing(hall: Hall) -> None:
    alice = await hall.signed_in()
    hall.op.ending = Ending(ended=(ended(hall, sid="s-1"),))
    for reply in (
        await hall.get(alice, "/@google/logout?SAMLRequest=bad"),
        await hall.post(alice, "/@google/logout", {"SAMLRequest": "bad"}, FROM_THERE),
    ):
        assert (reply.status, hall.code()) == (502, "saml_signature")
    assert (await hall.post(alice, "/@google/logout", {}, FROM_THERE)).status == 400
    assert (await hall.get(alice, "/@github/logout?SAMLRequest=x")).status == 501
    assert await alice.has_session()


async def test_a_sign_in_that_was_under_way_when_it_ended_does_not_come_in(hall: Hall) -> None:
    hall.op.ending = Ending(ended=(ended(hall, sid="s-1", subject="alice"),))
    await hall.get(hall.browser(), "/@google/logout?SAMLRequest=a")
    late = hall.browser()
    reply = await hall.answered(late, await late.begin(), "alice@s-1#1")
    assert (reply.status, hall.code()) == (400, "flow_expired")
    assert not await late.has_session()
    hall.world.clock.move(SAME_S + 1)
    assert await (await hall.signed_in("alice@s-1#2")).has_session()


def test_a_message_is_shown_nowhere() -> None:
    told = Told(query="SAMLRequest=secret", form={"SAMLRequest": "secret"}, redirect_uri="/", now=1.0)
    assert "secret" not in repr(told)
