"""The SAML client: what it asks for, whom it takes an answer to be about, and logouts both ways."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from tests.helpers import saml_idp as idp
from tests.unit.providers.player import answered, play
from vestibule.core import claim
from vestibule.errors import ProviderInvalid
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import saml, saml_binding, saml_logout
from vestibule.protocol.saml import NameId, Signer
from vestibule.providers.base import (
    SAML,
    SAML_ANSWER,
    Answer,
    Ending,
    Form,
    Probe,
    RedirectLogin,
    SignedIn,
    SpeaksSaml,
    Start,
    Told,
    WithinDomains,
)
from vestibule.providers.kit import Ask, Document, Work
from vestibule.providers.saml import Saml, SamlConfig
from vestibule.providers.saml_attribute import PRESETS

NONCE = "n" * 43
REQUEST = saml.message_id(NONCE.encode())
URL = "https://idp.example/metadata"
THEIRS = idp.signer("idp")
OURS = idp.signer("sp")
NAMES = {"email": "mail", "groups": "groups"}


def pair(of: Signer) -> dict[str, Any]:
    """A key as the configuration has it."""
    return {"private_key": Secret(idp.key_pem(of.key).decode()), "certificate": idp.cert_pem(of).decode()}


def config(**fields: Any) -> SamlConfig:
    """A client whose provider's metadata are text, unless the fields say otherwise."""
    known: dict[str, Any] = {"attributes": NAMES, "email_domains": ("corp.example",)}
    if "metadata_url" not in fields:
        known["metadata"] = idp.metadata(THEIRS).decode()
    return SamlConfig(name="corp", **{**known, **fields})


def start(**fields: Any) -> Start:
    begun = Start(redirect_uri=idp.ACS, state="s" * 71, nonce=NONCE, verifier=Secret("v"), now=idp.NOW)
    return replace(begun, **fields)


def answer(xml: bytes | None = None, **fields: Any) -> Answer:
    """What came back, signed by the provider."""
    raw = xml if xml is not None else idp.response(change={idp.REQUEST: REQUEST})
    known = {"params": {SAML_ANSWER: b64encode(raw).decode()}, "nonce": NONCE, "now": idp.NOW}
    return Answer(redirect_uri=idp.ACS, **{**known, **fields})


def finished(client: Saml, came: Answer | None = None) -> SignedIn:
    return play(client.finish(came or answer()))[0]


def person(client: Saml, came: Answer | None = None) -> Identity:
    identity = finished(client, came).identity
    assert identity is not None
    return identity


def refusal(client: Saml, came: Answer) -> str:
    with pytest.raises(ProviderInvalid) as caught:
        play(client.finish(came))
    return caught.value.code


def test_it_signs_people_in_and_names_no_token_that_an_api_would_take() -> None:
    client = config().open()
    assert all(isinstance(client, what) for what in (RedirectLogin, SpeaksSaml, WithinDomains, Probe))
    found = finished(client)
    assert found.identity == Identity(
        client="corp",
        issuer=f"saml:corp:{idp.IDP}",
        subject="alice",
        email="alice@corp.example",
        groups=("staff", "ops"),
        unknown=tuple(name for name in claim.LISTS if name != "groups"),
        sid="s-1",
        signed_in_at=idp.NOW - 30,
        until=idp.NOW + 36000 + saml.SKEW_S,
    )
    assert found.tokens is not None
    assert found.tokens.token_type == SAML
    assert found.mark
    assert found.until > idp.NOW


# -- requests ---------------------------------------------------------------------------------


def test_a_request_goes_by_redirect_with_the_state_and_an_id_that_follows_from_the_nonce() -> None:
    url, asked = play(config().open().start(start()))
    assert asked == []
    assert isinstance(url, str)
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://idp.example/sso"
    assert parse_qs(parts.query)["RelayState"] == ["s" * 71]
    message = saml_binding.redirected(parts.query)
    assert f'ID="{REQUEST}"'.encode() in message.xml
    assert not message.signature
    assert NONCE.encode() not in message.xml


def test_it_is_signed_where_there_is_a_key_unless_that_is_switched_off() -> None:
    url, _ = play(config(**pair(OURS)).open().start(start()))
    assert isinstance(url, str)
    assert saml_binding.redirected(urlsplit(url).query).signature
    url, _ = play(config(**pair(OURS), sign_requests=False).open().start(start()))
    assert isinstance(url, str)
    assert not saml_binding.redirected(urlsplit(url).query).signature


def test_a_request_by_form_is_one() -> None:
    form, _ = play(config(binding="post", **pair(OURS)).open().start(start()))
    assert isinstance(form, Form)
    assert form.action == "https://idp.example/sso/post"
    sent = dict(form.fields)
    assert sent["RelayState"] == "s" * 71
    assert b"SignatureValue" in saml_binding.posted(sent["SAMLRequest"])
    assert sent["SAMLRequest"] not in repr(form)


@pytest.mark.parametrize(
    ("fields", "begun", "is_forced"),
    [
        ({}, {}, False),
        ({"force_authn": True}, {}, True),
        ({}, {"hints": {"prompt": "login"}}, True),
        ({}, {"hints": {"prompt": "select_account"}}, True),
        ({}, {"max_age_s": 300}, True),
        ({}, {"max_age_s": 10 * 365 * 86400}, False),
    ],
)
def test_credentials_are_asked_for_anew_where_that_is_wanted(
    fields: dict[str, Any], begun: dict[str, Any], is_forced: bool
) -> None:
    url, _ = play(config(**fields).open().start(start(**begun)))
    assert isinstance(url, str)
    assert (b'ForceAuthn="true"' in saml_binding.redirected(urlsplit(url).query).xml) is is_forced


@pytest.mark.parametrize(
    ("fields", "is_told"), [({}, False), ({"login_hint": True}, True), ({"login_hint": False}, False)]
)
def test_who_wants_to_sign_in_is_told_where_that_is_written(fields: dict[str, Any], is_told: bool) -> None:
    hinted = start(hints={"login_hint": "alice@corp.example"})
    url, _ = play(config(**fields).open().start(hinted))
    assert isinstance(url, str)
    xml = saml_binding.redirected(urlsplit(url).query).xml
    assert (b"<saml:Subject><saml:NameID>alice@corp.example</saml:NameID>" in xml) is is_told
    unhinted, _ = play(config(**fields).open().start(start()))
    assert isinstance(unhinted, str)
    assert b"Subject" not in saml_binding.redirected(urlsplit(unhinted).query).xml


# -- who somebody is --------------------------------------------------------------------------


def test_an_address_counts_within_the_domains_and_without_any_none_does() -> None:
    assert person(config().open()).email == "alice@corp.example"
    assert person(config(email_domains=("other.example",)).open()).email == ""
    assert person(config(email_domains=()).open()).email == ""


def test_a_person_is_the_attribute_that_names_the_subject() -> None:
    client = config(attributes={**NAMES, "subject": "mail"}).open()
    assert person(client).subject == "alice@corp.example"
    without = config(attributes={**NAMES, "subject": "employeeNumber"}).open()
    assert refusal(without, answer()) == "provider_invalid"


def test_a_provider_that_does_not_say_when_its_session_ends_bounds_none() -> None:
    ends = f' SessionNotOnOrAfter="{idp.at(idp.NOW + 36000)}"'
    xml = idp.response(change={idp.REQUEST: REQUEST, ends: ""})
    assert person(config().open(), answer(xml)).until == 0.0


def test_a_session_that_is_over_there_by_a_clock_that_is_ahead_still_has_time_here() -> None:
    ends = f'SessionNotOnOrAfter="{idp.at(idp.NOW + 36000)}"'
    late = f'SessionNotOnOrAfter="{idp.at(idp.NOW - 60)}"'
    xml = idp.response(change={idp.REQUEST: REQUEST, ends: late})
    assert idp.NOW < person(config().open(), answer(xml)).until <= idp.NOW + saml.SKEW_S


@pytest.mark.parametrize(("asked", "told"), [("persistent", saml.EMAIL), ("email", saml.PERSISTENT)])
def test_a_name_of_another_kind_is_nobody(asked: str, told: str) -> None:
    xml = idp.response(change={idp.REQUEST: REQUEST, saml.PERSISTENT: told})
    assert refusal(config(name_id=asked).open(), answer(xml)) == "saml_name_id"


def test_a_transient_name_is_nobody_whatever_was_asked_for() -> None:
    xml = idp.response(change={idp.REQUEST: REQUEST, saml.PERSISTENT: saml.TRANSIENT})
    assert refusal(config(name_id="unspecified").open(), answer(xml)) == "saml_name_id"


def test_accounts_are_the_clients_own_whatever_its_metadata_say_unless_the_operator_wrote_whose() -> None:
    for mine in (config(), config(is_trusted=False), config(is_trusted=False, issuer=idp.IDP)):
        assert person(mine.open()).issuer == f"saml:corp:{idp.IDP}"
    assert person(config(issuer=idp.IDP).open()).issuer == idp.IDP
    inside = replace(config(), name="app.example:8443/corp").open()
    assert person(inside).issuer == f"saml:app.example%3A8443/corp:{idp.IDP}"


def test_a_provider_that_publishes_the_name_of_another_has_people_of_its_own() -> None:
    """The customer's own metadata, calling themselves the other provider, with the customer's own key."""
    key = idp.signer("evil")
    xml = idp.response(by=key, change={idp.REQUEST: REQUEST})
    theirs = person(config(issuer=idp.IDP).open())
    customer = replace(config(metadata_url="https://idp.customer.example/metadata"), name="customer").open()
    found, _ = play(customer.finish(answer(xml)), idp.metadata(key))
    assert found.identity is not None
    assert found.identity.subject == theirs.subject
    assert found.identity.issuer == f"saml:customer:{idp.IDP}" != theirs.issuer
    pinned = config(metadata_url=URL, issuer="https://customer.example/saml").open()
    with pytest.raises(ProviderInvalid) as caught:
        play(pinned.finish(answer(xml)), idp.metadata(key))
    assert caught.value.code == "saml_metadata_entity"


@pytest.mark.parametrize("issuer", ["org:o1:https://idp.example", "saml:corp:https://idp.example"])
def test_no_issuer_is_written_as_those_are_that_are_made_here(issuer: str) -> None:
    with pytest.raises(ValueError, match="issuer begins with"):
        config(issuer=issuer)


def test_names_come_in_parts_and_further_claims_are_kept() -> None:
    said = {"given": ["Ann"], "family": ["Ähm"], "ou": ["a", "b"], "n": ["7"], "mail": ["x"]}
    names = {"given_name": "given", "family_name": "family", "units": "ou", "number": "n"}
    xml = idp.response(attributes=said, change={idp.REQUEST: REQUEST})
    found = person(config(attributes=names).open(), answer(xml))
    assert (found.name, found.claims) == ("Ann Ähm", {"units": ["a", "b"], "number": "7"})


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_reads_names_that_are_known(preset: str) -> None:
    assert config(preset=preset, attributes={}).open().title == "corp"
    known = {"subject", "login", "name", "given_name", "family_name", "email", *claim.LISTS}
    assert set(PRESETS[preset]) <= known


# -- what is checked --------------------------------------------------------------------------


def test_an_answer_to_another_request_signs_nobody_in() -> None:
    assert refusal(config().open(), answer(nonce="m" * 43)) == "saml_in_response_to"
    assert refusal(config().open(), answer(params={})) in {"saml_encoding", "saml_xml", "saml_size"}


def test_who_signed_in_too_long_ago_is_told_so() -> None:
    came = answer(max_age_s=10, now=idp.NOW + 200)
    assert refusal(config().open(), came) == "saml_authn_instant"
    assert person(config().open(), answer(max_age_s=300)).subject == "alice"


def test_a_new_certificate_is_fetched_when_none_fits_and_only_then() -> None:
    old, new = idp.metadata(idp.signer("old")), idp.metadata(THEIRS)
    client = config(metadata_url=URL).open()
    found, asked = play(client.finish(answer()), old, new)
    assert asked == [Document(URL), Document(URL, anew=True)]
    assert found.identity is not None
    _, asked = play(client.finish(answer()), new)
    assert asked == [Document(URL)]
    with pytest.raises(ProviderInvalid) as caught:
        play(client.finish(answer(nonce="m" * 43)), new)
    assert caught.value.code == "saml_in_response_to"


def test_what_is_encrypted_for_the_key_before_is_read_too() -> None:
    before = idp.signer("before")
    old = {f"old_{name}": value for name, value in pair(before).items()}
    client = config(**pair(OURS), **old, require_encryption=True).open()
    for receiver in (OURS, before):
        xml = idp.response(encrypts_for=receiver, change={idp.REQUEST: REQUEST})
        assert person(client, answer(xml)).subject == "alice"
    assert refusal(client, answer()) == "saml_plain"


# -- logout -----------------------------------------------------------------------------------


def held(client: Saml) -> Tokens:
    tokens = finished(client).tokens
    assert tokens is not None
    return tokens


def test_who_leaves_here_is_sent_there_with_a_signed_request_about_their_own_session() -> None:
    client = config(**pair(OURS)).open()
    url, _ = play(client.leave(held(client), idp.NOW))
    assert isinstance(url, str)
    expected = saml_logout.Expected(
        issuer=idp.SP,
        destination="https://idp.example/slo",
        certificates=(OURS.certificate,),
        now=idp.NOW,
    )
    request = saml_logout.read_request(saml_binding.redirected(urlsplit(url).query), expected)
    assert (request.name_id.value, request.session_indexes) == ("alice", ("s-1",))
    assert parse_qs(urlsplit(url).query)["RelayState"] == [request.id]


def test_without_a_key_nobody_is_sent_and_nothing_is_heard() -> None:
    client = config().open()
    assert play(client.leave(held(client), idp.NOW))[0] is None
    with pytest.raises(ProviderInvalid):
        play(client.logout(told_of()))
    assert b"SingleLogoutService" not in client.metadata(idp.ACS)


def told_of(by: Signer = THEIRS, *, sids: tuple[str, ...] = ("s-1",), **fields: Any) -> Told:
    """The provider says that these sessions are over."""
    request = saml_logout.LogoutRequest(
        **{
            "id": "_logout-1",
            "issued_at": idp.NOW,
            "issuer": idp.IDP,
            "destination": "https://app.example/@corp/logout",
            "name_id": NameId("alice", saml.PERSISTENT),
            "session_indexes": sids,
            **fields,
        }
    )
    url = saml_binding.redirect_url(
        request.destination,
        saml_logout.logout_request(request),
        kind="SAMLRequest",
        relay_state="theirs",
        signer=by,
    )
    return Told(query=urlsplit(url).query, redirect_uri=idp.ACS, now=idp.NOW)


def heard(client: Saml, told: Told) -> Ending:
    return play(client.logout(told))[0]


def test_a_logout_ends_what_it_names_and_is_answered_signed() -> None:
    ending = heard(config(**pair(OURS)).open(), told_of(sids=("s-1", "s-2")))
    assert [(one.issuer, one.sid, one.subject) for one in ending.ended] == [
        (f"saml:corp:{idp.IDP}", "s-1", "alice"),
        (f"saml:corp:{idp.IDP}", "s-2", "alice"),
    ]
    assert len({one.jti for one in ending.ended}) == 2
    assert isinstance(ending.reply, str)
    assert ending.reply.startswith("https://idp.example/slo/answer?SAMLResponse=")
    expected = saml_logout.Expected(
        issuer=idp.SP,
        destination="https://idp.example/slo/answer",
        certificates=(OURS.certificate,),
        now=idp.NOW,
    )
    query = urlsplit(ending.reply).query
    answered = saml_logout.read_response(saml_binding.redirected(query), expected, request_id="_logout-1")
    assert answered.success
    assert parse_qs(query)["RelayState"] == ["theirs"]


def test_one_that_names_no_session_ends_all_of_the_person() -> None:
    [ended] = heard(config(**pair(OURS)).open(), told_of(sids=())).ended
    assert (ended.sid, ended.subject) == ("", "alice")
    by_attribute = config(**pair(OURS), attributes={"subject": "mail"}).open()
    [ended] = heard(by_attribute, told_of()).ended
    assert (ended.sid, ended.subject) == ("s-1", "")
    with pytest.raises(ProviderInvalid) as caught:
        heard(by_attribute, told_of(sids=()))
    assert caught.value.code == "saml_name_id"


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (told_of(idp.signer("mallory")), "saml_signature"),
        (told_of(issuer="https://other.example/"), "saml_issuer"),
        (told_of(destination="https://other.example/@corp/logout"), "saml_destination"),
        (told_of(issued_at=idp.NOW - 86400), "saml_issued"),
    ],
)
def test_what_is_not_the_providers_word_ends_nothing(told: Told, code: str) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        heard(config(**pair(OURS)).open(), told)
    assert caught.value.code == code


def test_an_answer_to_our_own_logout_ends_nothing_and_leads_nowhere_else() -> None:
    xml = saml_logout.logout_response(
        id="_answer-1",
        issued_at=idp.NOW,
        issuer=idp.IDP,
        destination="https://app.example/@corp/logout",
        in_response_to="_ours",
    )
    url = saml_binding.redirect_url(
        "https://app.example/@corp/logout", xml, kind="SAMLResponse", relay_state="_ours", signer=THEIRS
    )
    told = Told(query=urlsplit(url).query, redirect_uri=idp.ACS, now=idp.NOW)
    assert heard(config(**pair(OURS)).open(), told) == Ending()


# -- metadata and configuration ---------------------------------------------------------------


def test_our_metadata_say_where_we_are_and_show_both_certificates() -> None:
    old = {f"old_{name}": value for name, value in pair(idp.signer("before")).items()}
    shown = config(**pair(OURS), **old).open().metadata(idp.ACS).decode()
    assert f'entityID="{idp.SP}"' in shown
    assert f'Location="{idp.ACS}"' in shown
    assert 'Location="https://app.example/@corp/logout"' in shown
    for one in (OURS, idp.signer("before")):
        assert b64encode(one.certificate).decode() in "".join(shown.split())
    assert 'entityID="urn:us"' in config(entity_id="urn:us").open().metadata(idp.ACS).decode()


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"metadata": ""}, "metadata_url"),
        ({"metadata": "x", "metadata_url": URL}, "metadata_url"),
        ({"metadata_url": "ftp://x"}, "metadata_url"),
        ({"preset": "x"}, "preset"),
        ({"binding": "soap"}, "binding"),
        ({"name_id": "x"}, "name_id"),
        ({"name_id": "transient"}, "name_id"),
        ({"email_domains": ("A@b",)}, "email_domains"),
        ({"private_key": Secret("x")}, "private_key"),
        ({"private_key": Secret("x"), "certificate": "y"}, "private_key"),
        ({**pair(OURS), "certificate": idp.cert_pem(THEIRS).decode()}, "private_key"),
        ({"old_private_key": Secret("x"), "old_certificate": "y"}, "old_private_key"),
        ({"require_encryption": True}, "require_encryption"),
    ],
)
def test_what_can_not_work_is_said_at_the_start(fields: dict[str, Any], about: str) -> None:
    with pytest.raises(ValueError, match=about) as caught:
        config(**fields).open()
    assert str(caught.value).startswith(about)
    assert "BEGIN" not in str(caught.value).replace("BEGIN CERTIFICATE", "")


def test_it_can_be_tried_out_without_a_person() -> None:
    found, _ = play(config().open().probe(idp.ACS, idp.NOW))
    assert [one.what for one in found if one.ok] == ["metadata", "keys", "sign-in"]
    found, _ = play(config(metadata_url=URL).open().probe(idp.ACS, idp.NOW), b"<html/>")
    assert [(one.what, one.ok) for one in found] == [("metadata", False)]


# -- long documents ---------------------------------------------------------------------------


def worked(ask: Ask) -> Any:
    """What the driver would send: a work is done, and metadata are had."""
    return ask.run() if isinstance(ask, Work) else idp.metadata(THEIRS)


def of_many_groups() -> Answer:
    groups = [f"group-{number}" for number in range(1000)]
    return answer(idp.response(change={idp.REQUEST: REQUEST}, attributes={"groups": groups}))


def test_what_is_long_is_read_beside_the_loop_and_what_is_short_at_once() -> None:
    found, asked = answered(config().open().finish(of_many_groups()), worked)
    assert found.identity is not None
    assert len(found.identity.groups) == 1000
    assert [type(ask) for ask in asked] == [Work]
    assert "group" not in repr(asked)
    assert play(config().open().finish(answer()))[1] == []


def done_of(came: Answer) -> Any:
    """What the work comes to where the provider's keys are known."""
    [work] = answered(config().open().finish(came), worked)[1]
    assert isinstance(work, Work)
    return work.run()


def test_what_is_refused_there_is_looked_at_once_more_with_new_keys() -> None:
    client = config(metadata_url=URL).open()
    old, came = idp.metadata(idp.signer("other")), of_many_groups()
    refused = saml.refused("saml_signature")
    found, asked = play(client.finish(came), old, refused, idp.metadata(THEIRS), done_of(came))
    assert found.identity is not None
    assert found.identity.subject == "alice"
    assert [type(ask) for ask in asked] == [Document, Work, Document, Work]
    [_, first, _, second] = asked
    assert isinstance(first, Work)
    assert isinstance(second, Work)
    with pytest.raises(ProviderInvalid) as caught:
        first.run()
    assert caught.value.code == "saml_signature"
    assert second.run() == done_of(came)


def test_long_metadata_are_read_beside_the_loop_once() -> None:
    long = idp.metadata(*(idp.signer("idp"),) * 40)
    client = config(metadata=long.decode()).open()
    assert [type(ask) for ask in answered(client.start(start()), worked)[1]] == [Work]
    assert answered(client.start(start()), worked)[1] == []
